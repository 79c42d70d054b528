/**
 * The ring that Xen shares with a domain's agent, on bytes: Xen is the front end. It puts requests into slots, makes
 * vCPUs wait when there are too few, and takes answers when it is told of them (`common/vm_event.c`).
 */

import { errno } from '../../abi/errno.js';
import { HVM_PARAM_MONITOR_RING_PFN } from '../../abi/hvm/params.js';
import { type Release, releaseAbi } from '../../abi/release.js';
import { VM_EVENT_SLOTS, vm_event_sring, vmEventLayoutOf } from '../../abi/vm_event.js';
import type { Domain } from '../domain.js';
import type { Vcpu } from '../vcpu.js';
import { applyResponse } from './response.js';

/** Xen's own end of an event channel of the domain; `EventPorts` is one. */
export interface XenPorts {
  /** A port for `remote` to connect to; `consumer` hears of its notifications. A negative errno: there is none. */
  allocXen(vcpu: number, remote: number, consumer: () => void): number;
  notifyXen(port: number): void;
  closeXen(port: number): void;
}

/** An event that found the ring full. */
interface Queued {
  readonly vcpu: Vcpu;
  readonly request: Uint8Array;
  readonly sync: boolean;
}

/** A saved {@link VmEventRing}: plain JSON. */
export interface VmEventRingState {
  readonly mfn: number;
  readonly remote: number;
  readonly reqProd: number;
  readonly rspCons: number;
  readonly lastWoken: number;
  /** Events that wait for a slot: vCPU, request in base64, sync. */
  readonly queue: readonly (readonly [vcpu: number, request: string, sync: boolean])[];
}

export class VmEventRing {
  /** The domain's event channel port that the agent connects to. */
  readonly port: number;
  readonly #domain: Domain;
  readonly #mfn: number;
  readonly #ports: XenPorts;
  readonly #remote: number;
  readonly #version: number;
  readonly #entry: number;
  readonly #slots: number;
  /** Xen's private counters: what the page says is the agent's to change, and not trusted. */
  #reqProd = 0;
  #rspCons = 0;
  #lastWoken = 0;
  readonly #queue: Queued[] = [];

  private constructor(domain: Domain, mfn: number, ports: XenPorts, remote: number) {
    this.#domain = domain;
    this.#mfn = mfn;
    this.#ports = ports;
    this.#remote = remote;
    const { release } = domain.host;
    this.#version = releaseAbi(release).vmEvent;
    this.#entry = vmEventLayoutOf(release).event.size;
    this.#slots = ringAt(release, 'ring');
    this.port = ports.allocXen(0, remote, () => this.resume());
  }

