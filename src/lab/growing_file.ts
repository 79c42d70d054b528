/** Reads along in a file that something else writes, or in a part of one. */

import { closeSync, openSync, readSync } from 'node:fs';

/** At most this much at a time, so that a flood of output does not fill the memory. */
const CHUNK = 1 << 20;

export class GrowingFile {
  readonly #path: string;
  readonly #start: number;
  #position = 0;

  /** @param start where in the file to begin */
  constructor(path: string, start = 0) {
    this.#path = path;
    this.#start = start;
  }

  /** How many bytes were read. */
  get position(): number {
    return this.#position;
  }

  /**
   * The next bytes; none when there are none yet, or no file.
   *
   * @param end read no further than this many bytes from the start
   */
  next(end: number = Number.POSITIVE_INFINITY): Buffer {
    const wanted = Math.min(CHUNK, end - this.#position);
    if (wanted <= 0) return Buffer.alloc(0);
    let fd: number;
    try {
      fd = openSync(this.#path, 'r');
    } catch {
      return Buffer.alloc(0);
    }
    try {
      const piece = Buffer.alloc(wanted);
      const read = readSync(fd, piece, 0, wanted, this.#start + this.#position);
      this.#position += read;
      return piece.subarray(0, read);
    } finally {
      closeSync(fd);
    }
  }
}
