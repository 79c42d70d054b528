/**
 * A router between two links, the guest's and the outer one, with a NAT between them: what dom0 is to a guest on its own
 * network. It works on frames where they lie and knows nothing of where they come from, so that real interfaces and the
 * model's can be put to it.
 */

import { readUint16, readUint32, writeUint16 } from '../bytes.js';
import { checksumUpdate } from '../checksum.js';
import type { EspTunnel } from '../esp/tunnel.js';
import {
  clearVnetHeader,
  emptyVnetHeader,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VNET_HEADER,
  type VnetHeader,
} from '../link/vnet_header.js';
import { IPPROTO, LINKTYPE } from '../packet.js';
import { finishAt } from '../state.js';
import { ARP_FRAME, ArpView, answerArp, askArp } from './arp.js';
import { fragment, mayBeFragmented } from './fragment.js';
import { segment } from './gso.js';
import { isAnswerable, TOO_LONG_FRAME, writeTooLong } from './icmp.js';
import {
  type FrameSink,
  ipv4,
  isOf,
  type Side,
  type SideName,
  type SideOptions,
  type SidePort,
  sameMac,
  side,
} from './side.js';

/** What translates: {@link Nat}. */
export interface Translator {
  translate(bytes: Uint8Array, offset: number, length: number, linkType: number, now: number, partial: boolean): string;
}

/** What wraps what leaves by the outer side: {@link EspTunnel}, with its other end. */
export interface RouterTunnel {
  readonly remote: string;
  /** Where ESP arrives as UDP (NAT traversal): the port there. */
  readonly natTPort?: number;
  readonly esp: Pick<EspTunnel, 'maxInner' | 'outerLength' | 'encapsulateInto' | 'decapsulateInto' | 'verdict'>;
}

/**
 * What is done about a partial checksum, and about a frame that is yet to be cut up: `finish` completes and cuts;
 * `hand-on` leaves both to the next device, and says so in its virtio_net_hdr; `leave` does nothing and says nothing,
 * which is wrong, and is there to show it.
 */
export type ChecksumWork = 'finish' | 'hand-on' | 'leave';

/**
 * Ways of translating partial checksums that were wrong, to show them: `2.6.12` takes them for complete ones;
 * `2005-10-14` (of the NAT) counts ports into them.
 */
export interface RouterOptions {
  readonly inside: SideOptions;
  readonly outside: SideOptions;
  /** Null: addresses stay as they are. */
  readonly nat: Translator | null;
  /** Where guests' packets go instead of out as they are. The tunnel completes their checksums first. */
  readonly tunnel?: RouterTunnel;
  /** Default `finish`. */
  readonly checksums?: ChecksumWork;
  /** Default false. True: as Linux 2.6.12 did it. */
  readonly takePartialForComplete?: boolean;
}

/** A frame on its way, where it lies. */
interface Frame {
  readonly bytes: Uint8Array;
  /** Where it begins; its virtio_net_hdr lies in front of it. */
  readonly at: number;
  /** Of the frame alone. */
  readonly length: number;
  readonly header: VnetHeader;
  /** When it came, in milliseconds. */
  readonly now: number;
}

/** What became of frames. */
export interface RouterCounters {
  received: number;
  forwarded: number;
  /** Came with a partial checksum. */
  partial: number;
  /** Partial ones that were completed here. */
  finished: number;
  /** Frames that were to be cut up, and what they were cut up into. */
  gso: number;
  segments: number;
  /** Packets that were too long for the next link and might be cut up, in pieces. */
  fragments: number;
  /** Frames that went no further, by the reason. */
  readonly dropped: Record<string, number>;
}

const IPV4 = 0x0800;

export class Router {
  readonly counters: RouterCounters = {
    received: 0,
    forwarded: 0,
    partial: 0,
    finished: 0,
    gso: 0,
    segments: 0,
    fragments: 0,
    dropped: {},
  };
  readonly #sides: Readonly<Record<SideName, Side>>;
  /** The longest packet that goes on from a side. */
  readonly #mtus: Readonly<Record<SideName, number>>;
  readonly #nat: Translator | null;
  readonly #tunnel: (RouterTunnel & { readonly ip: number }) | null;
  readonly #checksums: ChecksumWork;
  readonly #takePartialForComplete: boolean;
  readonly #arp = new ArpView();

