/** The native addon's whole surface (`native/binding.cc`). It never throws: -22 for wrong arguments, -9 after close. */

/** Raised with every change of this surface, here and in `native/binding.cc`. */
export const ADDON_ABI = 1;

export interface Addon {
  readonly abi: number;
  /**
   * Opens privcmd and makes the arena.
   *
   * @param path the device; null for where Linux has it
   * @param arenaPages 1 to 1024
   * @returns the handle, or the negative errno; -95 when this Node forbids memory that is not its own
   */
  open(path: string | null, arenaPages: number): NativeHandle | number;
}

/** A mapping's number and its pages. */
export interface NativeMapping {
  readonly id: number;
  readonly buffer: ArrayBuffer;
}

/**
 * An open device. A slot is 56 bytes of the arena: `op`, five arguments, result, 64 bits each. Offsets are in bytes and
 * multiples of 8. When the handle is forgotten without close(), the collector closes it some time.
 */
export interface NativeHandle {
  readonly arena: ArrayBuffer;
  /** Address of the arena's first byte. */
  readonly address: number;
  /** Issues the slot at offset 0. */
  hypercall(): void;
  /** Issues `count` slots one after the other. 0, or -22 and nothing issued when they do not lie in the arena. */
  hypercallBatch(offset: number, count: number): number;
  /** Copies the slot at `offset` and issues it on a pool thread. The promise gives its result. */
  hypercallAsync(offset: number): Promise<number> | number;
  /**
   * Maps frames and fills `errors`, which is as long as `gfns`. Fetching pages that are paged out may block for a minute.
   *
   * @returns the mapping, or the negative errno that kept all from being mapped; -24 when too many are open
   */
  mapForeign(domid: number, gfns: BigUint64Array, prot: number, errors: Int32Array): NativeMapping | number;
  /** Detaches the mapping's buffer, then unmaps. 0, or -22 when there is no such mapping any more. */
  unmap(id: number): number;
  restrict(domid: number): number;
  /** Detaches the arena and all mappings. The device itself closes once no call in flight uses it. Always 0. */
  close(): number;
}
