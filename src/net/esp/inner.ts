/** The packet inside: what a tunnel looks at. */

import { readUint16 } from '../bytes.js';

const DF = 0x4000;
const IPV6_HEADER = 40;

/** A packet's header, as far as a tunnel needs it. Made to be used again. */
export class InnerPacket {
  /** 4 or 6; 0: it is no IP packet. */
  version: 0 | 4 | 6 = 0;
  /** Of the packet, as its header says; no more than is there. */
  length = 0;
  /** Of IPv4 with its options, or of IPv6 alone. */
  header = 0;
  /** Don't-fragment; IPv6 packets are never fragmented on their way. */
  df = false;
  /** Where the source address is in the bytes, and how long it is. */
  addresses = 0;
  addressLength = 0;

  /** Reads the header at `at`; `there` bytes are there. @returns whether it is an IP packet that is whole */
  read(bytes: Uint8Array, at: number, there: number): boolean {
    this.version = 0;
    const version = there >= 20 ? (bytes[at] as number) >> 4 : 0;
    if (version === 4) return this.#ipv4(bytes, at, there);
    return version === 6 && there >= IPV6_HEADER && this.#ipv6(bytes, at, there);
  }

  #ipv4(bytes: Uint8Array, at: number, there: number): boolean {
    const header = ((bytes[at] as number) & 15) * 4;
    const length = readUint16(bytes, at + 2);
    if (header < 20 || length < header || length > there) return false;
    this.version = 4;
    this.header = header;
    this.length = length;
    this.df = (readUint16(bytes, at + 6) & DF) !== 0;
    this.addresses = at + 12;
    this.addressLength = 4;
    return true;
  }

  #ipv6(bytes: Uint8Array, at: number, there: number): boolean {
    const length = IPV6_HEADER + readUint16(bytes, at + 4);
    // a length of 0 with hop-by-hop options is a jumbogram's
    if (length > there || (length === IPV6_HEADER && bytes[at + 6] === 0)) return false;
    this.version = 6;
    this.header = IPV6_HEADER;
    this.length = length;
    this.df = true;
    this.addresses = at + 8;
    this.addressLength = 16;
    return true;
  }
}
