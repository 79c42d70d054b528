/** Argument checks. They run before a byte is encoded, so that a refused call has sent and changed nothing. */

function refuse(name: string, value: unknown, wanted: string): never {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  const Kind = typeof value === 'number' || typeof value === 'bigint' ? RangeError : TypeError;
  throw new Kind(`${name} must be ${wanted}, not ${shown}`);
}

/** Checks an unsigned 8-bit integer. */
export function checkU8(value: number, name: string): void {
  if (value !== (value & 0xff)) refuse(name, value, 'an integer from 0 to 255');
}

/** Checks an unsigned 16-bit integer. */
export function checkU16(value: number, name: string): void {
  if (value !== (value & 0xffff)) refuse(name, value, 'an integer from 0 to 65535');
}

/** Checks an unsigned 32-bit integer. */
export function checkU32(value: number, name: string): void {
  if (value !== value >>> 0) refuse(name, value, 'an integer from 0 to 4294967295');
}

/** Checks a domain id: any number that fits `domid_t`; whether the domain exists is for Xen to say. */
export function checkDomid(value: number): void {
  if (value !== (value & 0xffff)) refuse('domid', value, 'an integer from 0 to 65535');
}

export function checkBoolean(value: boolean, name: string): void {
  if (value !== true && value !== false) refuse(name, value, 'true or false');
}

/** Checks a non-negative integer that a `number` holds exactly. */
export function checkCount(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) refuse(name, value, 'an integer from 0 to 2^53 - 1');
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** Checks an unsigned 64-bit value: a non-negative safe integer, or a bigint of at most 64 bits. */
export function checkU64(value: number | bigint, name: string): void {
  if (typeof value === 'number') {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value) return;
  } else if (typeof value === 'bigint' && value >= 0n && value <= U64_MAX) return;
  refuse(name, value, 'an integer from 0 to 2^53 - 1, or a bigint from 0n to 2^64 - 1');
}

/** Writes a checked unsigned 64-bit value, little-endian. */
export function putU64(view: DataView, offset: number, value: number | bigint): void {
  if (typeof value === 'number') {
    view.setUint32(offset, value, true);
    view.setUint32(offset + 4, value > 0xffff_ffff ? value / 0x1_0000_0000 : 0, true);
  } else {
    view.setBigUint64(offset, value, true);
  }
}

/** Reads an unsigned 64-bit value that is expected to be small; above 2^53 the result is rounded. */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/** A list of frame numbers as callers give it. */
export type FrameList = readonly (number | bigint)[] | BigUint64Array;

/** Checks a list of unsigned 64-bit values. Holes are refused, too. */
export function checkU64List(values: FrameList, name: string): void {
  if (values instanceof BigUint64Array) return;
  if (!Array.isArray(values)) refuse(name, values, 'an array of frame numbers or a BigUint64Array');
  for (let i = 0; i < values.length; i++) checkU64(values[i] as number | bigint, `${name}[${i}]`);
}

/** Writes a piece of a checked list as consecutive 64-bit values. */
export function putU64List(view: DataView, offset: number, values: FrameList, start: number, count: number): void {
  for (let i = 0; i < count; i++) putU64(view, offset + i * 8, values[start + i] as number | bigint);
}

/** Checks a signed 32-bit integer. */
export function checkS32(value: number, name: string): void {
  if (value !== (value | 0)) refuse(name, value, 'an integer from -2147483648 to 2147483647');
}

/** Checks that a value is an object other than an array. */
export function checkObject(value: object, name: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(name, value, 'an object');
}
