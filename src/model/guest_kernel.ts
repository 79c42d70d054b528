/**
 * A guest's kernel as a caller of its own: the port, seen from inside the guest. What programs do in dom0 through the port
 * (send over Argo, say), they can do in a guest of the software Xen through this.
 */

import { errno } from '../abi/errno.js';
import { PAGE_SIZE } from '../abi/xen.js';
import { Arena } from '../hypervisor/arena.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels, EventDescriptors } from '../hypervisor/event_channels.js';
import type { Hypervisor } from '../hypervisor/port.js';
import type { Domain } from './domain.js';
import { EvtchnDevice } from './evtchn_device.js';
import type { PinnedFrames } from './machine_memory.js';
import type { Vcpu } from './vcpu.js';

/** What it needs of the machine. */
interface Machine {
  readonly domains: ReadonlyMap<number, Domain>;
}

export interface KernelMemory {
  /** The first of the frames that the kernel has for hypercall arguments and rings. Nobody else may use them. */
  readonly gfn: number;
  readonly pages: number;
}

/** Pages of the kernel's that Xen may be told of, as `argo_register_ring` takes them. */
export interface KernelPages {
  readonly bytes: Uint8Array;
  readonly gfns: readonly number[];
  close(): void;
}

export class GuestKernel implements Hypervisor {
  readonly kind = 'model';
  readonly domid: number;
  readonly arena: Arena;
  readonly #vcpu: Vcpu;
  readonly #memory: PinnedFrames;
  readonly #device: EvtchnDevice;
  readonly #events: EventChannels[] = [];
  #closed = false;

  /**
   * @param machine the software Xen
   * @param domid an HVM guest whose event channels nobody has used yet
   * @throws XenError ESRCH: no such domain
   * @throws RangeError when it does not have the frames
   */
  constructor(machine: Machine, domid: number, { gfn, pages }: KernelMemory) {
    const domain = machine.domains.get(domid);
    const [vcpu] = domain?.vcpus ?? [];
    if (!domain || !vcpu) throw new XenError('guestKernel', -errno.ESRCH, { domid });
    const mfns = Array.from({ length: pages }, (_, i) => {
      const { present, mfn } = domain.p2m.lookup(gfn + i);
      if (!present) throw new RangeError(`domain ${domid} has no frame ${gfn + i}`);
      return mfn;
    });
    this.domid = domid;
    this.#vcpu = vcpu;
    this.#memory = domain.host.memory.pin(domid, mfns);
    this.arena = new Arena(this.#memory.bytes.buffer as ArrayBuffer, gfn * PAGE_SIZE, pages * PAGE_SIZE);
    this.#device = new EvtchnDevice({
      ports: domain.events,
      domid,
      vcpus: domain.vcpus.length,
      lookup: (other) => machine.domains.get(other)?.events ?? null,
      step: () => false,
    });
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    return this.#vcpu.hypercall(op, a1, a2, a3, a4, a5);
  }

  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    return BigInt(this.hypercall(op, a1, a2, a3, a4, a5));
  }

  async hypercallAsync(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.hypercall(op, a1, a2, a3, a4, a5);
  }

  /** Pages of the arena and their frame numbers: memory for a ring. */
  readonly pages = (count: number): KernelPages => {
    const piece = this.arena.alloc((count + 1) * PAGE_SIZE);
    const skipped = (PAGE_SIZE - (piece.address % PAGE_SIZE)) % PAGE_SIZE;
    const first = (piece.address + skipped) / PAGE_SIZE;
    return {
      bytes: piece.bytes.subarray(skipped, skipped + count * PAGE_SIZE),
      gfns: Array.from({ length: count }, (_, i) => first + i),
      close: () => piece.free(),
    };
  };

  eventChannels(same?: EventDescriptors): EventChannels {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    const opened = this.#device.open(same);
    this.#events.push(opened);
    return opened;
  }

  mapForeign(domid: number): never {
    return this.#refuse('mapForeign', domid);
  }

  mapResource(domid: number): never {
    return this.#refuse('mapResource', domid);
  }

  resourceSize(): number {
    return -errno.EPERM;
  }

  dmOp(): number {
    return -errno.EPERM;
  }

  grantTable(): never {
    return this.#refuse('grantTable', this.domid);
  }

  restrict(domid: number): never {
    return this.#refuse('restrict', domid);
  }

  #refuse(what: string, domid: number): never {
    const hint = "a guest's kernel has hypercalls and event channels here, no more";
    throw new XenError(what, -errno.EPERM, { domid, hint });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const events of this.#events.splice(0)) events.close();
    this.#memory.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
