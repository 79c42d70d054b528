/** ICMP's word to a sender whose packet is too long and may not be fragmented (RFC 792, RFC 1191). */

import { readUint16, readUint32, writeUint16, writeUint32 } from '../bytes.js';
import { checksumSum } from '../checksum.js';
import { IPPROTO } from '../packet.js';

const ETHERNET = 14;
const HEADERS = ETHERNET + 20 + 8;
/** As much of the packet is quoted as fits into what every host takes (RFC 1812, section 4.3.2.3). */
const MOST_QUOTED = 576 - 28;
const DESTINATION_UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;
/** Types of ICMP that tell of an error; of those no error is told. */
const ERRORS: readonly number[] = [3, 4, 5, 11, 12];
/** Precedence of internetwork control. */
const TOS = 0xc0;

/** Bytes of the frame that {@link writeTooLong} makes at most. */
export const TOO_LONG_FRAME = HEADERS + MOST_QUOTED;

/** Whether its sender is to be told of what is wrong with it (RFC 1122, section 3.2.2). */
export function isAnswerable(bytes: Uint8Array, ip: number): boolean {
  const [source, destination] = [bytes[ip + 12] as number, bytes[ip + 16] as number];
  if (source === 0 || source === 127 || source >= 224 || destination >= 224) return false;
  if ((readUint16(bytes, ip + 6) & 0x1fff) !== 0) return false;
  const icmp = ip + ((bytes[ip] as number) & 15) * 4;
  return bytes[ip + 9] !== IPPROTO.ICMP || !ERRORS.includes(bytes[icmp] as number);
}

/**
 * Writes the answer to the frame at `start`.
 *
 * @param mac the router's, and `own` its address
 * @param mtu what would have fitted
 * @returns the length of the frame
 */
export function writeTooLong(
  out: Uint8Array,
  at: number,
  { bytes, start, length }: { readonly bytes: Uint8Array; readonly start: number; readonly length: number },
  { mac, own, mtu }: { readonly mac: Uint8Array; readonly own: number; readonly mtu: number },
): number {
  const ip = at + ETHERNET;
  const icmp = ip + 20;
  const quoted = Math.min(MOST_QUOTED, length - ETHERNET);
  out.fill(0, at, at + HEADERS);
  out.set(bytes.subarray(start + 6, start + 12), at);
  out.set(mac, at + 6);
  writeUint16(out, at + 12, 0x0800);
  out[ip] = 0x45;
  out[ip + 1] = TOS;
  writeUint16(out, ip + 2, 28 + quoted);
  out[ip + 8] = 64;
  out[ip + 9] = IPPROTO.ICMP;
  writeUint32(out, ip + 12, own);
  writeUint32(out, ip + 16, readUint32(bytes, start + ETHERNET + 12));
  writeUint16(out, ip + 10, ~checksumSum(out, ip, 20) & 0xffff);
  out[icmp] = DESTINATION_UNREACHABLE;
  out[icmp + 1] = FRAGMENTATION_NEEDED;
  writeUint16(out, icmp + 6, mtu);
  out.set(bytes.subarray(start + ETHERNET, start + ETHERNET + quoted), icmp + 8);
  writeUint16(out, icmp + 2, ~checksumSum(out, icmp, 8 + quoted) & 0xffff);
  return HEADERS + quoted;
}
