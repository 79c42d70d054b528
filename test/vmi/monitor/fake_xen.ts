/** A Xen with one domain that can be monitored: what a session asks of it, and failures on demand. */

import { errno } from '#dist/abi/errno.js';
import { type EventChannels, nextPort, type PortListener, takingPorts } from '#dist/hypervisor/event_channels.js';
import type { ForeignMapping } from '#dist/hypervisor/port.js';
import { type Call, FakeXen, fakeMapping } from '../../xc/fake.js';
import { Front, type Request } from './front.js';

export const DOMID = 7;
const RING_GFN = 0xfeff2;
const XEN_PORT = 5;
const LOCAL_PORT = 40;
const VIRQ_PORT = 41;
const VIRQ_DOM_EXC = 3;

const EVENTS: Readonly<Record<number, string>> = {
  0: 'write_ctrlreg',
  1: 'mov_to_msr',
  2: 'singlestep',
  3: 'software_breakpoint',
  4: 'guest_request',
  5: 'debug_exception',
  6: 'cpuid',
  9: 'desc_access',
  10: 'emul_unimplemented',
  11: 'inguest_pagefault',
  12: 'vmexit',
  13: 'io',
};

export class FakeMonitorXen extends FakeXen {
  override readonly kind: 'privcmd' | 'model';
  /** What was asked, in short. */
  readonly log: string[] = [];
  readonly vcpus: number;
  /** The ring that Xen has; null: none. */
  front: Front | null = null;
  /** vCPUs that wait for an answer; they outlive the ring. */
  readonly paused = new Map<number, number>();
  /** The memory at the ring's frame; another each time it is populated. */
  page = fakeMapping(1);
  mappings: (ForeignMapping & { closed: boolean })[] = [];
  readonly on = new Set<string>();
  readonly access = new Map<number, number>();
  pauses = 0;
  /** The domain: running, a shutdown code, or gone. */
  state: 'running' | 'gone' | number = 'running';
  altp2m: { on: boolean; view: number } = { on: false, view: 0 };
  /** An answer for an operation in {@link log}'s words, instead of the usual. */
  readonly failing = new Map<string, number>();
  /** How often DISABLE says that vCPUs queue. */
  queued = 0;
  channels: FakeChannels | null = null;
  virqTaken = false;
  version = 7;
  #populated = false;

  constructor(options: { kind?: 'privcmd' | 'model'; vcpus?: number } = {}) {
    super({ version: '4.17' });
    this.kind = options.kind ?? 'privcmd';
    this.vcpus = options.vcpus ?? 2;
    this.answer = (call) => this.#answerTo(call);
    this.mapping = () => {
      const mapping = fakeMapping(1, [this.#populated ? 0 : -errno.EINVAL]);
      Object.defineProperty(mapping, 'bytes', { value: this.page.bytes });
      this.mappings.push(mapping);
      return mapping;
    };
  }

  /** A vCPU has an event. False: there is no room, or no ring. */
  raise(request: Request = {}): boolean {
    if (!this.front?.put(request)) return false;
    if ((request.flags ?? 1) & 1) this.#pause(request.vcpu ?? 0);
    this.channels?.signal(LOCAL_PORT);
    return true;
  }

  /** The domain changes its state, and Xen says so. */
  become(state: FakeMonitorXen['state']): void {
    this.state = state;
    this.channels?.signal(VIRQ_PORT);
  }

  /** What an agent leaves behind that dies: its ring, its events. */
  crash(): void {
    this.channels = null;
  }

  override eventChannels(): never {
    this.channels = new FakeChannels(this);
    return this.channels as never;
  }

  resume(): void {
    for (const { vcpu, flags, version } of this.front?.resume() ?? []) {
      if (version === 7 && flags & 1) this.#unpause(vcpu);
    }
  }

  #pause(vcpu: number): void {
    this.paused.set(vcpu, (this.paused.get(vcpu) ?? 0) + 1);
  }

  #unpause(vcpu: number): void {
    const count = this.paused.get(vcpu) ?? 0;
    if (count > 1) this.paused.set(vcpu, count - 1);
    else this.paused.delete(vcpu);
  }

