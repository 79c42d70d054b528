/** The page that a domain shares with Xen, and events by its bits: the 2-level ABI (`common/event_2l.c`). */

import { DOMID_XEN, PAGE_SIZE, shared_info, vcpu_info } from '../abi/xen.js';
import type { EventAbi } from './event_channels.js';
import type { MachineMemory } from './machine_memory.js';

const { evtchn_pending, evtchn_mask } = shared_info.fields;
/** vCPUs that have their part in the page; others must put theirs elsewhere, which is not modelled. */
const VCPUS = shared_info.fields.vcpu_info[1] / vcpu_info.size;
const PORTS_PER_WORD = 64;

export class SharedInfo implements EventAbi {
  readonly capacity = PORTS_PER_WORD ** 2;
  readonly #memory: MachineMemory;
  /** What the page holds until it has a frame. A domain that does not look at it needs none. */
  #loose: Uint8Array = new Uint8Array(PAGE_SIZE);
  #mfn: number | null = null;
  /**
   * Called after the bits say that an event is there, each time a port that is not masked becomes pending: the
   * interrupt of the guest, for code that plays the guest's kernel.
   */
  onUpcall: ((vcpu: number, port: number) => void) | null = null;

  constructor(memory: MachineMemory) {
    this.#memory = memory;
  }

  /** The page's machine frame, taken when it is first asked for; null: memory is short. */
  get mfn(): number | null {
    if (this.#mfn !== null) return this.#mfn;
    this.#mfn = this.#memory.allocateXen();
    if (this.#mfn !== null) this.#memory.page(DOMID_XEN, this.#mfn).set(this.#loose);
    return this.#mfn;
  }

  /** The page. */
  get bytes(): Uint8Array {
    return this.#mfn === null ? this.#loose : this.#memory.page(DOMID_XEN, this.#mfn);
  }

  /** The domain is gone. */
  free(): void {
    if (this.#mfn !== null) this.#memory.freeXen(this.#mfn);
    this.#mfn = null;
  }

  save(): number | null {
    return this.#mfn;
  }

  restore(mfn: number | null): void {
    this.#mfn = mfn;
  }

  pending(): Uint8Array {
    return this.bytes.subarray(evtchn_pending[0], evtchn_pending[0] + evtchn_pending[1]);
  }

  mask(): Uint8Array {
    return this.bytes.subarray(evtchn_mask[0], evtchn_mask[0] + evtchn_mask[1]);
  }

  upcall(vcpu: number, port: number): void {
    const { bytes } = this;
    if (vcpu < VCPUS) {
      const word = Math.floor(port / PORTS_PER_WORD);
      const base = vcpu * vcpu_info.size;
      const selector = base + vcpu_info.at.evtchn_pending_sel + (word >>> 3);
      bytes[selector] = (bytes[selector] ?? 0) | (1 << (word & 7));
      bytes[base + vcpu_info.at.evtchn_upcall_pending] = 1;
    }
    this.onUpcall?.(vcpu, port);
  }
}