  /** @throws RangeError an address is none */
  constructor(options: RouterOptions, ports: Readonly<Record<SideName, SidePort>>) {
    this.#sides = { inside: side(options.inside, ports.inside), outside: side(options.outside, ports.outside) };
    this.#nat = options.nat;
    const { tunnel } = options;
    this.#tunnel = tunnel ? { ...tunnel, ip: ipv4(tunnel.remote) } : null;
    const { inside, outside } = this.#sides;
    this.#mtus = { inside: tunnel ? innerMtu(tunnel, outside.mtu) : outside.mtu, outside: inside.mtu };
    this.#checksums = options.checksums ?? 'finish';
    this.#takePartialForComplete = options.takePartialForComplete ?? false;
  }

  /**
   * Takes a frame. What goes on is given to a side's sink, most often where it lies: the bytes must stay until the sink
   * is done with them.
   *
   * @param headerAt where its virtio_net_hdr begins, which has been read into `header`
   * @param length of the frame alone
   * @param now milliseconds of a clock that moves forward
   */
  take(from: SideName, bytes: Uint8Array, headerAt: number, length: number, header: VnetHeader, now: number): void {
    this.counters.received++;
    const reason = this.#take(from, { bytes, at: headerAt + VNET_HEADER, length, header, now });
    if (reason !== null) this.counters.dropped[reason] = (this.counters.dropped[reason] ?? 0) + 1;
  }

  /** Asks who has an address, such as the gateway's, before anybody needs it. */
  ask(where: SideName, now: number): void {
    const at = this.#sides[where];
    if (at.gateway !== null && !at.neighbours.find(at.gateway)) this.#ask(at, at.gateway, new Uint8Array(0), now);
  }

  #take(from: SideName, frame: Frame): string | null {
    const { bytes, at, length, header, now } = frame;
    const here = this.#sides[from];
    if (length < 34) return length < 14 ? 'short' : 'not-ipv4';
    if (this.#arp.read(bytes, at, length)) return this.#takeArp(here, bytes, at);
    if (!sameMac(bytes, at, here.mac)) return 'other-station';
    if (readUint16(bytes, at + 12) !== IPV4 || (bytes[at + 14] as number) >> 4 !== 4) return 'not-ipv4';
    const source = readUint32(bytes, at + 26);
    if (isOf(here, source)) this.#learn(here, source, bytes, at + 6);
    if (from === 'outside' && this.#tunnel && isWrapped(this.#tunnel, frame)) return this.#unwrap(this.#tunnel, frame);
    const partial = (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
    if (partial) this.counters.partial++;
    if (this.#refuseTooLong(from, frame)) return 'longer-than-mtu';
    const blank = partial && !this.#takePartialForComplete;
    const outcome = this.#nat?.translate(bytes, at, length, LINKTYPE.ETHERNET, now / 1000, blank) ?? 'untouched';
    if (outcome !== 'translated' && outcome !== 'untouched') return `nat: ${outcome}`;
    return this.#route(from, frame);
  }

  /** Tells the sender, in the words of the packet as it sent it: before it is translated. */
  #refuseTooLong(from: SideName, { bytes, at, length, header }: Frame): boolean {
    const here = this.#sides[from];
    const mtu = this.#mtus[from];
    const size = sizeOnWire(bytes, at, length, header);
    if (size <= mtu || mayBeFragmented(bytes, at + 14)) return false;
    const destination = readUint32(bytes, at + 30);
    // what stays here; behind a NAT the outer address stands for the guests
    if (from === 'inside' ? isOf(here, destination) : destination === here.ip && !this.#nat) return false;
    if (!isAnswerable(bytes, at + 14)) return true;
    const answer = here.sink.room(VNET_HEADER + TOO_LONG_FRAME);
    const { scratch } = here.sink;
    clearVnetHeader(scratch, answer);
    const about = { bytes, start: at, length };
    const told = writeTooLong(scratch, answer + VNET_HEADER, about, { mac: here.mac, own: here.ip, mtu });
    here.sink.add(scratch, answer, VNET_HEADER + told);
    return true;
  }

  #takeArp(here: Side, bytes: Uint8Array, at: number): string | null {
    const { request, senderIp, senderMac, targetIp } = this.#arp;
    if (isOf(here, senderIp) && senderIp !== here.ip) this.#learn(here, senderIp, bytes, senderMac);
    if (!request || targetIp !== here.ip) return null;
    answerArp(bytes, at, here.mac, here.ip, senderIp);
    clearVnetHeader(bytes, at - VNET_HEADER);
    here.sink.add(bytes, at - VNET_HEADER, VNET_HEADER + ARP_FRAME);
    return null;
  }

  /** A frame that waited for the address goes out now. */
  #learn(here: Side, ip: number, bytes: Uint8Array, macAt: number): void {
    const waiting = here.neighbours.learn(ip, bytes, macAt);
    if (!waiting || waiting.length === 0) return;
    waiting.set(bytes.subarray(macAt, macAt + 6), VNET_HEADER);
    here.sink.add(waiting, 0, waiting.length);
  }

  #route(from: SideName, frame: Frame): string | null {
    const { bytes, at } = frame;
    const destination = readUint32(bytes, at + 30);
    const inside = isOf(this.#sides.inside, destination);
    if (from === 'outside' && !inside) return 'not-for-guests';
    const to = inside ? this.#sides.inside : this.#sides.outside;
    if (destination === to.ip) return 'to-the-router';
    const tunnel = inside ? null : this.#tunnel;
    const target = tunnel ? tunnel.ip : destination;
    const nextHop = isOf(to, target) ? target : to.gateway;
    if (nextHop === null) return 'no-route';
    const ttl = bytes[at + 22] as number;
    if (ttl <= 1) return 'ttl';
    const word = readUint16(bytes, at + 22);
    bytes[at + 22] = ttl - 1;
    writeUint16(bytes, at + 24, checksumUpdate(readUint16(bytes, at + 24), word, readUint16(bytes, at + 22)));
    bytes.set(to.mac, at + 6);
    return tunnel ? this.#wrapAll(tunnel, to, nextHop, frame) : this.#emit(to, nextHop, frame);
  }

  #emit(to: Side, nextHop: number, frame: Frame): string | null {
    const { bytes, at, length, header, now } = frame;
    const headerAt = at - VNET_HEADER;
    const mac = to.neighbours.find(nextHop);
    if (mac) bytes.set(mac, at);
    if (header.gsoType !== 0) {
      this.counters.gso++;
      if (!mac) return 'no-neighbour'; // its sender sends it again; large frames are not kept
      if (this.#checksums === 'finish') {
        const segments = segment(bytes, at, length, header, to.sink);
        this.counters.segments += segments;
        if (segments === 0) return 'gso';
        this.counters.forwarded++;
        return null;
      }
    }
    const long = header.gsoType === 0 && length > to.mtu + 14;
    if (!this.#complete(frame, long)) return 'vnet-hdr';
    if (!mac) return long ? 'no-neighbour' : this.#ask(to, nextHop, bytes.slice(headerAt, at + length), now);
    const refused = long ? this.#fragment(frame, to.mtu, to.sink) : null;
    if (refused !== null) return refused;
    this.counters.forwarded++;
    if (!long) to.sink.add(bytes, headerAt, VNET_HEADER + length);
    return null;
  }

  #fragment({ bytes, at, length }: Frame, mtu: number, sink: FrameSink): string | null {
    const pieces = mayBeFragmented(bytes, at + 14) ? fragment(bytes, at, length, mtu, sink) : 0;
    if (pieces === 0) return 'longer-than-mtu';
    this.counters.fragments += pieces;
    return null;
  }

