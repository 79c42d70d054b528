/** 64-bit numbers in JSON, whose readers round what is above 2^53. */

import { INVALID_GFN } from '../abi/xen.js';

/** A number where a number holds it, `"INVALID"` for all ones, else `"0x..."`. */
export function u64ToJson(value: number | bigint): number | string {
  if (value <= Number.MAX_SAFE_INTEGER) return Number(value);
  return BigInt(value) >= INVALID_GFN ? 'INVALID' : `0x${value.toString(16)}`;
}

/**
 * Reads what {@link u64ToJson} wrote. A plain number above 2^53 is all ones: recordings that were not written here hold
 * 18446744073709551615, which JSON.parse rounds, and no other such number. Null: it is no unsigned 64-bit number.
 */
export function u64FromJson(value: unknown): number | bigint | null {
  if (value === 'INVALID') return INVALID_GFN;
  if (typeof value === 'number') {
    if (value > Number.MAX_SAFE_INTEGER) return INVALID_GFN;
    return Number.isInteger(value) && value >= 0 ? value : null;
  }
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/i.test(value)) return null;
  const exact = BigInt(value);
  return exact <= Number.MAX_SAFE_INTEGER ? Number(exact) : exact;
}
