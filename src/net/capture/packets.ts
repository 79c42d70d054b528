/** Going through a capture packet by packet. */

import { type ByteSource, CaptureReader } from './reader.js';

/** A packet of a capture. The object is used again for the next one, and so are its bytes. */
export interface CapturedPacket {
  /** Whole buffer; the packet is `length` bytes from `offset`. */
  bytes: Uint8Array;
  offset: number;
  length: number;
  /** pcap's LINKTYPE_ of the interface that it came from. */
  linkType: number;
  /** Since 1970, and the nanoseconds after them. */
  seconds: number;
  nanoseconds: number;
}

/** @throws CaptureError */
export async function* readPackets(source: ByteSource): AsyncGenerator<Readonly<CapturedPacket>, void, void> {
  const reader = new CaptureReader(source);
  const packet: CapturedPacket = { bytes: reader.bytes, offset: 0, length: 0, linkType: 0, seconds: 0, nanoseconds: 0 };
  while (await reader.next()) {
    while (reader.scan()) {
      const { batch } = reader;
      packet.bytes = reader.bytes;
      for (let i = 0; i < batch.count; i++) {
        packet.offset = batch.places[3 * i] as number;
        packet.length = batch.places[3 * i + 1] as number;
        packet.linkType = batch.places[3 * i + 2] as number;
        packet.seconds = batch.seconds[i] as number;
        packet.nanoseconds = batch.nanoseconds[i] as number;
        yield packet;
      }
    }
  }
}