  /** What came out of the tunnel goes to the guest. */
  #unwrap(tunnel: RouterTunnel, { bytes, at, length, now }: Frame): string | null {
    const { sink } = this.#sides.inside;
    const headerAt = sink.room(VNET_HEADER + length);
    const { scratch } = sink;
    const frame = headerAt + VNET_HEADER;
    const end = Math.min(at + length, at + 14 + readUint16(bytes, at + 16));
    const outer = bytes.subarray(at + 14, end);
    const inner = tunnel.esp.decapsulateInto(outer, scratch.subarray(frame + 14, frame + length));
    if (inner === 0) return `esp: ${tunnel.esp.verdict}`;
    if (inner < 20 || (scratch[frame + 14] as number) >> 4 !== 4) return 'not-ipv4';
    clearVnetHeader(scratch, headerAt);
    writeUint16(scratch, frame + 12, IPV4);
    return this.#route('outside', { bytes: scratch, at: frame, length: 14 + inner, header: emptyVnetHeader(), now });
  }

  /** Into the tunnel; what is too long for it is cut up first. */
  #wrapAll(tunnel: RouterTunnel, to: Side, nextHop: number, frame: Frame): string | null {
    const { bytes, at, length, header, now } = frame;
    const large = header.gsoType !== 0;
    const long = !large && length - 14 > this.#mtus.inside;
    if (!large && !long) return this.#wrap(tunnel, to, nextHop, frame);
    const whole = emptyVnetHeader();
    let refused: string | null = null;
    const pieces: FrameSink = {
      scratch: to.sink.scratch,
      room: (size) => to.sink.room(size),
      add: (piece, headerAt, size) => {
        const one = { bytes: piece, at: headerAt + VNET_HEADER, length: size - VNET_HEADER, header: whole, now };
        refused ??= this.#wrap(tunnel, to, nextHop, one);
      },
    };
    if (long)
      return this.#complete(frame, true) ? (this.#fragment(frame, this.#mtus.inside, pieces) ?? refused) : 'vnet-hdr';
    this.counters.gso++;
    const segments = segment(bytes, at, length, header, pieces);
    this.counters.segments += segments;
    return segments === 0 ? 'gso' : refused;
  }

  #wrap(tunnel: RouterTunnel, to: Side, nextHop: number, { bytes, at, length, header, now }: Frame): string | null {
    const inner = Math.min(length - 14, readUint16(bytes, at + 16));
    const outer = tunnel.esp.outerLength(inner);
    if (outer > to.mtu) return 'longer-than-mtu';
    const outAt = to.sink.room(VNET_HEADER + 14 + outer);
    const { scratch } = to.sink;
    const frame = outAt + VNET_HEADER;
    const partial = (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
    const where = partial && { start: header.csumStart - 14, offset: header.csumOffset };
    let size: number;
    try {
      const packet = bytes.subarray(at + 14, at + 14 + inner);
      size = tunnel.esp.encapsulateInto(packet, scratch.subarray(frame + 14, frame + 14 + outer), where);
    } catch (error) {
      if (error instanceof Error && 'code' in error) return `esp: ${String(error.code)}`;
      throw error;
    }
    if (partial) this.counters.finished++;
    clearVnetHeader(scratch, outAt);
    scratch.set(to.mac, frame + 6);
    writeUint16(scratch, frame + 12, IPV4);
    const mac = to.neighbours.find(nextHop);
    if (!mac) return this.#ask(to, nextHop, scratch.slice(outAt, frame + 14 + size), now);
    scratch.set(mac, frame);
    this.counters.forwarded++;
    to.sink.add(scratch, outAt, VNET_HEADER + 14 + size);
    return null;
  }

  /**
   * @param always whatever is done about others: the packet is about to be cut up
   * @returns false: what the virtio_net_hdr says is not in the frame
   */
  #complete({ bytes, at, length, header }: Frame, always: boolean): boolean {
    if (this.#checksums === 'hand-on' && !always) return true;
    clearVnetHeader(bytes, at - VNET_HEADER);
    if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) === 0 || this.#checksums === 'leave') return true;
    const end = Math.min(at + length, at + 14 + readUint16(bytes, at + 16));
    this.counters.finished++;
    return finishAt(bytes, at + header.csumStart, header.csumOffset, end);
  }

  #ask(to: Side, ip: number, frame: Uint8Array, now: number): string | null {
    if (!to.neighbours.hold(ip, frame, now)) return null;
    const at = to.sink.room(VNET_HEADER + ARP_FRAME);
    const { scratch } = to.sink;
    clearVnetHeader(scratch, at);
    askArp(scratch, at + VNET_HEADER, to.mac, to.ip, ip);
    to.sink.add(scratch, at, VNET_HEADER + ARP_FRAME);
    return null;
  }
}

