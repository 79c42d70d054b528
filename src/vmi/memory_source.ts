/** Where guest memory comes from: a live domain, or a saved image. Everything above reads either alike. */

/** One page of a guest, in three shapes of the same 4096 bytes. */
export interface Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** For page tables. */
  readonly words: Uint32Array;
}

/** The shapes of a page, whose first byte is aligned. */
export function asPage(bytes: Uint8Array): Page {
  const { buffer, byteOffset } = bytes;
  return {
    bytes,
    view: new DataView(buffer, byteOffset, bytes.length),
    words: new Uint32Array(buffer, byteOffset, bytes.length >> 2),
  };
}

/** Guest-physical memory by frames of 4096 bytes. */
export interface MemorySource extends Disposable {
  /** One more than the highest frame that has, or had, memory. */
  readonly frames: number;
  /** True when the guest may be running, so that what was read can change. */
  readonly live: boolean;

  /**
   * A page to read, null where there is no memory. It is good until the next call or the next turn of the event loop:
   * take what you need and keep no reference.
   */
  page(frame: number): Page | null;

  /** A page to write, null where there is none that may be written. As good for long as {@link page}. */
  writablePage(frame: number): Page | null;

  /**
   * Copies frames `first` to `first + count - 1`, for long runs: it keeps nothing mapped.
   *
   * @param target at least `count` * 4096 bytes; what is there for a frame without memory is of no meaning
   * @param present for each frame 1, or 0 where there is no memory
   * @returns how many have memory
   */
  readFrames(first: number, count: number, target: Uint8Array, present: Uint8Array): number;

  /** Forgets what it keeps of pages. */
  drop(): void;
  /** Twice is harmless. */
  close(): void;
}

/** Reads for {@link MemorySource.readFrames} page by page. */
export function readEachFrame(
  read: (frame: number) => Uint8Array | null,
  first: number,
  count: number,
  target: Uint8Array,
  present: Uint8Array,
): number {
  let found = 0;
  for (let i = 0; i < count; i++) {
    const bytes = read(first + i);
    if (bytes) target.set(bytes, i * 4096);
    present[i] = bytes ? 1 : 0;
    if (bytes) found++;
  }
  return found;
}
