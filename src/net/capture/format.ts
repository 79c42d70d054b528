/** What the two formats have in common. */

import type { PacketBatch } from './batch.js';

/** Bytes of the longest block or packet that is believed in; Wireshark has the same limit for blocks. */
export const MAX_BLOCK = 16 << 20;

/** What all records of a pcap have in common. */
export interface PcapRecords {
  /** Where in the file the first of them is. */
  readonly start: number;
  readonly linkType: number;
  readonly littleEndian: boolean;
  /** Nanoseconds. */
  readonly tick: number;
}

export interface CaptureFormat {
  readonly name: 'pcap' | 'pcapng';
  /** How to read its records, for who would rather do it themselves; null: not without this. */
  readonly records: PcapRecords | null;
  /**
   * Finds packets until the batch is full or what is there ends.
   *
   * @param start of something whole: the file, a packet's header, a block
   * @param position of `start` in the file, for errors
   * @returns where what is not whole yet begins
   * @throws CaptureError
   */
  scan(bytes: Uint8Array, start: number, end: number, batch: PacketBatch, position: number): number;
}
