/**
 * Translations that were made: a table with one place for each page number, as a processor's own has. A page that needs a
 * place takes it from another.
 */

/** Added to a page number it is the tag of a place: no tag is 0, which a place has that is free. */
const TAG = 0.5;

export class TranslationCache {
  /**
   * For each place a tag, which says whose it is, and the frame. It never changes its size, which lets V8 take it for a
   * constant; of one that is hardly used the system gives us little more than the promise.
   */
  readonly #entries: Float64Array;
  readonly #mask: number;
  /** Where the places are that were taken, so that a clear need not touch all. */
  readonly #taken: Int32Array;
  #count = 0;

  /** @param places how many; rounded up to a power of two */
  constructor(places: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(1, places)));
    this.#entries = new Float64Array(size * 2);
    this.#taken = new Int32Array(size);
    this.#mask = size - 1;
  }

  /** Frame of a page, or -1. A page that is no integer has none. */
  find(page: number): number {
    const at = (page & this.#mask) * 2;
    return this.#entries[at] === page + TAG ? (this.#entries[at + 1] as number) : -1;
  }

  set(page: number, frame: number): void {
    const at = (page & this.#mask) * 2;
    if (this.#entries[at] === 0) this.#taken[this.#count++] = at;
    this.#entries[at] = page + TAG;
    this.#entries[at + 1] = frame;
  }

  clear(): void {
    for (let i = 0; i < this.#count; i++) this.#entries[this.#taken[i] as number] = 0;
    this.#count = 0;
  }
}