  #step(name: string, act: () => number): number {
    const failure = this.failing.get(name);
    this.log.push(failure === undefined ? name : `${name}!`);
    if (failure !== undefined) return failure;
    return act();
  }

  #answerTo(call: Call): number {
    if (this.state === 'gone' && call.op === 36) return -errno.ESRCH;
    if (call.op === 34) return this.#hvmOp(call);
    if (call.op === 12) return this.#memoryOp(call);
    return this.#domctl(call);
  }

  #hvmOp({ args, view }: Call): number {
    const structure = view(args[1] as number, 32);
    if (args[0] === 1) {
      structure.setBigUint64(8, BigInt(RING_GFN), true);
      return 0;
    }
    const cmd = structure.getUint32(4, true);
    if (cmd === 1) {
      structure.setUint8(16, this.altp2m.on ? 1 : 0);
      return 0;
    }
    return this.#step('switch to view', () => {
      this.altp2m.view = structure.getUint16(16, true);
      return 0;
    });
  }

  #memoryOp({ args, view }: Call): number {
    if (args[0] === 14) return 0x100;
    const structure = view(args[1] as number, 32);
    if (args[0] === 6) {
      this.#populated = true;
      this.page = fakeMapping(1);
      return 1;
    }
    if (args[0] === 1) {
      this.#populated = false;
      return 1;
    }
    if (!this.front) return -errno.ENODEV;
    const op = structure.getUint8(0);
    const pfn = Number(structure.getBigUint64(8, true));
    if (op === 1) {
      structure.setUint8(1, this.access.get(pfn) ?? 7);
      return 0;
    }
    if (op === 0)
      return this.#step(`access ${structure.getUint8(1)} of ${pfn}+${structure.getUint32(4, true)}`, () => 0);
    const count = structure.getUint32(4, true);
    const frames = view(Number(structure.getBigUint64(16, true)), count * 8);
    const codes = view(Number(structure.getBigUint64(24, true)), count);
    for (let i = 0; i < count; i++) this.access.set(Number(frames.getBigUint64(i * 8, true)), codes.getUint8(i));
    this.log.push(`access of ${count}`);
    return 0;
  }

  #domctl({ args, view }: Call): number {
    const structure = view(args[0] as number, 144);
    const u = (offset: number): number => structure.getUint32(16 + offset, true);
    switch (structure.getUint32(0, true)) {
      case 3:
        return this.#step('pause', () => {
          this.pauses++;
          return 0;
        });
      case 4:
        return this.#step('unpause', () => {
          this.pauses--;
          return 0;
        });
      case 5:
        structure.setUint16(8, DOMID, true);
        structure.setUint16(16, DOMID, true);
        structure.setUint32(20, 2 | (typeof this.state === 'number' ? 4 | (this.state << 16) : 0), true);
        structure.setUint32(16 + 68, this.vcpus - 1, true);
        return 0;
      case 61:
        view(Number(structure.getBigUint64(24, true)), 8).setUint32(0, this.#populated ? 0 : 0xf000_0000, true);
        return 0;
      case 56:
        return this.#vmEvent(u(0), structure);
      case 77: {
        if (u(0) === 4) return this.#step('control_registers', () => 0);
        const name = EVENTS[u(4)] ?? String(u(4));
        const which = u(4) === 0 ? ` ${structure.getUint8(24)}` : u(4) === 1 ? ` ${u(8)}` : '';
        const enable = u(0) === 0;
        return this.#step(`${name}${which} ${enable ? 'on' : 'off'}`, () => {
          if (this.on.has(name + which) === enable) return -errno.EEXIST;
          if (enable) this.on.add(name + which);
          else this.on.delete(name + which);
          return 0;
        });
      }
      default:
        throw new Error(`domctl ${structure.getUint32(0, true)} was not expected`);
    }
  }

  #vmEvent(op: number, structure: DataView): number {
    if (op === 3) {
      structure.setUint32(24, this.version, true);
      return 0;
    }
    if (op === 0) {
      return this.#step('enable', () => {
        if (this.front) return -errno.EBUSY;
        this.front = new Front(7, this.page.bytes);
        structure.setUint32(24, XEN_PORT, true);
        return 0;
      });
    }
    if (op === 2) {
      return this.#step('resume', () => {
        if (!this.front) return -errno.ENODEV;
        this.resume();
        return 0;
      });
    }
    return this.#step('disable', () => {
      if (!this.front) return -errno.EINVAL;
      if (this.queued > 0) {
        this.queued--;
        return -errno.EBUSY;
      }
      this.front = null;
      this.on.clear();
      return 0;
    });
  }
}

export class FakeChannels implements EventChannels {
  readonly fd = -1;
  readonly wakeFd = -1;
  readonly #xen: FakeMonitorXen;
  readonly #pending: number[] = [];
  readonly #masked = new Set<number>();
  #listener: (() => void) | null = null;
  closed = false;
  /** What a blocked thread sees, one step each time it waits. */
  waits: (() => void)[] = [];

  constructor(xen: FakeMonitorXen) {
    this.#xen = xen;
  }

  signal(port: number): void {
    if (this.closed || this.#masked.has(port)) return;
    this.#masked.add(port);
    this.#pending.push(port);
    this.#schedule();
  }

  #schedule(): void {
    setImmediate(() => {
      if (!this.#listener || this.#pending.length === 0) return;
      this.#listener();
      this.#schedule();
    });
  }

  bindVirq(virq: number): number {
    if (virq !== VIRQ_DOM_EXC) return -errno.EINVAL;
    return this.#xen.virqTaken ? -errno.EEXIST : VIRQ_PORT;
  }
  bindInterdomain(domid: number, remotePort: number): number {
    const failure = this.#xen.failing.get('bind');
    if (failure !== undefined) return failure;
    if (domid !== DOMID || remotePort !== XEN_PORT) return -errno.EINVAL;
    this.signal(LOCAL_PORT);
    return LOCAL_PORT;
  }
  bindUnbound(): number {
    return -errno.ENOSYS;
  }
  unbind(): number {
    return 0;
  }
  notify(port: number): number {
    if (port !== LOCAL_PORT) return -errno.ENOTCONN;
    this.#xen.resume();
    return 0;
  }
  pending(): number {
    return this.#pending.shift() ?? -errno.EAGAIN;
  }
  unmask(port: number): number {
    this.#masked.delete(port);
    return 0;
  }
  restrict(): number {
    return -errno.ENOSYS;
  }
  wait(): number {
    const step = this.waits.shift();
    if (!step && this.#pending.length > 0) return 1;
    if (!step) throw new Error('the thread would block for ever');
    step();
    return this.#pending.length > 0 ? 1 : 0;
  }
  next(timeoutMs: number, notify = 0): number {
    return nextPort(this, timeoutMs, notify);
  }
  wake(): void {}
  onPort(listener: PortListener | null): void {
    this.onPending(listener && takingPorts(this, listener, () => this.closed));
  }
  onPending(listener: (() => void) | null): void {
    this.#listener = listener;
    this.#schedule();
  }
  close(): void {
    this.closed = true;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
