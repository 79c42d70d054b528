/**
 * dom0's kernel, as far as events go: Linux's `drivers/xen/evtchn.c`, and the FIFO ABI's number of ports. Each opening of
 * the device is a set of ports: a port belongs to the set that bound it.
 */

import { errno } from '../abi/errno.js';
import { DOMID_FIRST_RESERVED, VIRQ_CONSOLE, VIRQ_DEBUG, VIRQ_TIMER } from '../abi/xen.js';
import { checkDomid, checkU32 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import {
  type EventChannels,
  type EventDescriptors,
  nextPort,
  type PortListener,
  takingPorts,
} from '../hypervisor/event_channels.js';
import type { EventAbi, EventPorts } from './event_channels.js';

/** `EVTCHN_FIFO_NR_CHANNELS`. */
const CAPACITY = 2 ** 17;

/** What the device needs of the machine. */
export interface EventMachine {
  /** dom0's ports. */
  readonly ports: EventPorts;
  readonly domid: number;
  readonly vcpus: number;
  /** Another domain's ports, or null: no such domain. */
  lookup(domid: number): EventPorts | null;
  /** Has a guest's script go on by one instruction; false: none can. */
  step(): boolean;
}

/** Instructions of scripts in one {@link EventChannels.wait}: a guest that tells nothing does not hold it up for ever. */
const MOST_STEPS = 100_000;

export class EvtchnDevice implements EventAbi {
  readonly capacity = CAPACITY;
  readonly #pending = new Uint8Array(CAPACITY / 8);
  readonly #mask = new Uint8Array(CAPACITY / 8);
  readonly #owners = new Map<number, OpenEvtchn>();
  readonly #machine: EventMachine;

  constructor(machine: EventMachine) {
    this.#machine = machine;
    machine.ports.use(this);
    // what the kernel itself binds at boot
    for (let vcpu = 0; vcpu < machine.vcpus; vcpu++) {
      for (const virq of [VIRQ_TIMER, VIRQ_DEBUG]) machine.ports.bindVirq(virq, vcpu);
    }
    machine.ports.bindVirq(VIRQ_CONSOLE, 0);
  }

  pending(): Uint8Array {
    return this.#pending;
  }

  mask(): Uint8Array {
    return this.#mask;
  }

  /** The port waits, masked, in its set until somebody takes it and unmasks it. */
  upcall(_vcpu: number, port: number): void {
    const owner = this.#owners.get(port);
    if (!owner) return;
    const { ports } = this.#machine;
    ports.mask(port);
    ports.clearPending(port);
    owner.receive(port);
  }

  /** @throws XenError EOPNOTSUPP: `same` is given; the model has no descriptors */
  open(same?: EventDescriptors): EventChannels {
    if (same !== undefined) throw new XenError('eventChannels', -errno.EOPNOTSUPP);
    return new OpenEvtchn(this.#machine, this.#owners);
  }
}

class OpenEvtchn implements EventChannels {
  readonly fd = -1;
  readonly wakeFd = -1;
  readonly #machine: EventMachine;
  readonly #owners: Map<number, OpenEvtchn>;
  /** Signalled and not taken yet, in order. */
  readonly #signalled: number[] = [];
  #restrictedTo: number | null = null;
  #listener: (() => void) | null = null;
  #scheduled: NodeJS.Immediate | null = null;
  #alive: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(machine: EventMachine, owners: Map<number, OpenEvtchn>) {
    this.#machine = machine;
    this.#owners = owners;
  }

  bindVirq(virq: number): number {
    this.#checkOpen();
    checkU32(virq, 'virq');
    if (this.#restrictedTo !== null) return -errno.EACCES;
    return this.#own(this.#machine.ports.bindVirq(virq, 0));
  }

  bindInterdomain(domid: number, remotePort: number): number {
    this.#checkOpen();
    checkDomid(domid);
    checkU32(remotePort, 'remotePort');
    if (this.#restrictedTo !== null && this.#restrictedTo !== domid) return -errno.EACCES;
    const other = this.#machine.lookup(domid);
    if (!other) return -errno.ESRCH;
    // the new port is pending before it has an owner: it is looked at again once it has
    return this.#own(this.#machine.ports.bindInterdomain(other, remotePort));
  }

  bindUnbound(domid: number): number {
    this.#checkOpen();
    checkDomid(domid);
    if (this.#restrictedTo !== null && this.#restrictedTo !== domid) return -errno.EACCES;
    return this.#own(this.#machine.ports.allocUnbound(domid, this.#machine.domid));
  }

  unbind(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    if (port >= CAPACITY) return -errno.EINVAL;
    if (this.#owners.get(port) !== this) return -errno.ENOTCONN;
    this.#release(port);
    return 0;
  }

  notify(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    if (this.#owners.get(port) !== this) return -errno.ENOTCONN;
    this.#machine.ports.send(port); // the kernel does not tell what came of it
    return 0;
  }

  pending(): number {
    this.#checkOpen();
    return this.#signalled.shift() ?? -errno.EAGAIN;
  }

  unmask(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    // a port of somebody else's is passed over, and so is one that waits to be taken
    if (this.#owners.get(port) === this && !this.#signalled.includes(port)) this.#machine.ports.unmask(port);
    return 0;
  }

  restrict(domid: number): number {
    this.#checkOpen();
    checkDomid(domid);
    if (this.#restrictedTo !== null) return -errno.EACCES;
    if (domid === 0 || domid >= DOMID_FIRST_RESERVED) return -errno.EINVAL;
    this.#restrictedTo = domid;
    return 0;
  }

  /**
   * While this thread waits, only guests' scripts go on, whatever `timeoutMs` says: it answers as soon as a port is
   * pending or no script can run.
   */
  wait(timeoutMs: number): number {
    this.#checkOpen();
    if (!Number.isInteger(timeoutMs)) throw new TypeError(`timeoutMs must be an integer, not ${timeoutMs}`);
    for (let i = 0; timeoutMs !== 0 && i < MOST_STEPS && this.#signalled.length === 0; i++) {
      if (!this.#machine.step()) break;
    }
    return this.#signalled.length > 0 ? 1 : 0;
  }

  next(timeoutMs: number, notify = 0): number {
    return nextPort(this, timeoutMs, notify);
  }

  /** Nobody waits: {@link wait} has answered. */
  wake(): void {
    this.#checkOpen();
  }

  onPending(listener: (() => void) | null): void {
    this.#checkOpen();
    if (listener !== null && typeof listener !== 'function') throw new TypeError('listener must be a function or null');
    this.#listener = listener;
    if (listener && !this.#alive) this.#alive = setInterval(() => {}, 2 ** 31 - 1);
    if (!listener) this.#rest();
    this.#schedule();
  }

  onPort(listener: PortListener | null): void {
    if (listener !== null && typeof listener !== 'function') throw new TypeError('listener must be a function or null');
    this.onPending(listener && takingPorts(this, listener, () => this.#closed));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener = null;
    this.#rest();
    for (const [port, owner] of this.#owners) if (owner === this) this.#release(port);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  receive(port: number): void {
    this.#signalled.push(port);
    this.#schedule();
  }

  #own(port: number): number {
    if (port <= 0) return port;
    this.#owners.set(port, this);
    this.#machine.ports.unmask(port);
    return port;
  }

  #release(port: number): void {
    this.#owners.delete(port);
    const at = this.#signalled.indexOf(port);
    if (at >= 0) this.#signalled.splice(at, 1);
    this.#machine.ports.close(port);
  }

  /** Ports that are left untaken call again, as a file does that stays readable. */
  #schedule(): void {
    if (!this.#listener || this.#scheduled || this.#signalled.length === 0) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = null;
      this.#listener?.();
      this.#schedule();
    });
  }

  #rest(): void {
    if (this.#scheduled) clearImmediate(this.#scheduled);
    if (this.#alive) clearInterval(this.#alive);
    this.#scheduled = null;
    this.#alive = null;
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('these event channels are closed');
  }
}
