/** The pcap format: a header of 24 bytes, and packets with a header of 16 each. */

import type { PacketBatch } from './batch.js';
import { CaptureError } from './error.js';
import { type CaptureFormat, MAX_BLOCK, type PcapRecords } from './format.js';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
export const PCAP_HEADER = 24;
export const PACKET_HEADER = 16;

export class PcapFormat implements CaptureFormat {
  readonly name = 'pcap';
  readonly records: PcapRecords;

  private constructor(header: DataView, littleEndian: boolean, tick: number) {
    // the upper half says whether frames end with their checksum, which is behind the packet in any case
    this.records = { start: PCAP_HEADER, linkType: header.getUint32(20, littleEndian) & 0xffff, littleEndian, tick };
  }

  /** Reads the header; null when it is none. */
  static of(start: Uint8Array): PcapFormat | null {
    if (start.length < 4) return null;
    const header = viewOf(start);
    for (const littleEndian of [true, false]) {
      const magic = header.getUint32(0, littleEndian);
      if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS) continue;
      if (start.length < PCAP_HEADER) {
        throw new CaptureError('header', 0, `a pcap begins with ${PCAP_HEADER} bytes, here are ${start.length}`);
      }
      return new PcapFormat(header, littleEndian, magic === MAGIC_NANOSECONDS ? 1 : 1000);
    }
    return null;
  }

  scan(bytes: Uint8Array, start: number, end: number, batch: PacketBatch, position: number): number {
    const view = viewOf(bytes);
    const { linkType, littleEndian: little, tick } = this.records;
    let at = position === 0 ? start + PCAP_HEADER : start;
    while (at + PACKET_HEADER <= end && !batch.full) {
      const length = view.getUint32(at + 8, little);
      if (length > MAX_BLOCK) {
        const where = position + at - start;
        throw new CaptureError(
          'packet-length',
          where,
          `a packet says that it has ${length} bytes: the file is damaged`,
        );
      }
      const next = at + PACKET_HEADER + length;
      if (next > end) break;
      const nanoseconds = view.getUint32(at + 4, little) * tick;
      batch.add(at + PACKET_HEADER, length, linkType, view.getUint32(at, little), nanoseconds);
      at = next;
    }
    return at;
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
