/** What a step expects: a set of named values, each read by a reader of its own, and compared with what was got. */

import type { Fields } from './fields.js';
import type { Difference } from './result.js';

/** A value as it is compared. 64-bit values are numbers where a number holds them, and ~0 is a bigint. */
export type Value = number | bigint | string | boolean | null;
/** What a call gave, by the names that recordings use. */
export type Got = Readonly<Record<string, Value | undefined>>;
/** Reads one member of what is expected. */
export type Reader = (fields: Fields, key: string) => Value;
export type Readers = Readonly<Record<string, Reader>>;

export const s32: Reader = (fields, key) => fields.integer(key, -0x8000_0000, 0x7fff_ffff);
export const u32: Reader = (fields, key) => fields.u32(key);
export const u64: Reader = (fields, key) => fields.u64(key);
/** 0 or 1, also written false and true. */
export const flag: Reader = (fields, key) => Number(fields.flag(key));
export const yesNo: Reader = (fields, key) => fields.boolean(key);
export const text: Reader = (fields, key) => fields.string(key);
/** A vector, or null: none. */
export const vector: Reader = (fields, key) => (fields.raw(key) === null ? null : fields.integer(key, 0, 31));
/** A 32-bit value in memory: a number, or a string of hexadecimal digits. */
export const word: Reader = (fields, key) => {
  const value = fields.raw(key);
  const hex = typeof value === 'string' && /^0x[0-9a-f]{1,8}$/i.test(value);
  return hex ? Number(value) : fields.u32(key);
};

/** A 64-bit result as it is compared with {@link u64}. */
export function wide(value: number | bigint): number | bigint {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : BigInt(value);
}

export class Expected {
  readonly #values: ReadonlyMap<string, Value>;

  /** Reads an object. Members that have no reader are refused. */
  constructor(fields: Fields, readers: Readers) {
    const values = new Map<string, Value>();
    for (const key of fields.keys()) {
      const reader = Object.hasOwn(readers, key) ? readers[key] : undefined;
      if (reader) values.set(key, reader(fields, key));
    }
    fields.end();
    this.#values = values;
  }

  /** What differs, named with `prefix` before each. */
  differences(got: Got, prefix = ''): Difference[] {
    const found: Difference[] = [];
    for (const [key, expected] of this.#values) {
      if (got[key] !== expected) found.push({ what: `${prefix}${key}`, expected, got: got[key] });
    }
    return found;
  }
}
