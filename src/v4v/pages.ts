/** Which pages of a driver's memory are free. */

export class Pages {
  /** By page; true is free. */
  readonly #free: boolean[];

  /** @param first pages before it are never given @throws RangeError when there are none behind it */
  constructor(first: number, count: number) {
    if (count <= first)
      throw new RangeError(`${count} pages of memory are too few for a driver: more than ${first} are needed`);
    this.#free = Array.from({ length: count }, (_, page) => page >= first);
  }

  /** The first of so many consecutive pages; null: there are not so many. */
  take(count: number): number | null {
    for (let start = 0, run = 0; start + run < this.#free.length; ) {
      if (!this.#free[start + run]) {
        start += run + 1;
        run = 0;
      } else if (++run === count) {
        this.#free.fill(false, start, start + count);
        return start;
      }
    }
    return null;
  }

  give(first: number, count: number): void {
    this.#free.fill(true, first, first + count);
  }
}
