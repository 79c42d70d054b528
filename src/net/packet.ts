/**
 * A view of a packet: where its headers are and what they say. It copies nothing and is made to be used again, one
 * packet after the other. Every length is checked against the bytes that are there and against the lengths around it.
 */

import { readUint16 } from './bytes.js';

/** How a packet begins (pcap's LINKTYPE_ values). */
export const LINKTYPE = {
  ETHERNET: 1,
  RAW: 101,
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  LINUX_SLL2: 276,
} as const;

export const IPPROTO = { ICMP: 1, TCP: 6, UDP: 17, ESP: 50, AH: 51, ICMPV6: 58 } as const;

/**
 * What came of parsing. All but `ok` and `not-ip` name a reason why the packet was refused. native/packet.h has them in
 * the same order.
 */
export const VERDICTS = [
  'ok',
  /** ARP and whatever else Ethernet carries. */
  'not-ip',
  'link-type',
  'link-header',
  'vlan-depth',
  'ip-version',
  'ipv4-header',
  'ipv4-length',
  'ipv6-header',
  'ipv6-length',
  'ipv6-extensions',
  'jumbogram',
  /** A fragment that ends beyond 65,535 bytes. */
  'fragment-range',
  'tcp-header',
  'udp-header',
  'udp-length',
  'icmp-header',
] as const;
export type Verdict = (typeof VERDICTS)[number];

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** 802.1Q, 802.1ad, and what came before the latter. */
const isVlan = (etherType: number): boolean => etherType === 0x8100 || etherType === 0x88a8 || etherType === 0x9100;
/** More tags than two are found in no network, but let nobody say that we could not. */
const MAX_VLANS = 4;

/** IPv6 extension headers that are walked over; AH and ESP are not: what they protect may not be changed. */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION = 60;
const MAX_EXTENSIONS = 8;

export class PacketView {
  /** What the last parsing gave. */
  verdict: Verdict = 'not-ip';
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the frame begins and ends. */
  start = 0;
  end = 0;
  linkType = 0;
  /** EtherType after the VLAN tags; for raw IP that of its version. */
  etherType = 0;
  vlans = 0;
  /** 4 or 6; 0 when it is not IP. */
  version = 0;
  /** Where the IP packet begins and ends; what follows in the frame is padding. */
  ipStart = 0;
  ipEnd = 0;
  /** The protocol above IP and its extension headers; -1 when it is not IP. */
  protocol = -1;
  /** Source address, and the destination after it. */
  addresses = 0;
  /** Of each address: 4 or 16. */
  addressLength = 0;
  /** A part of a packet: its checksum covers more than is here. */
  fragment = false;
  /** In bytes; ports are in the part at 0 only. */
  fragmentOffset = 0;
  moreFragments = false;
  fragmentId = 0;
  /** An IPv6 routing header has hops to go: the destination in the pseudo-header is not the one in the header. */
  routed = false;
  /** What IP carries: TCP, UDP or ICMP with their data, as their own lengths say. */
  l4 = 0;
  l4Length = 0;
  /** Where the checksum of TCP, UDP or ICMP is; -1: it has none, or a part of the packet that has not. */
  checkAt = -1;
  /** TCP and UDP; else -1. */
  sourcePort = -1;
  destinationPort = -1;
  /** ICMP and ICMPv6; else -1. */
  icmpType = -1;
  icmpCode = -1;
  /** Identifier of an ICMP echo or timestamp request or answer; else -1. */
  icmpId = -1;
  /** Where the packet begins that an ICMP error is about; -1: it is none. {@link parseQuoted} parses it. */
  quoted = -1;

