/**
 * The Internet checksum: one's complement sums of 16-bit words in network byte order (RFC 1071), and their update when
 * a word changes (RFC 1624).
 *
 * A *full* checksum is the complement of the sum over pseudo-header, header and data. A *partial* ("blank") one, which
 * a sender with checksum offload leaves in the field, is the folded sum of the pseudo-header alone, and is not
 * complemented: addresses, protocol and length are in it, ports and data are not.
 */

import { loadAddon } from '../native/load.js';
import type { NetAddon } from '../native/net.js';
import { readUint16 } from './bytes.js';

/** Folds a sum to 16 bits. Only 0 gives 0: other multiples of 0xffff, which are zero as well, give 0xffff. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** Words summed up before the sum is folded: 2^16 of them stay below 2^32. */
const WORDS_AT_ONCE = 0x8000;

/**
 * Sums the words of a part of `bytes`. A last odd byte is the high half of a word.
 *
 * @param initial a sum to go on from: that of what lies before, which must have had an even length
 * @returns 16 bits, not complemented; 0 only when all was zero
 */
export function checksumSum(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
    throw new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length} cannot be summed`);
  }
  return sumBytes(bytes, offset, length, initial);
}

/** From here on the addon is faster, though a call costs about 90 ns. */
const NATIVE_FROM = 192;

let addon: NetAddon | null | undefined;

/** {@link checksumSum} of bytes that are known to be there. */
export function sumBytes(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  if (length >= NATIVE_FROM) {
    if (addon === undefined) addon = loadAddon().addon;
    if (addon) return addon.checksumSum(bytes, offset, length, initial);
  }
  return sumPlain(bytes, offset, length, initial);
}

/**
 * What {@link sumBytes} is without the addon.
 *
 * @internal
 */
export function sumPlain(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  const end = offset + (length & ~1);
  let sum = initial;
  let at = offset;
  while (at < end) {
    const stop = Math.min(end, at + 2 * WORDS_AT_ONCE);
    let high = 0;
    let low = 0;
    for (; at + 6 < stop; at += 8) {
      high += (bytes[at] as number) + (bytes[at + 2] as number) + (bytes[at + 4] as number) + (bytes[at + 6] as number);
      low +=
        (bytes[at + 1] as number) + (bytes[at + 3] as number) + (bytes[at + 5] as number) + (bytes[at + 7] as number);
    }
    for (; at < stop; at += 2) {
      high += bytes[at] as number;
      low += bytes[at + 1] as number;
    }
    sum = fold(sum + high * 0x100 + low);
  }
  if (length & 1) sum += (bytes[end] as number) << 8;
  return fold(sum);
}

/**
 * Updates a full checksum for a part of what it covers that has changed: RFC 1624, equation 3. Several changes are
 * several calls. UDP has no checksum where the field is 0, and sends 0xffff for a checksum of 0: that is the caller's.
 *
 * @param check the field
 * @param from what was there: a number of 16 or 32 bits (a port, an address), or bytes, an even number of them
 * @param to what is there now, of the same kind
 */
export function checksumUpdate(check: number, from: number | Uint8Array, to: number | Uint8Array): number {
  return ~fold((~check & 0xffff) + difference(from, to)) & 0xffff;
}

/**
 * Updates a partial checksum for a part of the *pseudo-header* that has changed: an address or the length. The ports
 * are not in it, and whoever completes the checksum sums the new ones by itself.
 */
export function checksumUpdatePartial(check: number, from: number | Uint8Array, to: number | Uint8Array): number {
  return fold(check + difference(from, to));
}

/** What one's complement arithmetic adds to a sum when `from` becomes `to`. */
function difference(from: number | Uint8Array, to: number | Uint8Array): number {
  if (typeof from === 'number' && typeof to === 'number') {
    if (!(from >= 0 && from <= 0xffffffff && to >= 0 && to <= 0xffffffff)) {
      throw new RangeError(`numbers of 16 or 32 bits are taken, not ${from} and ${to}`);
    }
    const low = (~from & 0xffff) + (to & 0xffff);
    // of two 16-bit numbers nothing else is added: ~0 is a zero, but not the one that checksums end with
    return from <= 0xffff && to <= 0xffff ? low : low + (~from >>> 16) + (to >>> 16);
  }
  if (typeof from === 'number' || typeof to === 'number') throw new TypeError('from and to must be of the same kind');
  if (from.length !== to.length || from.length % 2 !== 0) {
    throw new RangeError(`${from.length} bytes cannot become ${to.length}: one even number of bytes is needed`);
  }
  return (~sumBytes(from, 0, from.length, 0) & 0xffff) + sumBytes(to, 0, to.length, 0);
}

/**
 * The sum over a pseudo-header (RFC 793, RFC 8200 section 8.1), folded and not complemented: what a partial checksum is.
 *
 * @param addresses where the source address lies, with the destination after it, as IP headers have them
 * @param addressLength of each: 4 or 16
 * @param length of the TCP or UDP packet, header included
 */
export function pseudoHeaderSum(
  bytes: Uint8Array,
  addresses: number,
  addressLength: number,
  protocol: number,
  length: number,
): number {
  let sum = protocol + (length & 0xffff) + Math.floor(length / 0x10000);
  const end = addresses + 2 * addressLength;
  for (let at = addresses; at < end; at += 2) sum += readUint16(bytes, at);
  return fold(sum);
}
