/** A ring of slots and the pages that they grant: what netfront and netback share, as bytes. */

import type { Struct } from '../../abi/layout.js';

const SLOTS = 256;
export const PAGE = 4096;

/** Slots go one way; whoever takes one frees it. */
export class SlotRing<Name extends string> {
  readonly #struct: Struct<Name>;
  readonly #slots: DataView;
  readonly #pages: Uint8Array[] = [];
  #produced = 0;
  #consumed = 0;

  constructor(layout: Struct<Name>) {
    this.#struct = layout;
    this.#slots = new DataView(new ArrayBuffer(SLOTS * layout.size));
  }

  get free(): number {
    return SLOTS - (this.#produced - this.#consumed);
  }

  /** Puts a page and its slot. */
  put(page: Uint8Array, fields: Readonly<Partial<Record<Name, number>>>): void {
    if (this.free === 0) throw new Error('the ring is full');
    const at = (this.#produced % SLOTS) * this.#struct.size;
    for (const [name, value] of Object.entries(fields) as [Name, number][]) this.#set(at, name, value);
    this.#pages[this.#produced % SLOTS] = page;
    this.#produced++;
  }

  /** Takes the next slot and its page; null: there is none. */
  take(): { readonly page: Uint8Array; readonly field: (name: Name) => number } | null {
    if (this.#consumed === this.#produced) return null;
    const slot = this.#consumed++ % SLOTS;
    const at = slot * this.#struct.size;
    const copy = new DataView(this.#slots.buffer.slice(at, at + this.#struct.size));
    return { page: this.#pages[slot] ?? new Uint8Array(PAGE), field: (name) => this.#get(copy, name) };
  }

  #set(at: number, name: Name, value: number): void {
    const [offset, size] = this.#struct.fields[name];
    if (size === 4) this.#slots.setUint32(at + offset, value, true);
    else this.#slots.setUint16(at + offset, value, true);
  }

  #get(slot: DataView, name: Name): number {
    const [offset, size] = this.#struct.fields[name];
    return size === 4 ? slot.getUint32(offset, true) : slot.getUint16(offset, true);
  }
}
