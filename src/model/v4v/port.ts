/** A domain's kernel as V4V's user: its memory, its hypercalls, its end of V4V's event channel. */

import { __HYPERVISOR_v4v_op, V4VOP_info, v4v_info, v4v_info_v9 } from '../../abi/v4v.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import { XenError } from '../../hypervisor/error.js';
import type { EventChannels } from '../../hypervisor/event_channels.js';
import type { V4vPort } from '../../hypervisor/v4v_port.js';
import type { Domain } from '../domain.js';
import type { PinnedFrames } from '../machine_memory.js';
import type { V4vDomain } from './domain.js';

/** Frames of a domain that its driver is to use. */
export interface V4vMemory {
  /** The first. */
  readonly gfn: number;
  readonly pages: number;
}

/** How the kernel makes the hypercall. */
type V4vCall = (cmd: number, arg1: number, arg2: number, arg3: number, arg4: number) => number;

/** The kernel's end of V4V's event channel. */
interface Ear {
  /** Whether signals are wanted now. Those that come while they are not are not lost. */
  hear(wanted: boolean): void;
  end(): void;
}

/** Connects to V4V's event channel. Gives a negative errno where that is refused. */
type Listen = (remotePort: number, listener: () => void) => Ear | number;

class ModelV4vPort implements V4vPort {
  readonly domid: number;
  readonly address: number;
  readonly #state: V4vDomain;
  readonly #memory: PinnedFrames;
  readonly #call: V4vCall;
  readonly #ear: Ear;
  #listener: (() => void) | null = null;
  #signalled = false;
  #scheduled: NodeJS.Immediate | null = null;
  #alive: NodeJS.Timeout | null = null;
  #closed = false;

  /**
   * @throws RangeError when the domain does not have the frames
   * @throws XenError EINVAL: the domain has a driver for V4V already; ENOSPC: it has no event channel left
   */
  constructor(state: V4vDomain, { gfn, pages }: V4vMemory, call: V4vCall, listen: Listen) {
    const { domain } = state;
    this.domid = domain.domid;
    this.address = gfn * PAGE_SIZE;
    this.#state = state;
    this.#call = call;
    const mfns = framesOf(domain, gfn, pages);
    this.#memory = domain.host.memory.pin(domain.domid, mfns);
    const ear = listen(this.#eventChannel(), () => this.#signal());
    if (typeof ear === 'number') {
      this.#memory.release();
      throw new XenError('v4vPort', ear, { domid: domain.domid });
    }
    this.#ear = ear;
    state.ports.add(this);
  }

  /** Asks as a guest does: info, into the first page. */
  #eventChannel(): number {
    const { bytes } = this.#memory;
    const before = bytes.slice(0, v4v_info.size);
    const rc = this.#call(V4VOP_info, this.address, 0, 0, 0);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const port = view.getUint32(v4v_info_v9.at.evtchn, true);
    bytes.set(before);
    if (rc < 0) throw new XenError('v4vPort', rc, { domid: this.domid });
    return port;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get bytes(): Uint8Array {
    this.#checkOpen();
    return this.#memory.bytes;
  }

  hypercall(cmd: number, arg1 = 0, arg2 = 0, arg3 = 0, arg4 = 0): number {
    this.#checkOpen();
    return this.#call(cmd, arg1, arg2, arg3, arg4);
  }

  onSignal(listener: (() => void) | null): void {
    this.#checkOpen();
    this.#listener = listener;
    if (listener && !this.#alive) this.#alive = setInterval(() => {}, 2 ** 31 - 1);
    if (!listener) this.#rest();
    this.#ear.hear(listener !== null);
    this.#schedule();
  }

  #signal(): void {
    this.#signalled = true;
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#listener || !this.#signalled || this.#scheduled) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = null;
      this.#signalled = false;
      this.#listener?.();
    });
  }

  #rest(): void {
    if (this.#scheduled) clearImmediate(this.#scheduled);
    if (this.#alive) clearInterval(this.#alive);
    this.#scheduled = null;
    this.#alive = null;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener = null;
    this.#rest();
    this.#ear.end();
    this.#state.ports.delete(this);
    this.#memory.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError(`this V4V port of domain ${this.domid} is closed`);
  }
}

function framesOf(domain: Domain, gfn: number, pages: number): number[] {
  return Array.from({ length: pages }, (_, i) => {
    const { present, mfn } = domain.p2m.lookup(gfn + i);
    if (!present) throw new RangeError(`domain ${domain.domid} has no frame ${gfn + i}`);
    return mfn;
  });
}

/** A guest's kernel takes the interrupt, for one port of all; the others are somebody else's. */
function listenInGuest({ sharedInfo, events }: Domain): Listen {
  return (remotePort, listener) => {
    const port = events.bindInterdomain(events, remotePort);
    if (port < 0) return port;
    const others = sharedInfo.onUpcall;
    const onUpcall = (vcpu: number, which: number): void => {
      if (which === port) {
        events.clearPending(port);
        listener();
      } else others?.(vcpu, which);
    };
    sharedInfo.onUpcall = onUpcall;
    events.clearPending(port);
    return {
      hear() {},
      end() {
        if (sharedInfo.onUpcall === onUpcall) sharedInfo.onUpcall = others;
        events.close(port);
      },
    };
  };
}

/** dom0's kernel hears of it through the event channel device, as a process in dom0 does. */
function listenInDom0(domid: number, channels: EventChannels): Listen {
  return (remotePort, listener) => {
    const port = channels.bindInterdomain(domid, remotePort);
    if (port < 0) {
      channels.close();
      return port;
    }
    const onPending = (): void => {
      channels.unmask(channels.pending());
      listener();
    };
    return { hear: (wanted) => channels.onPending(wanted ? onPending : null), end: () => channels.close() };
  };
}

/** @param channels dom0's, for it; a guest's kernel gets its events by itself */
export function openV4vPort(state: V4vDomain, memory: V4vMemory, channels: EventChannels | null): V4vPort {
  const { domain } = state;
  const [vcpu] = domain.vcpus;
  if (!vcpu) throw new RangeError(`domain ${domain.domid} has no vCPU`);
  const call: V4vCall = domain.isHvm
    ? (...args) => vcpu.hypercall(__HYPERVISOR_v4v_op, ...args)
    : (...args) => domain.host.guestHypercall(vcpu, __HYPERVISOR_v4v_op, args);
  const listen = channels ? listenInDom0(domain.domid, channels) : listenInGuest(domain);
  return new ModelV4vPort(state, memory, call, listen);
}
