/** Writing a capture: pcap with nanoseconds. */

import { PACKET_HEADER, PCAP_HEADER, viewOf } from './pcap.js';

/** Where bytes go to. */
export interface ByteSink {
  /** Resolves once all are taken and the array may be used again. */
  write(bytes: Uint8Array): Promise<void>;
}

const BUFFER = 1 << 20;

/** Collects packets and writes many at once. */
export class PcapWriter {
  readonly #sink: ByteSink;
  #bytes = new Uint8Array(BUFFER);
  #view = viewOf(this.#bytes);
  #length = PCAP_HEADER;

  constructor(sink: ByteSink, linkType: number, snapLength = 262144) {
    this.#sink = sink;
    this.#view.setUint32(0, 0xa1b23c4d, true);
    this.#view.setUint16(4, 2, true);
    this.#view.setUint16(6, 4, true);
    this.#view.setUint32(16, snapLength, true);
    this.#view.setUint32(20, linkType, true);
  }

  /**
   * Adds a packet.
   *
   * @param seconds since 1970
   * @param originalLength when not all of it is here
   */
  async write(packet: Uint8Array, seconds: number, nanoseconds: number, originalLength = packet.length): Promise<void> {
    if (this.#length + PACKET_HEADER + packet.length > this.#bytes.length) {
      await this.flush();
      const needed = PACKET_HEADER + packet.length;
      if (needed > this.#bytes.length) {
        this.#bytes = new Uint8Array(needed);
        this.#view = viewOf(this.#bytes);
      }
    }
    const at = this.#length;
    this.#view.setUint32(at, seconds, true);
    this.#view.setUint32(at + 4, nanoseconds, true);
    this.#view.setUint32(at + 8, packet.length, true);
    this.#view.setUint32(at + 12, originalLength, true);
    this.#bytes.set(packet, at + PACKET_HEADER);
    this.#length = at + PACKET_HEADER + packet.length;
  }

  /** Writes what was collected; to be called at the end. */
  async flush(): Promise<void> {
    await this.#sink.write(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
  }
}
