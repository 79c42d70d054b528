/**
 * Memory that the hypervisor may read and write while a hypercall runs: pages that never move and are never paged out
 * (privcmd, libxen) or the model's own. Arguments are encoded in place, so no call copies them again.
 *
 * Layout: the privcmd slot, then the operand (the one structure a synchronous call passes), then a heap for lists and
 * for asynchronous calls.
 */

/** Offset of `struct privcmd_hypercall {u64 op, arg[5]}` and, behind it, of the 64-bit result. */
export const SLOT_OFFSET = 0;
/** Offset of the operand. Every synchronous call encodes here; nothing in it outlives the call. */
export const OPERAND_OFFSET = 64;
/** Room for the operand; the largest, `xen_domctl`, has 144 bytes. */
export const OPERAND_SIZE = 448;
const HEAP_OFFSET = OPERAND_OFFSET + OPERAND_SIZE;
const ALIGNMENT = 16;

/** A piece of the arena. Free it (`using`, or `free()`): the arena is small and is not collected. */
export interface ArenaBuffer extends Disposable {
  /** Byte offset in the arena. */
  readonly offset: number;
  /** Address to give to the hypervisor. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Gives the memory back. Twice is harmless. */
  free(): void;
}

/** Thrown when a list does not fit beside those in use. Calls that take lists send them in pieces and never need it. */
export class ArenaFullError extends RangeError {
  override readonly name = 'ArenaFullError';
}

export class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Address of the first byte, as the hypervisor sees it. */
  readonly base: number;
  readonly operandAddress: number;
  /** Free pieces of the heap, by offset, never adjacent. */
  readonly #free: { offset: number; size: number }[];

  /**
   * @param buffer the memory
   * @param base its address in the hypervisor's eyes; below 2^53
   * @param size how much of the buffer is the arena's, from its start
   */
  constructor(buffer: ArrayBuffer, base: number, size: number = buffer.byteLength) {
    this.bytes = new Uint8Array(buffer, 0, size);
    this.view = new DataView(buffer, 0, size);
    this.base = base;
    this.operandAddress = base + OPERAND_OFFSET;
    this.#free = [{ offset: HEAP_OFFSET, size: size - HEAP_OFFSET }];
  }

  /** Bytes of the largest piece that {@link alloc} could give now. */
  get largestFree(): number {
    return this.#free.reduce((most, piece) => Math.max(most, piece.size), 0);
  }

  /** A zeroed piece of `size` bytes, aligned to 16. */
  alloc(size: number): ArenaBuffer {
    const wanted = Math.max(ALIGNMENT, Math.ceil(size / ALIGNMENT) * ALIGNMENT);
    const index = this.#free.findIndex((piece) => piece.size >= wanted);
    const piece = this.#free[index];
    if (!piece) throw new ArenaFullError(`${size} bytes wanted, ${this.largestFree} free in the hypercall arena`);
    const { offset } = piece;
    piece.offset += wanted;
    piece.size -= wanted;
    if (piece.size === 0) this.#free.splice(index, 1);
    const bytes = this.bytes.subarray(offset, offset + size).fill(0);
    let live = true;
    const free = (): void => {
      if (live) this.#release(offset, wanted);
      live = false;
    };
    return { offset, address: this.base + offset, bytes, free, [Symbol.dispose]: free };
  }

  #release(offset: number, size: number): void {
    const next = this.#free.findIndex((piece) => piece.offset > offset);
    const at = next < 0 ? this.#free.length : next;
    this.#free.splice(at, 0, { offset, size });
    this.#merge(at);
    this.#merge(at - 1);
  }

  #merge(index: number): void {
    const piece = this.#free[index];
    const after = this.#free[index + 1];
    if (!piece || !after || piece.offset + piece.size !== after.offset) return;
    piece.size += after.size;
    this.#free.splice(index + 1, 1);
  }
}
