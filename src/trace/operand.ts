/** Reads the structures that a hypercall's arguments point to, where they lie in the arena. */

import type { Field, Struct } from '../abi/layout.js';
import type { Arena } from '../hypervisor/arena.js';

/** A structure in the arena. */
export class Operand {
  readonly #arena: Arena;
  readonly #offset: number;
  readonly size: number;

  private constructor(arena: Arena, offset: number, size: number) {
    this.#arena = arena;
    this.#offset = offset;
    this.size = size;
  }

  /** The `size` bytes at an address; null when they are not in the arena. */
  static at(arena: Arena, address: number, size: number): Operand | null {
    const offset = address - arena.base;
    const inside = Number.isInteger(offset) && offset >= 0 && offset + size <= arena.bytes.length;
    return inside ? new Operand(arena, offset, size) : null;
  }

  /** A structure inside this one. */
  within(offset: number, size: number): Operand {
    return new Operand(this.#arena, this.#offset + offset, Math.min(size, this.size - offset));
  }

  /** An unsigned field. 64-bit values that a number does not hold exactly are bigints. */
  value([offset, size]: Field): number | bigint {
    return size === 8 ? this.u64(offset) : this.u32([offset, size]);
  }

  /** An unsigned field of at most 4 bytes. */
  u32([offset, size]: Field): number {
    const { view } = this.#arena;
    const at = this.#offset + offset;
    if (size === 1) return view.getUint8(at);
    return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
  }

  s32([offset]: Field): number {
    return this.#arena.view.getInt32(this.#offset + offset, true);
  }

  u64(offset: number): number | bigint {
    const value = this.#arena.view.getBigUint64(this.#offset + offset, true);
    return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  /** The field's bytes, as they are now. */
  bytes([offset, size]: Field): Uint8Array {
    return this.#arena.bytes.slice(this.#offset + offset, this.#offset + offset + size);
  }

  hex(field: Field): string {
    return Buffer.from(this.bytes(field)).toString('hex');
  }

  /** Whether every byte outside these fields is zero. */
  zeroBut(fields: readonly Field[]): boolean {
    const bytes = this.bytes([0, this.size]);
    for (const [offset, size] of fields) bytes.fill(0, offset, offset + size);
    return bytes.every((byte) => byte === 0);
  }
}

/** A field of a structure whose layout the release decides; absent fields are [0, 0]. */
export function fieldOf(struct: Struct, name: string): Field {
  return struct.fields[name] ?? [0, 0];
}
