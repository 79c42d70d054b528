/** Frames that are received and sent together. */

import { VNET_HEADER } from './vnet_header.js';

/** Most frames of a batch: what the addon takes in one call. */
export const MAX_BATCH = 64;

/** Of `status` (linux/if_packet.h): the frame's checksum is partial, or was seen to be right; it had a VLAN tag. */
export const TP_STATUS_CSUMNOTREADY = 0x8;
export const TP_STATUS_VLAN_VALID = 0x10;
export const TP_STATUS_CSUM_VALID = 0x80;

/** `packetType` (linux/if_packet.h). */
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;
export const PACKET_OUTGOING = 4;

/** Numbers that the addon tells of each frame. */
const NUMBERS = 4;

/** The largest frame that IP can fill, with tags and what GSO allows. */
const SLOT = VNET_HEADER + 14 + 8 + 65536;

/**
 * Room for frames, each in a slot of `bytes`: its virtio_net_hdr, then the frame. It is made once and filled again and
 * again; what it says holds until then.
 */
export class FrameBatch {
  readonly bytes: Uint8Array;
  /** Bytes between the beginnings of two slots. */
  readonly slotSize: number;
  readonly capacity: number;
  /** Frames that are in it. */
  count = 0;
  /** What the addon fills. @internal */
  readonly numbers: Int32Array;

  /** @param frames room for so many, 1 to 64 */
  constructor(frames = MAX_BATCH, slotSize = SLOT) {
    if (!Number.isInteger(frames) || frames < 1 || frames > MAX_BATCH) {
      throw new RangeError(`frames must be an integer from 1 to ${MAX_BATCH}, not ${frames}`);
    }
    this.slotSize = slotSize;
    this.capacity = frames;
    this.bytes = new Uint8Array(frames * slotSize);
    this.numbers = new Int32Array(frames * NUMBERS);
  }

  /** Where the virtio_net_hdr of a frame begins. */
  header(i: number): number {
    return i * this.slotSize;
  }

  /** Where a frame begins. */
  start(i: number): number {
    return i * this.slotSize + VNET_HEADER;
  }

  /** Bytes of a frame that are here. */
  length(i: number): number {
    return Math.max(0, Math.min(this.numbers[i * NUMBERS] as number, this.slotSize) - VNET_HEADER);
  }

  /** Whether the frame was longer than a slot. */
  truncated(i: number): boolean {
    return (this.numbers[i * NUMBERS] as number) > this.slotSize;
  }

  /** TP_STATUS_...; 0 from a TAP device. */
  status(i: number): number {
    return this.numbers[i * NUMBERS + 1] as number;
  }

  /** The VLAN tag, which the kernel has taken out of the frame; -1: there was none. */
  vlan(i: number): number {
    return this.status(i) & TP_STATUS_VLAN_VALID ? (this.numbers[i * NUMBERS + 2] as number) : -1;
  }

  /** PACKET_... */
  packetType(i: number): number {
    return this.numbers[i * NUMBERS + 3] as number;
  }
}
