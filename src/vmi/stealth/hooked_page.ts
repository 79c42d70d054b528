/** One guest page with hooks: its shadow, a copy at a spare frame that has them, and where they are. */

import type { MemorySource } from '../memory_source.js';

/** INT3, the breakpoint instruction. */
export const INT3 = 0xcc;

/** Bytes that the shadow has instead of the page's. */
export interface Overlay {
  /** Of the first byte, in the page. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class HookedPage {
  readonly gfn: number;
  /** Where the shadow is. */
  readonly shadow: number;
  readonly #memory: MemorySource;
  readonly #overlays = new Set<Overlay>();

  constructor(memory: MemorySource, gfn: number, shadow: number) {
    this.#memory = memory;
    this.gfn = gfn;
    this.shadow = shadow;
  }

  get empty(): boolean {
    return this.#overlays.size === 0;
  }

  /** What lies over any of these bytes, or undefined. */
  over(offset: number, length: number): Overlay | undefined {
    return [...this.#overlays].find((one) => one.offset < offset + length && offset < one.offset + one.bytes.length);
  }

  add(overlay: Overlay): void {
    this.#overlays.add(overlay);
    this.refresh();
  }

  delete(overlay: Overlay): void {
    this.#overlays.delete(overlay);
    this.refresh();
  }

  /** Makes the shadow what the page is now, and puts the hooks into it. False: one of the two has no memory any more. */
  refresh(): boolean {
    const original = this.#memory.page(this.gfn)?.bytes.slice();
    const shadow = this.#memory.writablePage(this.shadow)?.bytes;
    if (!original || !shadow) return false;
    for (const { offset, bytes } of this.#overlays) original.set(bytes, offset);
    shadow.set(original);
    return true;
  }
}
