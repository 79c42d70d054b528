/** Xen's console ring (`drivers/char/console.c`): what Xen has printed, the oldest overwritten when it is full. */

/** `conring_size`, without `conring_size=` on the command line. */
const SIZE = 16384;

export class ConsoleRing {
  readonly #ring = new Uint8Array(SIZE);
  /** Bytes ever written, and the one that a read that is not incremental begins at. Both wrap at 2^32, as Xen's do. */
  #produced = 0;
  #start = 0;

  /** Prints lines, each with Xen's mark before it. */
  print(...lines: readonly string[]): void {
    for (const line of lines) {
      for (const byte of Buffer.from(`(XEN) ${line}\n`)) {
        this.#ring[this.#produced % SIZE] = byte;
        this.#produced = (this.#produced + 1) >>> 0;
      }
    }
  }

  /**
   * `read_console_ring`: bytes from the start, or from `index` on if that is later.
   *
   * @param most no more than so many
   */
  read(index: number | null, most: number): { readonly bytes: Uint8Array; readonly index: number } {
    let at = index !== null && later(index, this.#start) ? index : this.#start;
    if ((this.#produced - at) >>> 0 > SIZE) at = (this.#produced - SIZE) >>> 0;
    const count = Math.min(most, (this.#produced - at) >>> 0);
    const bytes = Uint8Array.from({ length: count }, (_, i) => this.#ring[(at + i) % SIZE] as number);
    return { bytes, index: (at + count) >>> 0 };
  }

  /** From now on reads that are not incremental begin at `index`. */
  clear(index: number): void {
    this.#start = index;
  }
}

function later(a: number, b: number): boolean {
  return (a - b) >> 0 > 0;
}
