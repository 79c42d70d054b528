/** The headers around ESP: IP, and for NAT traversal UDP (RFC 3948). */

import { isIPv4, isIPv6 } from 'node:net';
import { parseAddress } from '../address.js';
import { readUint16, writeUint16 } from '../bytes.js';
import { fold, pseudoHeaderSum, sumBytes } from '../checksum.js';
import { IPPROTO } from '../packet.js';

export const NATT_PORT = 4500;

export interface NatTraversal {
  /** Default 4500. */
  readonly localPort?: number;
  /** Default 4500. */
  readonly remotePort?: number;
}

/** What the outer header is to say. */
export interface OuterOptions {
  /** This end's address; IPv4 or IPv6, as the other's. */
  readonly local: string;
  readonly remote: string;
  /** ESP in UDP. */
  readonly natT?: NatTraversal;
  /** Don't-fragment of an outer IPv4 header: as the inner packet's (the default; IPv6 counts as set), always or never. */
  readonly df?: 'copy' | 'set' | 'clear';
  /** The outer header's; default 64. The inner packet's is left alone: who forwards a packet counts it down. */
  readonly ttl?: number;
  /** The class of traffic: the inner packet's (default), or 0 to 63. What comes out of the tunnel keeps its own. */
  readonly dscp?: 'copy' | number;
  /** RFC 6040's modes at the tunnel's entry: `normal` copies the inner packet's ECN (default), `compatible` sends none. */
  readonly ecn?: 'normal' | 'compatible';
}

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;
const UDP_HEADER = 8;
const DF = 0x4000;

export class OuterHeader {
  readonly version: 4 | 6;
  /** Bytes ahead of ESP's own header. */
  readonly length: number;
  /** Whether {@link finish} has something to do. */
  readonly hasUdpChecksum: boolean;
  readonly natT: boolean;
  readonly localPort: number;
  readonly remotePort: number;
  readonly #local: Uint8Array;
  readonly #remote: Uint8Array;
  readonly #template: Uint8Array;
  /** The sum over an IPv4 header's constant words. */
  readonly #sum: number;
  readonly #df: 'copy' | 'set' | 'clear';
  readonly #dscp: number;
  readonly #ecnMask: number;

  /** @throws RangeError, TypeError that name the option */
  constructor(options: OuterOptions) {
    const { local, remote, natT, df = 'copy', ttl = 64, dscp = 'copy', ecn = 'normal' } = options;
    const version = isIPv4(local) && isIPv4(remote) ? 4 : isIPv6(local) && isIPv6(remote) ? 6 : 0;
    if (version === 0) {
      throw new TypeError(`local and remote must be two IPv4 or two IPv6 addresses, not '${local}' and '${remote}'`);
    }
    checkChoice('df', df, ['copy', 'set', 'clear']);
    checkChoice('ecn', ecn, ['normal', 'compatible']);
    checkRange('ttl', ttl, 1, 255);
    if (dscp !== 'copy') checkRange('dscp', dscp, 0, 63);
    this.version = version;
    this.natT = natT !== undefined;
    this.localPort = natT?.localPort ?? NATT_PORT;
    this.remotePort = natT?.remotePort ?? NATT_PORT;
    checkRange('natT.localPort', this.localPort, 1, 65535);
    checkRange('natT.remotePort', this.remotePort, 1, 65535);
    this.#local = parseAddress(local);
    this.#remote = parseAddress(remote);
    this.#df = df;
    this.#dscp = dscp === 'copy' ? -1 : dscp << 2;
    this.#ecnMask = ecn === 'normal' ? 3 : 0;
    const ipHeader = version === 4 ? IPV4_HEADER : IPV6_HEADER;
    this.length = ipHeader + (this.natT ? UDP_HEADER : 0);
    this.hasUdpChecksum = this.natT && version === 6;
    this.#template = new Uint8Array(this.length);
    this.#fillTemplate(ipHeader, ttl, this.natT ? IPPROTO.UDP : IPPROTO.ESP);
    this.#sum = version === 4 ? sumBytes(this.#template, 0, IPV4_HEADER, 0) : 0;
  }

  #fillTemplate(ipHeader: number, ttl: number, protocol: number): void {
    const template = this.#template;
    if (this.version === 4) {
      template[0] = 0x45;
      template[8] = ttl;
      template[9] = protocol;
      template.set(this.#local, 12);
      template.set(this.#remote, 16);
    } else {
      template[0] = 0x60;
      template[6] = protocol;
      template[7] = ttl;
      template.set(this.#local, 8);
      template.set(this.#remote, 24);
    }
    if (!this.natT) return;
    writeUint16(template, ipHeader, this.localPort);
    writeUint16(template, ipHeader + 2, this.remotePort);
  }

  /** Whether routers may not fragment what is around this inner packet. */
  keepsWhole(innerVersion: number, innerDf: boolean): boolean {
    if (this.version === 6 || this.#df === 'set') return true;
    return this.#df === 'copy' && (innerVersion === 6 || innerDf);
  }

  /** Writes what is the same in all packets. */
  begin(head: Uint8Array): void {
    head.set(this.#template);
  }

  /**
   * Writes what is not the same in all packets.
   *
   * @param total the outer packet's length
   * @param tos the inner packet's traffic class
   * @param id IPv4's identification
   */
  update(head: Uint8Array, total: number, tos: number, whole: boolean, id: number): void {
    const own = (this.#dscp < 0 ? tos & 0xfc : this.#dscp) | (tos & this.#ecnMask);
    if (this.version === 4) {
      const flags = whole ? DF : 0;
      head[1] = own;
      writeUint16(head, 2, total);
      writeUint16(head, 4, id);
      writeUint16(head, 6, flags);
      writeUint16(head, 10, ~fold(this.#sum + own + total + id + flags) & 0xffff);
      if (this.natT) writeUint16(head, IPV4_HEADER + 4, total - IPV4_HEADER);
    } else {
      head[0] = 0x60 | (own >> 4);
      head[1] = own << 4;
      writeUint16(head, 4, total - IPV6_HEADER);
      if (this.natT) writeUint16(head, IPV6_HEADER + 4, total - IPV6_HEADER);
    }
  }

  /** Completes UDP's checksum over IPv6: only IPv4 may leave it out (RFC 3948 section 2.1). */
  finish(out: Uint8Array, total: number): void {
    const length = total - IPV6_HEADER;
    const pseudo = pseudoHeaderSum(out, 8, 16, IPPROTO.UDP, length);
    const check = ~sumBytes(out, IPV6_HEADER, length, pseudo) & 0xffff;
    writeUint16(out, IPV6_HEADER + 6, check === 0 ? 0xffff : check);
  }

  /** Whether the packet whose source address is at `addresses` goes from the other end to this one. */
  isInbound(bytes: Uint8Array, addresses: number): boolean {
    const remote = this.#remote;
    const local = this.#local;
    const size = local.length;
    for (let i = 0; i < size; i++) {
      if (bytes[addresses + size + i] !== local[i]) return false;
      // behind a NAT, the other end's address is the NAT's
      if (!this.natT && bytes[addresses + i] !== remote[i]) return false;
    }
    return true;
  }
}

/** Whether an IPv4 header's own checksum is right; one of 0 was left to a device. */
export function ipv4HeaderGood(bytes: Uint8Array, at: number, length: number): boolean {
  return readUint16(bytes, at + 10) === 0 || sumBytes(bytes, at, length, 0) === 0xffff;
}

function checkChoice(name: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    throw new RangeError(`${name} must be one of ${choices.join(', ')}, not ${value}`);
}

function checkRange(name: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${name} must be ${least} to ${most}, not ${value}`);
}
