/**
 * Addresses. A virtual address is 64 bits with the upper ones copies of one below, so as a signed number it is small:
 * 0xffff888000000000 is -0x778000000000, which a JavaScript number holds exactly, and which costs a tenth of a bigint.
 */

/**
 * An address: a bigint as the processor has it (`0xffff888000000000n`), or a number as its signed value (`-0x778000000000`;
 * below 2^47 the two are the same). A number must be exact: from -2^53 to 2^53. A bigint counts modulo 2^64, so that a sum
 * of what a guest calls a pointer and an offset is an address as it is to a processor.
 */
export type Address = number | bigint;

export const PAGE_BITS = 12;
export const PAGE_BYTES = 4096;
const PAGE_MASK = 4095;

/** Where in its page an address is. */
export function pageOffset(address: Address): number {
  // `&` takes a number modulo 2^32, which leaves the low bits of a negative one what the processor has
  return typeof address === 'number' ? address & PAGE_MASK : Number(BigInt.asUintN(12, address));
}

/** Number of an address's page: signed as the address is. */
export function pageNumber(address: Address): number {
  if (typeof address === 'number') return (address - (address & PAGE_MASK)) / PAGE_BYTES;
  const number = Number(BigInt.asIntN(64, address));
  // exact, but for tables of five levels: one bigint less
  return Number.isSafeInteger(number) ? pageNumber(number) : Number(BigInt.asIntN(64, address) >> 12n);
}

/** An address as the processor has it. */
export function toBigint(address: Address): bigint {
  return BigInt.asUintN(64, BigInt(address));
}

/** The address of a byte in a page, as the processor has it. */
export function addressIn(page: number, offset: number): bigint {
  return BigInt.asUintN(64, BigInt(page) * 4096n + BigInt(offset));
}

/** An address that comes `bytes` after another. */
export function after(address: Address, bytes: number): Address {
  return typeof address === 'number' ? address + bytes : BigInt.asUintN(64, address + BigInt(bytes));
}

/**
 * The number for an address; what `Number()` is not, for addresses of the upper half.
 *
 * @throws RangeError it is beyond 2^53 (only tables of five levels have such)
 */
export function toNumber(address: Address): number {
  const number = typeof address === 'number' ? address : Number(BigInt.asIntN(64, address));
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`${hexAddress(address)} is no number that is exact: give a bigint`);
}

/** Refuses what is no address. */
export function checkAddress(address: Address, name = 'address'): void {
  if (typeof address === 'bigint') return;
  if (typeof address !== 'number') throw new TypeError(`${name} must be a number or a bigint, not ${typeof address}`);
  if (Number.isSafeInteger(address)) return;
  throw new RangeError(`${name} must be an integer that a number holds exactly, or a bigint, not ${address}`);
}

/** `0xffff888000000000`. */
export function hexAddress(address: Address): string {
  if (typeof address === 'number' && !Number.isInteger(address)) return String(address);
  return `0x${toBigint(address).toString(16)}`;
}
