/**
 * A domain's event channels (`common/event_channel.c`). Functions return what the hypercall does: a port or 0, or a
 * negative errno.
 */

import { errno } from '../abi/errno.js';
import { DOMID_SELF, NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from '../abi/xen.js';

/** Ports come into being so many at a time (`EVTCHNS_PER_BUCKET`): those can be asked about though they are not in use. */
const BUCKET = 64;

const PER_VCPU: ReadonlySet<number> = new Set([VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]);

/** Of a global virtual interrupt a domain has one, on vCPU 0. */
export function virqIsGlobal(virq: number): boolean {
  return !PER_VCPU.has(virq);
}

/** What a port is bound to. */
export type Binding =
  | { readonly to: 'unbound'; readonly domid: number }
  | { readonly to: 'interdomain'; readonly channels: EventPorts; readonly port: number }
  | { readonly to: 'virq'; readonly virq: number }
  | { readonly to: 'ipi' };

/** Called when the other end notifies a port that Xen itself listens on. */
export type XenConsumer = (port: number) => void;

interface Channel {
  binding: Binding;
  /** The vCPU that is told. */
  vcpu: number;
  /** Not null: Xen's own end of it, out of the domain's reach. */
  readonly consumer: XenConsumer | null;
}

/** How a domain and Xen tell each other about events: where the bits lie, and how the domain notices. */
export interface EventAbi {
  /** Ports that there can be, port 0 included. */
  readonly capacity: number;
  /** A bit for each port. */
  pending(): Uint8Array;
  /** A bit for each port: it may be pending, but nobody is told. */
  mask(): Uint8Array;
  /** A port that is not masked has become pending. */
  upcall(vcpu: number, port: number): void;
}

/** What event channels need of their domain. */
export interface EventDomain {
  readonly domid: number;
  readonly dying: boolean;
  readonly vcpus: readonly unknown[];
}

export class EventPorts {
  readonly #domain: EventDomain;
  readonly #highest: number;
  #abi: EventAbi;
  /** By port; null is free. Port 0 is nobody's. */
  readonly #channels: (Channel | null)[] = [null];

  /** @param highest the last port that the domain may have (`createdomain.max_evtchn_port`) */
  constructor(domain: EventDomain, highest: number, abi: EventAbi) {
    this.#domain = domain;
    this.#highest = highest;
    this.#abi = abi;
  }

  /** Whose they are. */
  get domid(): number {
    return this.#domain.domid;
  }

  /** The domain goes over to another ABI, as EVTCHNOP_init_control does to FIFO. It has no ports yet. */
  use(abi: EventAbi): void {
    this.#abi = abi;
  }

  /** 0, or why the domain can have no more ports: -ENOSPC; -EINVAL: it is dying. */
  full(): number {
    return Math.min(this.#free(), 0);
  }

  /** @param remote who may connect; DOMID_SELF is the `caller` */
  allocUnbound(remote: number, caller: number): number {
    return this.#bind({ to: 'unbound', domid: remote === DOMID_SELF ? caller : remote }, 0, null);
  }

  /**
   * A port that Xen itself listens on, for `remote` to connect to (`alloc_unbound_xen_event_channel`). The domain can
   * neither send on it nor close it.
   */
  allocXen(vcpu: number, remote: number, consumer: XenConsumer): number {
    return this.#bind({ to: 'unbound', domid: remote }, vcpu, consumer);
  }

  /** Connects to an unbound port of another domain, or of this one. The new port is pending from the start. */
  bindInterdomain(channels: EventPorts, port: number): number {
    const free = this.#free();
    if (free < 0) return free;
    const other = channels.#channels[port];
    if (other?.binding.to !== 'unbound' || other.binding.domid !== this.#domain.domid) return -errno.EINVAL;
    const local = this.#bind({ to: 'interdomain', channels, port }, 0, null);
    other.binding = { to: 'interdomain', channels: this, port: local };
    // what was sent before there were two ends is lost; so the new end looks once
    this.#setPending(local);
    return local;
  }

  bindVirq(virq: number, vcpu: number): number {
    if (virq >= NR_VIRQS || (virqIsGlobal(virq) && vcpu !== 0)) return -errno.EINVAL;
    if (vcpu >= this.#domain.vcpus.length) return -errno.ENOENT;
    if (this.#virqPort(virq, vcpu) !== 0) return -errno.EEXIST;
    return this.#bind({ to: 'virq', virq }, vcpu, null);
  }

  bindIpi(vcpu: number): number {
    if (vcpu >= this.#domain.vcpus.length) return -errno.ENOENT;
    return this.#bind({ to: 'ipi' }, vcpu, null);
  }

  bindVcpu(port: number, vcpu: number): number {
    if (vcpu >= this.#domain.vcpus.length) return -errno.ENOENT;
    const channel = this.#channels[port];
    if (!channel || channel.consumer) return -errno.EINVAL;
    const { binding } = channel;
    if (binding.to === 'ipi' || (binding.to === 'virq' && !virqIsGlobal(binding.virq))) return -errno.EINVAL;
    channel.vcpu = vcpu;
    return 0;
  }

  /** Signals the other end. Where nobody has connected yet, the signal is lost. */
  send(port: number): number {
    const channel = this.#channels[port];
    if (!channel || channel.consumer) return -errno.EINVAL;
    const { binding } = channel;
    if (binding.to === 'virq') return -errno.EINVAL;
    if (binding.to === 'ipi') this.#setPending(port);
    else if (binding.to === 'interdomain') binding.channels.#receive(binding.port);
    return 0;
  }

  /** Xen signals the domain that has connected to its port (`notify_via_xen_event_channel`). */
  notifyXen(port: number): void {
    const binding = this.#channels[port]?.binding;
    if (binding?.to === 'interdomain') binding.channels.#receive(binding.port);
  }

  /** The domain's own closing of a port. */
  close(port: number): number {
    const channel = this.#channels[port];
    if (!channel || channel.consumer) return -errno.EINVAL;
    this.#close(port, channel);
    return 0;
  }

  /** Xen gives its port up (`free_xen_event_channel`). */
  closeXen(port: number): void {
    const channel = this.#channels[port];
    if (channel?.consumer) this.#close(port, channel);
  }

  /** Closes what the domain itself could close. */
  reset(): void {
    for (const port of this.#channels.keys()) this.close(port);
  }

  /** The domain is dying: all its ports close. */
  destroy(): void {
    this.#channels.forEach((channel, port) => {
      if (channel) this.#close(port, channel);
    });
  }

  /** What a port is bound to and whom it tells; null: nothing; -EINVAL: there is no such port. */
  status(port: number): { readonly binding: Binding; readonly vcpu: number } | null | number {
    if (port >= Math.ceil(this.#channels.length / BUCKET) * BUCKET) return -errno.EINVAL;
    return this.#channels[port] ?? null;
  }

  /** Raises a virtual interrupt, if the domain has bound it. */
  raiseVirq(virq: number, vcpu = 0): void {
    const port = this.#virqPort(virq, vcpu);
    if (port !== 0) this.#setPending(port);
  }

  isPending(port: number): boolean {
    return testBit(this.#abi.pending(), port);
  }

  clearPending(port: number): void {
    clearBit(this.#abi.pending(), port);
  }

  mask(port: number): void {
    setBit(this.#abi.mask(), port);
  }

  unmask(port: number): number {
    const channel = this.#channels[port];
    if (channel === undefined) return -errno.EINVAL;
    clearBit(this.#abi.mask(), port);
    if (channel && this.isPending(port)) this.#abi.upcall(channel.vcpu, port);
    return 0;
  }

  /** Ports in use, for a snapshot: those that another domain's agent or Xen holds one end of are unbound in it. */
  save(): EventPortState[] {
    const saved: EventPortState[] = [];
    this.#channels.forEach((channel, port) => {
      if (!channel || channel.consumer) return;
      const { binding, vcpu } = channel;
      if (binding.to === 'interdomain') {
        saved.push({ port, vcpu, binding: { to: 'unbound', domid: binding.channels.#domain.domid } });
      } else saved.push({ port, vcpu, binding });
    });
    return saved;
  }

  restore(state: readonly EventPortState[]): void {
    for (const { port, vcpu, binding } of state) {
      while (this.#channels.length <= port) this.#channels.push(null);
      this.#channels[port] = { binding, vcpu, consumer: null };
    }
  }

  /** A free port, or why there is none. */
  #free(): number {
    if (this.#domain.dying) return -errno.EINVAL;
    const again = this.#channels.indexOf(null, 1);
    const port = again < 0 ? this.#channels.length : again;
    return port > this.#highest || port >= this.#abi.capacity ? -errno.ENOSPC : port;
  }

  #bind(binding: Binding, vcpu: number, consumer: XenConsumer | null): number {
    const port = this.#free();
    if (port > 0) this.#channels[port] = { binding, vcpu, consumer };
    return port;
  }

  #close(port: number, { binding }: Channel): void {
    this.#channels[port] = null;
    this.clearPending(port);
    if (binding.to !== 'interdomain') return;
    const other = binding.channels.#channels[binding.port];
    if (other) other.binding = { to: 'unbound', domid: this.#domain.domid };
  }

  /** 0: it is not bound. A global one may tell another vCPU than 0 by now. */
  #virqPort(virq: number, vcpu: number): number {
    const global = virqIsGlobal(virq);
    const at = this.#channels.findIndex(
      (channel) => channel?.binding.to === 'virq' && channel.binding.virq === virq && (global || channel.vcpu === vcpu),
    );
    return Math.max(at, 0);
  }

  #receive(port: number): void {
    const consumer = this.#channels[port]?.consumer;
    if (consumer) consumer(port);
    else this.#setPending(port);
  }

  #setPending(port: number): void {
    const channel = this.#channels[port];
    if (!channel || !setBit(this.#abi.pending(), port)) return;
    if (!testBit(this.#abi.mask(), port)) this.#abi.upcall(channel.vcpu, port);
  }
}

/** A saved port: plain JSON. */
export interface EventPortState {
  readonly port: number;
  readonly vcpu: number;
  readonly binding: Exclude<Binding, { readonly to: 'interdomain' }>;
}

function testBit(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

/** False when it was set already. */
function setBit(bits: Uint8Array, at: number): boolean {
  if (testBit(bits, at)) return false;
  bits[at >>> 3] = (bits[at >>> 3] ?? 0) | (1 << (at & 7));
  return true;
}

function clearBit(bits: Uint8Array, at: number): void {
  bits[at >>> 3] = (bits[at >>> 3] ?? 0) & ~(1 << (at & 7));
}