  /** Parses a frame. On any verdict but `ok` only what comes before the trouble is set. */
  parse(bytes: Uint8Array, offset: number, length: number, linkType: number): Verdict {
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length} are no frame`);
    }
    this.#reset(bytes, offset, offset + length, linkType);
    this.verdict = this.#link();
    return this.verdict;
  }

  /**
   * Parses the packet that an ICMP error quotes. Of it only the IP header and 8 bytes need to be there: `l4Length` is
   * what is there, and `checkAt` is -1 where the checksum is not: for TCP unless its whole header is.
   */
  parseQuoted(outer: PacketView): Verdict {
    this.#reset(outer.bytes, Math.max(outer.quoted, 0), outer.ipEnd, outer.linkType);
    this.verdict = outer.quoted < 0 ? 'not-ip' : this.#ip(outer.quoted, true);
    return this.verdict;
  }

  #reset(bytes: Uint8Array, start: number, end: number, linkType: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.linkType = linkType;
    this.etherType = 0;
    this.vlans = 0;
    this.version = 0;
    this.ipStart = start;
    this.ipEnd = start;
    this.protocol = -1;
    this.addresses = 0;
    this.addressLength = 0;
    this.fragment = false;
    this.fragmentOffset = 0;
    this.moreFragments = false;
    this.fragmentId = 0;
    this.routed = false;
    this.l4 = start;
    this.l4Length = 0;
    this.checkAt = -1;
    this.sourcePort = -1;
    this.destinationPort = -1;
    this.icmpType = -1;
    this.icmpCode = -1;
    this.icmpId = -1;
    this.quoted = -1;
  }

  #link(): Verdict {
    switch (this.linkType) {
      case LINKTYPE.ETHERNET:
        return this.#ethernet();
      case LINKTYPE.RAW:
      case LINKTYPE.IPV4:
      case LINKTYPE.IPV6:
        return this.#ip(this.start, false);
      case LINKTYPE.LINUX_SLL:
        return this.#cooked(14, 16);
      case LINKTYPE.LINUX_SLL2:
        return this.#cooked(0, 20);
      default:
        return 'link-type';
    }
  }

  #ethernet(): Verdict {
    const { bytes } = this;
    let at = this.start + 14;
    if (at > this.end) return 'link-header';
    let etherType = readUint16(bytes, at - 2);
    while (isVlan(etherType)) {
      if (++this.vlans > MAX_VLANS) return 'vlan-depth';
      at += 4;
      if (at > this.end) return 'link-header';
      etherType = readUint16(bytes, at - 2);
    }
    return this.#ofEtherType(etherType, at);
  }

  /** What Linux writes when it captures on interfaces of different kinds. */
  #cooked(etherType: number, header: number): Verdict {
    if (this.start + header > this.end) return 'link-header';
    return this.#ofEtherType(readUint16(this.bytes, this.start + etherType), this.start + header);
  }

  #ofEtherType(etherType: number, at: number): Verdict {
    this.etherType = etherType;
    if (etherType !== ETHERTYPE_IPV4 && etherType !== ETHERTYPE_IPV6) return 'not-ip';
    if (at >= this.end) return etherType === ETHERTYPE_IPV4 ? 'ipv4-header' : 'ipv6-header';
    if ((this.bytes[at] as number) >> 4 !== (etherType === ETHERTYPE_IPV4 ? 4 : 6)) return 'ip-version';
    return this.#ip(at, false);
  }

  #ip(at: number, quoted: boolean): Verdict {
    this.ipStart = at;
    if (at >= this.end) return 'ip-version';
    const version = (this.bytes[at] as number) >> 4;
    if (version === 4 && this.linkType !== LINKTYPE.IPV6) return this.#ipv4(at, quoted);
    return version === 6 && this.linkType !== LINKTYPE.IPV4 ? this.#ipv6(at, quoted) : 'ip-version';
  }

  #ipv4(at: number, quoted: boolean): Verdict {
    const { bytes } = this;
    const there = this.end - at;
    const header = ((bytes[at] as number) & 15) * 4;
    if (header < 20 || there < header) return 'ipv4-header';
    const total = readUint16(bytes, at + 2);
    if (total < header || (total > there && !quoted)) return 'ipv4-length';
    this.version = 4;
    this.etherType = ETHERTYPE_IPV4;
    this.ipEnd = at + Math.min(total, there);
    this.protocol = bytes[at + 9] as number;
    this.addresses = at + 12;
    this.addressLength = 4;
    const fragment = readUint16(bytes, at + 6);
    this.fragmentId = readUint16(bytes, at + 4);
    return this.#payload(at + header, (fragment & 0x1fff) * 8, (fragment & 0x2000) !== 0, quoted);
  }

  #ipv6(at: number, quoted: boolean): Verdict {
    const { bytes } = this;
    const there = this.end - at;
    if (there < 40) return 'ipv6-header';
    const length = readUint16(bytes, at + 4);
    let next = bytes[at + 6] as number;
    // where the real length is in an option: too long for every device that a domain has
    if (length === 0 && next === HOP_BY_HOP) return 'jumbogram';
    if (length + 40 > there && !quoted) return 'ipv6-length';
    this.version = 6;
    this.etherType = ETHERTYPE_IPV6;
    this.ipEnd = at + Math.min(length + 40, there);
    this.addresses = at + 8;
    this.addressLength = 16;
    let offset = 0;
    let more = false;
    let header = at + 40;
    for (let count = 0; next === HOP_BY_HOP || next === ROUTING || next === FRAGMENT || next === DESTINATION; count++) {
      if (count === MAX_EXTENSIONS || header + 8 > this.ipEnd) return 'ipv6-extensions';
      const size = next === FRAGMENT ? 8 : ((bytes[header + 1] as number) + 1) * 8;
      if (header + size > this.ipEnd) return 'ipv6-extensions';
      if (next === ROUTING && bytes[header + 3] !== 0) this.routed = true;
      if (next === FRAGMENT) {
        const field = readUint16(bytes, header + 2);
        offset = field & 0xfff8;
        more = (field & 1) !== 0;
        this.fragmentId = ((readUint16(bytes, header + 4) << 16) | readUint16(bytes, header + 6)) >>> 0;
      }
      next = bytes[header] as number;
      header += size;
      // what follows in a later fragment is data, whatever it looks like
      if (offset !== 0) break;
    }
    this.protocol = next;
    return this.#payload(header, offset, more, quoted);
  }

  #payload(at: number, fragmentOffset: number, more: boolean, quoted: boolean): Verdict {
    this.l4 = at;
    this.l4Length = this.ipEnd - at;
    this.fragmentOffset = fragmentOffset;
    this.moreFragments = more;
    this.fragment = more || fragmentOffset !== 0;
    if (fragmentOffset + this.l4Length > 0xffff) return 'fragment-range';
    if (fragmentOffset !== 0) return 'ok';
    switch (this.protocol) {
      case IPPROTO.TCP:
        return this.#tcp(quoted);
      case IPPROTO.UDP:
        return this.#udp(quoted);
      case IPPROTO.ICMP:
        return this.version === 4 ? this.#icmp(quoted) : 'ok';
      case IPPROTO.ICMPV6:
        return this.version === 6 ? this.#icmp(quoted) : 'ok';
      default:
        return 'ok';
    }
  }

  #tcp(quoted: boolean): Verdict {
    const { bytes, l4, l4Length } = this;
    if (l4Length < (quoted ? 8 : 20)) return 'tcp-header';
    if (l4Length >= 20) {
      const header = ((bytes[l4 + 12] as number) >> 4) * 4;
      if (!quoted && (header < 20 || header > l4Length)) return 'tcp-header';
      this.checkAt = l4 + 16;
    }
    this.#ports();
    return 'ok';
  }

  #udp(quoted: boolean): Verdict {
    const { bytes, l4, l4Length } = this;
    if (l4Length < 8) return 'udp-header';
    const length = readUint16(bytes, l4 + 4);
    // a first fragment has the length of the whole
    if (length < 8 || (length > l4Length && !quoted && !this.moreFragments)) return 'udp-length';
    this.l4Length = Math.min(length, l4Length);
    this.checkAt = l4 + 6;
    this.#ports();
    return 'ok';
  }

  #ports(): void {
    this.sourcePort = readUint16(this.bytes, this.l4);
    this.destinationPort = readUint16(this.bytes, this.l4 + 2);
  }

  #icmp(quoted: boolean): Verdict {
    const { bytes, l4 } = this;
    if (this.l4Length < 8) return 'icmp-header';
    const type = bytes[l4] as number;
    this.icmpType = type;
    this.icmpCode = bytes[l4 + 1] as number;
    this.checkAt = l4 + 2;
    if (this.version === 4) {
      if (type === 0 || type === 8 || (type >= 13 && type <= 18)) this.icmpId = readUint16(bytes, l4 + 4);
      if (type === 3 || type === 4 || type === 5 || type === 11 || type === 12) this.quoted = quoted ? -1 : l4 + 8;
    } else {
      if (type === 128 || type === 129) this.icmpId = readUint16(bytes, l4 + 4);
      if (type >= 1 && type <= 4) this.quoted = quoted ? -1 : l4 + 8;
    }
    return 'ok';
  }
}
