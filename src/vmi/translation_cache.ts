/**
 * Translations that were made: a table with one place for each page number, as a processor's own has, in two typed
 * arrays. It begins small and doubles while pages push each other out.
 */

const SMALLEST = 256;

export class TranslationCache {
  readonly #most: number;
  /** Page numbers; NaN, which equals nothing: free. */
  #pages: Float64Array;
  #frames: Float64Array;
  #mask: number;
  /** Pages pushed out since the table grew. */
  #pushed = 0;

  /** @param most pages that it may hold; rounded up to a power of two */
  constructor(most: number) {
    this.#most = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(Math.max(1, most))));
    this.#pages = new Float64Array(SMALLEST).fill(Number.NaN);
    this.#frames = new Float64Array(SMALLEST);
    this.#mask = SMALLEST - 1;
  }

  /** Pages that it has room for now. */
  get capacity(): number {
    return this.#mask + 1;
  }

  /** Frame of a page, or -1. */
  find(page: number): number {
    const at = page & this.#mask;
    return this.#pages[at] === page ? (this.#frames[at] as number) : -1;
  }

  set(page: number, frame: number): void {
    let at = page & this.#mask;
    const old = this.#pages[at] as number;
    if (!Number.isNaN(old) && old !== page && this.capacity < this.#most && ++this.#pushed > this.capacity / 4) {
      this.#grow();
      at = page & this.#mask;
    }
    this.#pages[at] = page;
    this.#frames[at] = frame;
  }

  clear(): void {
    this.#pages.fill(Number.NaN);
    this.#pushed = 0;
  }

  #grow(): void {
    const pages = this.#pages;
    const frames = this.#frames;
    const size = this.capacity * 2;
    this.#pages = new Float64Array(size).fill(Number.NaN);
    this.#frames = new Float64Array(size);
    this.#mask = size - 1;
    this.#pushed = 0;
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i] as number;
      if (Number.isNaN(page)) continue;
      this.#pages[page & this.#mask] = page;
      this.#frames[page & this.#mask] = frames[i] as number;
    }
  }
}
