/** Pages that a domain keeps for rings, and what has become of them since they were last looked at. */

import { xen_argo_ring } from '../../abi/argo.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import type { Domain } from '../../model/domain.js';

const RING = xen_argo_ring.at;

export class PageSet {
  readonly name: string;
  readonly owner: Domain;
  readonly gfns: readonly number[];
  readonly mfns: readonly number[];
  /** As it was when {@link look} looked last. */
  readonly before: Uint8Array;
  readonly #beforeView: DataView;

  constructor(name: string, owner: Domain, gfns: readonly number[]) {
    this.name = name;
    this.owner = owner;
    this.gfns = gfns;
    this.mfns = gfns.map((gfn) => owner.p2m.lookup(gfn).mfn);
    this.before = new Uint8Array(gfns.length * PAGE_SIZE);
    this.#beforeView = new DataView(this.before.buffer);
  }

  /** The owner fills all of it with a byte and sets the pointers. */
  fill(byte: number, rx: number, tx: number): void {
    for (const [index, gfn] of this.gfns.entries()) {
      this.#page(index).fill(byte);
      this.owner.frameTypes.noteWrite(gfn);
    }
    this.poke(RING.rx_ptr, rx);
    this.poke(RING.tx_ptr, tx);
  }

  /** The owner writes 32 bits. */
  poke(offset: number, value: number): void {
    const index = Math.floor(offset / PAGE_SIZE);
    const page = this.#page(index);
    new DataView(page.buffer, page.byteOffset, PAGE_SIZE).setUint32(offset % PAGE_SIZE, value, true);
    this.owner.frameTypes.noteWrite(this.gfns[index] ?? 0);
    this.look();
  }

  /** Takes it in as it is now. */
  look(): void {
    for (let index = 0; index < this.mfns.length; index++) this.before.set(this.#page(index), index * PAGE_SIZE);
  }

  /** As it is now, when that is otherwise than it was; null: nothing has changed. */
  changed(): Uint8Array | null {
    const same = this.mfns.every((_, index) => {
      const was = this.before.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
      return Buffer.compare(was, this.#page(index)) === 0;
    });
    if (same) return null;
    const now = this.before.slice();
    for (let index = 0; index < this.mfns.length; index++) now.set(this.#page(index), index * PAGE_SIZE);
    return now;
  }

  wordBefore(offset: number): number {
    return this.#beforeView.getUint32(offset, true);
  }

  #page(index: number): Uint8Array {
    const mfn = this.mfns[index];
    if (mfn === undefined) throw new RangeError(`page set ${this.name} has no page ${index}`);
    return this.owner.host.memory.page(this.owner.domid, mfn);
  }
}