  /**
   * `vm_event_enable`: shares the frame that HVM_PARAM_MONITOR_RING_PFN names.
   *
   * @param remote the domain that the agent runs in
   * @returns the ring, or -EBUSY: there is one already (also after the agent died); -EOPNOTSUPP: no frame is named;
   *   -EINVAL: it has no memory; or why there is no port
   */
  static enable(domain: Domain, ports: XenPorts, remote: number): VmEventRing | number {
    if (domain.ring) return -errno.EBUSY;
    const gfn = Number(domain.params[HVM_PARAM_MONITOR_RING_PFN] ?? 0n);
    if (gfn === 0) return -errno.EOPNOTSUPP;
    const entry = domain.p2m.lookup(gfn);
    if (!entry.present) return -errno.EINVAL;
    const ring = new VmEventRing(domain, entry.mfn, ports, remote);
    if (ring.port < 0) return ring.port;
    domain.host.memory.hold(domain.domid, ring.#mfn);
    const view = ring.view;
    view.setUint32(ringAt(domain.host.release, 'req_prod'), 0, true);
    view.setUint32(ringAt(domain.host.release, 'rsp_prod'), 0, true);
    view.setUint32(ringAt(domain.host.release, 'req_event'), 1, true);
    view.setUint32(ringAt(domain.host.release, 'rsp_event'), 1, true);
    domain.ring = ring;
    return ring;
  }

  /**
   * `vm_event_disable`. vCPUs whose event nobody answered stay paused; those that wait for the ring to empty go on.
   *
   * @returns 0, or -EBUSY: an event waits for a slot
   */
  disable(): number {
    if (this.#queue.length > 0) return -errno.EBUSY;
    this.#close();
    return 0;
  }

  /** The domain dies: whatever waits is forgotten. */
  destroy(): void {
    for (const { vcpu } of this.#queue.splice(0)) vcpu.vmEvents.queued = false;
    this.#close();
  }

  /**
   * Tells of an event (`monitor_traps`). It waits in a queue when there is no free slot, and its vCPU with it.
   *
   * @param sync the vCPU is paused until the answer comes
   */
  put(vcpu: Vcpu, request: Uint8Array, sync: boolean): void {
    if (this.#free > 0) {
      this.#place(vcpu, request, sync);
      return;
    }
    vcpu.vmEvents.queued = true;
    this.#queue.push({ vcpu, request, sync });
  }

  /** Takes all answers that are there (`vm_event_resume`); no more at once than the ring has slots. */
  resume(): void {
    for (let taken = 0; taken < VM_EVENT_SLOTS && this.#domain.ring === this; taken++) {
      const view = this.view;
      if (view.getUint32(ringAt(this.#domain.host.release, 'rsp_prod'), true) === this.#rspCons) return;
      // the agent can write the slot at any time: it is read once
      const response = this.#slot(view, this.#rspCons).slice();
      this.#rspCons = (this.#rspCons + 1) >>> 0;
      view.setUint32(ringAt(this.#domain.host.release, 'rsp_event'), (this.#rspCons + 1) >>> 0, true);
      this.#answer(new DataView(response.buffer));
      this.#wake();
    }
  }

  save(): VmEventRingState {
    return {
      mfn: this.#mfn,
      remote: this.#remote,
      reqProd: this.#reqProd,
      rspCons: this.#rspCons,
      lastWoken: this.#lastWoken,
      queue: this.#queue.map(({ vcpu, request, sync }) => [vcpu.id, Buffer.from(request).toString('base64'), sync]),
    };
  }

  /** Makes the ring of a snapshot again. Its agent is not connected any more, as after it crashed. */
  static restore(domain: Domain, ports: XenPorts, state: VmEventRingState): VmEventRing {
    const ring = new VmEventRing(domain, state.mfn, ports, state.remote);
    domain.host.memory.hold(domain.domid, state.mfn);
    ring.#reqProd = state.reqProd;
    ring.#rspCons = state.rspCons;
    ring.#lastWoken = state.lastWoken;
    for (const [id, request, sync] of state.queue) {
      const vcpu = domain.vcpus[id];
      if (!vcpu) continue;
      vcpu.vmEvents.queued = true;
      ring.#queue.push({ vcpu, request: new Uint8Array(Buffer.from(request, 'base64')), sync });
    }
    return ring;
  }

  /** `RING_FREE_REQUESTS`: slots without a request whose answer has not been taken. */
  get #free(): number {
    return VM_EVENT_SLOTS - ((this.#reqProd - this.#rspCons) | 0);
  }

  /** The shared page as it lies now. */
  get view(): DataView {
    // the page moves when somebody maps it: it is looked up each time
    const page = this.#domain.host.memory.page(this.#domain.domid, this.#mfn);
    return new DataView(page.buffer, page.byteOffset, page.byteLength);
  }

  #slot(view: DataView, index: number): Uint8Array {
    const at = view.byteOffset + this.#slots + (index % VM_EVENT_SLOTS) * this.#entry;
    return new Uint8Array(view.buffer, at, this.#entry);
  }

  /** `vm_event_put_request`. */
  #place(vcpu: Vcpu, request: Uint8Array, sync: boolean): void {
    const { vmEvents, domain } = vcpu;
    if (sync) vmEvents.pauseCount++;
    const view = this.view;
    this.#slot(view, this.#reqProd).set(request);
    this.#reqProd = (this.#reqProd + 1) >>> 0;
    view.setUint32(ringAt(domain.host.release, 'req_prod'), this.#reqProd, true);
    // every vCPU could be about to tell of something: one that is not paused waits while there is no room for all
    if (vmEvents.pauseCount === 0 && this.#free < domain.vcpus.length) vmEvents.blocked = true;
    this.#ports.notifyXen(this.port);
  }

  #answer(response: DataView): void {
    const { event } = vmEventLayoutOf(this.#domain.host.release);
    if (response.getUint32(event.at['version'] ?? 0, true) !== this.#version) return;
    const vcpu = this.#domain.vcpus[response.getUint32(event.at['vcpu_id'] ?? 0, true)];
    if (vcpu) applyResponse(vcpu, response);
  }

  /** `vm_event_wake`: events that wait for a slot come first, then vCPUs that wait for room. */
  #wake(): void {
    if (this.#queue.length > 0) {
      for (let free = this.#free; free > 0; free--) {
        const next = this.#queue.shift();
        if (!next) break;
        next.vcpu.vmEvents.queued = false;
        this.#place(next.vcpu, next.request, next.sync);
      }
      this.#domain.host.scheduler.wake();
      return;
    }
    const { vcpus } = this.#domain;
    const first = this.#lastWoken + 1;
    let free = this.#free;
    for (let i = 0; i < vcpus.length && free > 0; i++) {
      const vcpu = vcpus[(first + i) % vcpus.length];
      if (!vcpu?.vmEvents.blocked) continue;
      vcpu.vmEvents.blocked = false;
      this.#lastWoken = vcpu.id;
      free--;
    }
    this.#domain.host.scheduler.wake();
  }

  #close(): void {
    const { host, vcpus } = this.#domain;
    this.#ports.closeXen(this.port);
    for (const vcpu of vcpus) {
      vcpu.vmEvents.blocked = false;
      vcpu.vmEvents.forget();
    }
    host.memory.letGo(this.#mfn);
    this.#domain.ring = null;
    host.scheduler.wake();
  }
}

/** Where a member of the ring's head lies. */
function ringAt(release: Release, name: 'req_prod' | 'req_event' | 'rsp_prod' | 'rsp_event' | 'ring'): number {
  return vm_event_sring.for(release).at[name] ?? 0;
}
