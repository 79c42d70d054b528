/** Cutting up an IPv4 packet that is too long for its next link (RFC 791). */

import { readUint16, writeUint16 } from '../bytes.js';
import { checksumSum } from '../checksum.js';
import { VNET_HEADER } from '../link/vnet_header.js';
import type { FrameSink } from './side.js';

const ETHERNET = 14;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET = 0x1fff;
const OPTION_END = 0;
const OPTION_NOP = 1;
/** This option is in every fragment. */
const OPTION_COPIED = 0x80;

export function mayBeFragmented(bytes: Uint8Array, ip: number): boolean {
  return (readUint16(bytes, ip + 6) & DONT_FRAGMENT) === 0;
}

/**
 * Cuts the packet of a frame into fragments of at most `mtu` bytes. Its checksum must be complete: no fragment has all that
 * it covers.
 *
 * @returns how many; 0: its lengths make no sense, or nothing fits
 */
export function fragment(bytes: Uint8Array, start: number, length: number, mtu: number, sink: FrameSink): number {
  // the sink's room may be where the packet lies
  const frame = bytes.slice(start, start + length);
  const header = ((frame[ETHERNET] as number) & 15) * 4;
  const total = readUint16(frame, ETHERNET + 2);
  const most = Math.floor((mtu - header) / 8) * 8;
  if (header < 20 || total < header || ETHERNET + total > length || most < 8) return 0;
  const place = readUint16(frame, ETHERNET + 6);
  const end = total - header;
  let pieces = 0;
  for (let from = 0; from < end; from += most) {
    const size = Math.min(most, end - from);
    const at = sink.room(VNET_HEADER + ETHERNET + header + size);
    const { scratch } = sink;
    const piece = at + VNET_HEADER;
    const ip = piece + ETHERNET;
    scratch.fill(0, at, piece);
    scratch.set(frame.subarray(0, ETHERNET + header), piece);
    scratch.set(frame.subarray(ETHERNET + header + from, ETHERNET + header + from + size), ip + header);
    if (from > 0) dropOptions(scratch, ip + 20, ip + header);
    const more = from + size < end ? MORE_FRAGMENTS : place & MORE_FRAGMENTS;
    writeUint16(scratch, ip + 2, header + size);
    writeUint16(scratch, ip + 6, more | ((place & OFFSET) + from / 8));
    writeUint16(scratch, ip + 10, 0);
    writeUint16(scratch, ip + 10, ~checksumSum(scratch, ip, header) & 0xffff);
    sink.add(scratch, at, VNET_HEADER + ETHERNET + header + size);
    pieces++;
  }
  return pieces;
}

/** Those that are of the first fragment alone. */
function dropOptions(bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end && bytes[at] !== OPTION_END; ) {
    const kind = bytes[at] as number;
    const length = kind === OPTION_NOP ? 1 : (bytes[at + 1] as number);
    if (length < 1 || at + length > end) return;
    if ((kind & OPTION_COPIED) === 0) bytes.fill(OPTION_NOP, at, at + length);
    at += length;
  }
}