/** Whether it is the tunnel's: ESP, or what comes to its port of UDP. */
function isWrapped({ natTPort }: RouterTunnel, { bytes, at, length }: Frame): boolean {
  const protocol = bytes[at + 23];
  if (natTPort === undefined) return protocol === IPPROTO.ESP;
  const udp = at + 14 + ((bytes[at + 14] as number) & 15) * 4;
  return protocol === IPPROTO.UDP && udp + 8 <= at + length && readUint16(bytes, udp + 2) === natTPort;
}

/** The longest packet that the tunnel and its link take. */
function innerMtu({ esp }: RouterTunnel, mtu: number): number {
  let inner = esp.maxInner;
  while (inner > 0 && esp.outerLength(inner) > mtu) inner--;
  return inner;
}

/** How long a packet is that goes on: of a large frame, a piece. */
function sizeOnWire(
  bytes: Uint8Array,
  at: number,
  length: number,
  { gsoType, gsoSize, csumStart }: VnetHeader,
): number {
  if (gsoType === 0) return length - 14;
  const l4 = at + csumStart;
  const tcp = bytes[at + 23] === IPPROTO.TCP && l4 + 13 <= at + length;
  return csumStart - 14 + (tcp ? ((bytes[l4 + 12] as number) >> 4) * 4 : 8) + gsoSize;
}
