/** Cutting up what a sender left whole for its device to cut up: TCP and UDP segmentation. */

import { readUint16, readUint32, writeUint16, writeUint32 } from '../bytes.js';
import { checksumSum, fold } from '../checksum.js';
import { VIRTIO_NET_HDR_GSO_ECN, VNET_HEADER, type VnetHeader } from '../link/vnet_header.js';
import { IPPROTO, LINKTYPE, PacketView } from '../packet.js';
import { finishAt } from '../state.js';
import type { FrameSink } from './side.js';

const FIN = 1;
const PSH = 8;
const CWR = 0x80;

const view = new PacketView();

/** Bytes that {@link segment} needs of its sink at most. */
export function segmentedLength(length: number, { gsoSize }: VnetHeader): number {
  return length + (Math.ceil(length / Math.max(1, gsoSize)) + 1) * (VNET_HEADER + 160);
}

/**
 * Cuts a frame into pieces with `gsoSize` bytes of data, with lengths, identifiers, sequence numbers, flags and complete
 * checksums of their own. A partial checksum of the whole cannot be kept: each piece's pseudo-header has another length.
 *
 * @returns how many; 0: it is not TCP or UDP as its header says, or the sizes make no sense
 */
export function segment(bytes: Uint8Array, start: number, length: number, header: VnetHeader, sink: FrameSink): number {
  const { gsoSize } = header;
  if (view.parse(bytes, start, length, LINKTYPE.ETHERNET) !== 'ok' || view.fragment || view.checkAt < 0) return 0;
  const tcp = view.protocol === IPPROTO.TCP;
  if (!tcp && view.protocol !== IPPROTO.UDP) return 0;
  const l4Header = tcp ? ((bytes[view.l4 + 12] as number) >> 4) * 4 : 8;
  const headers = view.l4 + l4Header - start;
  const data = view.l4Length - l4Header;
  if (gsoSize < 1 || data < 0 || Math.ceil(data / gsoSize) > 256) return 0;
  const pieces = Math.max(1, Math.ceil(data / gsoSize));
  for (let i = 0; i < pieces; i++) {
    const from = i * gsoSize;
    const size = Math.min(gsoSize, data - from);
    const at = sink.room(VNET_HEADER + headers + size);
    const { scratch } = sink;
    const frame = at + VNET_HEADER;
    scratch.fill(0, at, frame);
    scratch.set(bytes.subarray(start, start + headers), frame);
    scratch.set(bytes.subarray(start + headers + from, start + headers + from + size), frame + headers);
    setIpLength(scratch, frame + view.ipStart - start, headers - (view.ipStart - start) + size, i);
    const l4 = frame + view.l4 - start;
    if (tcp) setTcp(scratch, l4, from, i === 0, i === pieces - 1, (header.gsoType & VIRTIO_NET_HDR_GSO_ECN) !== 0);
    else writeUint16(scratch, l4 + 4, l4Header + size);
    setChecksum(scratch, frame + view.addresses - start, l4, l4Header + size);
    sink.add(scratch, at, VNET_HEADER + headers + size);
  }
  return pieces;
}

function setIpLength(bytes: Uint8Array, ip: number, length: number, i: number): void {
  if (view.version === 6) {
    writeUint16(bytes, ip + 4, length - 40);
    return;
  }
  writeUint16(bytes, ip + 2, length);
  writeUint16(bytes, ip + 4, (readUint16(bytes, ip + 4) + i) & 0xffff);
  writeUint16(bytes, ip + 10, 0);
  writeUint16(bytes, ip + 10, ~checksumSum(bytes, ip, ((bytes[ip] as number) & 15) * 4) & 0xffff);
}

/** What ends the whole ends the last piece; CWR is said once. */
function setTcp(bytes: Uint8Array, l4: number, from: number, first: boolean, last: boolean, ecn: boolean): void {
  writeUint32(bytes, l4 + 4, (readUint32(bytes, l4 + 4) + from) >>> 0);
  let flags = bytes[l4 + 13] as number;
  if (!last) flags &= ~(FIN | PSH);
  if (!first && ecn) flags &= ~CWR;
  bytes[l4 + 13] = flags;
}

function setChecksum(bytes: Uint8Array, addresses: number, l4: number, length: number): void {
  const offset = view.checkAt - view.l4;
  const sum = checksumSum(bytes, addresses, 2 * view.addressLength) + view.protocol + length;
  writeUint16(bytes, l4 + offset, fold(sum));
  finishAt(bytes, l4, offset, l4 + length);
}
