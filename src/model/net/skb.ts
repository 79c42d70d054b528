/** A packet as a kernel has it: a frame, and what is known of its checksum. */

/**
 * - `none`: nothing is known; whoever is to have it looks.
 * - `unnecessary`: somebody trusted has looked, or made it.
 * - `partial`: the field has the pseudo-header's sum, and the sum over all from `start` on is to be put there.
 */
export type CsumState = 'none' | 'unnecessary' | 'partial';

export interface Skb {
  readonly frame: Uint8Array;
  readonly csum: CsumState;
}

/** Where the TCP or UDP packet of an IPv4 frame is; null: it has none, or only a part of it. */
export interface L4 {
  readonly protocol: number;
  readonly start: number;
  readonly end: number;
  /** Of the checksum, from `start`. */
  readonly offset: number;
  /** The pseudo-header's sum. */
  readonly pseudo: number;
}

const TCP = 6;
const UDP = 17;

export function l4Of(frame: Uint8Array): L4 | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 34 || view.getUint16(12) !== 0x0800) return null;
  const header = (view.getUint8(14) & 15) * 4;
  const end = 14 + view.getUint16(16);
  const start = 14 + header;
  const protocol = view.getUint8(23);
  const offset = protocol === TCP ? 16 : protocol === UDP ? 6 : -1;
  const fragment = (view.getUint16(20) & 0x3fff) !== 0;
  if (offset < 0 || fragment || header < 20 || end > frame.length || start + offset + 2 > end) return null;
  return { protocol, start, end, offset, pseudo: onesSum(frame, 26, 34, protocol + end - start) };
}

/** The one's complement sum of 16-bit words, in the slow and plain way of RFC 1071. */
export function onesSum(bytes: Uint8Array, from: number, to: number, initial = 0): number {
  let sum = initial;
  for (let i = from; i < to; i++) sum += ((i - from) % 2 === 0 ? 256 : 1) * (bytes[i] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** Completes a partial checksum (`skb_checksum_help`). @returns false: -EPROTO, it is not TCP or UDP */
export function complete(frame: Uint8Array): boolean {
  const l4 = l4Of(frame);
  if (!l4) return false;
  const at = l4.start + l4.offset;
  const sum = ~onesSum(frame, l4.start, l4.end) & 0xffff;
  new DataView(frame.buffer, frame.byteOffset).setUint16(at, sum === 0 ? 0xffff : sum);
  return true;
}

/** Whether the checksum of TCP or UDP is right; what has none is. */
export function isGood(frame: Uint8Array): boolean {
  const l4 = l4Of(frame);
  if (!l4) return true;
  const check = new DataView(frame.buffer, frame.byteOffset).getUint16(l4.start + l4.offset);
  if (l4.protocol === UDP && check === 0) return true;
  return onesSum(frame, l4.start, l4.end, l4.pseudo) === 0xffff;
}
