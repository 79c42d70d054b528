/** What a packet's checksum is worth, and completing the ones that are partial. */

import { readUint16, writeUint16 } from './bytes.js';
import { fold, pseudoHeaderSum, sumBytes } from './checksum.js';
import { IPPROTO, type PacketView } from './packet.js';

/**
 * - `good`: complete and right.
 * - `partial`: the sum over the pseudo-header, which offload leaves to whoever sends the packet at last.
 * - `corrupt`: neither; its receiver throws it away. Also when the IPv4 header's own checksum is wrong.
 * - `none`: UDP without a checksum, and fragments, whose checksum cannot be checked.
 * - `other`: not IP, a protocol whose checksum is not known here, or refused by the parser.
 *
 * native/packet.h has them in the same order.
 */
export const CHECKSUM_STATES = ['good', 'partial', 'corrupt', 'none', 'other'] as const;
export type ChecksumState = (typeof CHECKSUM_STATES)[number];

/** Says what the checksum of a parsed packet is. */
export function classifyChecksum(view: PacketView): ChecksumState {
  if (view.verdict !== 'ok') return 'other';
  if (!ipv4HeaderGood(view) && !ipv4HeaderBlank(view)) return 'corrupt';
  if (view.fragment) return 'none';
  if (view.checkAt < 0 || view.routed) return 'other';
  const { bytes, protocol, checkAt } = view;
  const check = readUint16(bytes, checkAt);
  if (protocol === IPPROTO.UDP && check === 0) return 'none';
  const pseudo = protocol === IPPROTO.ICMP ? 0 : pseudoHeader(view);
  if (sumBytes(bytes, view.l4, view.l4Length, pseudo) === 0xffff) return 'good';
  return check === pseudo && hasOffload(view) ? 'partial' : 'corrupt';
}

function ipv4HeaderGood({ version, bytes, ipStart }: PacketView): boolean {
  return version !== 4 || sumBytes(bytes, ipStart, ((bytes[ipStart] as number) & 15) * 4, 0) === 0xffff;
}

/** The checksum of the IPv4 header is 0 and should not be: it was left to a device, and is no sign of a broken packet. */
export function ipv4HeaderBlank(view: PacketView): boolean {
  return view.version === 4 && readUint16(view.bytes, view.ipStart + 10) === 0 && !ipv4HeaderGood(view);
}

function hasOffload({ protocol }: PacketView): boolean {
  return protocol === IPPROTO.TCP || protocol === IPPROTO.UDP;
}

function pseudoHeader({ bytes, addresses, addressLength, protocol, l4Length }: PacketView): number {
  return pseudoHeaderSum(bytes, addresses, addressLength, protocol, l4Length);
}

/**
 * Completes the checksum of a packet of which it is known that it is partial: the sum over TCP or UDP, in whose field
 * the pseudo-header's sum already is. A complete checksum that it is done to twice is wrong.
 *
 * @returns whether it was done; false where it cannot be, and the caller has an EPROTO to tell ({@link NetProtocolError})
 */
export function finishChecksum(view: PacketView): boolean {
  if (view.verdict !== 'ok' || view.checkAt < 0 || view.fragment || !hasOffload(view)) return false;
  finish(view.bytes, view.l4, view.l4 + view.l4Length, view.checkAt);
  return true;
}

/**
 * Completes a checksum where a `virtio_net_hdr` says that it is.
 *
 * @param start of what is summed (`csum_start`), from the beginning of `bytes`
 * @param offset of the field from there (`csum_offset`)
 * @param end of what is summed
 * @returns whether it was done; false when that is not within the bytes
 */
export function finishAt(bytes: Uint8Array, start: number, offset: number, end = bytes.length): boolean {
  if (!(start >= 0 && offset >= 0 && end <= bytes.length && start + offset + 2 <= end)) return false;
  finish(bytes, start, end, start + offset);
  return true;
}

function finish(bytes: Uint8Array, start: number, end: number, checkAt: number): void {
  const check = ~fold(sumBytes(bytes, start, end - start, 0)) & 0xffff;
  // 0 says "no checksum" in UDP; both are zero in one's complement
  writeUint16(bytes, checkAt, check === 0 ? 0xffff : check);
}
