/** The pcapng format: blocks, of which those with packets and what tells about them are read. */

import type { PacketBatch } from './batch.js';
import { CaptureError, type CaptureFault } from './error.js';
import { type CaptureFormat, MAX_BLOCK } from './format.js';
import { viewOf } from './pcap.js';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
/** Obsolete, laid out as the enhanced one but for the interface's number. */
const PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER = 0x1a2b3c4d;
/** Type, length, and the length once more at the end. */
const SMALLEST_BLOCK = 12;
/** Smallest sizes of the blocks that are read. */
const SMALLEST: ReadonlyMap<number, number> = new Map([
  [SECTION, 28],
  [INTERFACE, 20],
  [PACKET, 32],
  [SIMPLE_PACKET, 16],
  [ENHANCED_PACKET, 32],
]);

const OPTION_END = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const MAX_INTERFACES = 65536;

interface Interface {
  readonly linkType: number;
  readonly snapLength: number;
  /** Ticks a second. */
  readonly rate: number;
  /** Seconds. */
  readonly offset: number;
}

export class PcapngFormat implements CaptureFormat {
  readonly name = 'pcapng';
  readonly records = null;
  #littleEndian = true;
  #interfaces: Interface[] = [];
  /** The time of the last packet: seconds and nanoseconds. */
  #seconds = 0;
  #nanoseconds = 0;

  static of(start: Uint8Array): PcapngFormat | null {
    return start.length >= 4 && viewOf(start).getUint32(0, true) === SECTION ? new PcapngFormat() : null;
  }

  scan(bytes: Uint8Array, start: number, end: number, batch: PacketBatch, position: number): number {
    const view = viewOf(bytes);
    let at = start;
    while (at + SMALLEST_BLOCK <= end && !batch.full) {
      const type = view.getUint32(at, this.#littleEndian);
      const where = position + at - start;
      if (type === SECTION) this.#section(view, at, where);
      const length = view.getUint32(at + 4, this.#littleEndian);
      if (length > MAX_BLOCK || length < (SMALLEST.get(type) ?? SMALLEST_BLOCK) || length % 4 !== 0) {
        fail('block-length', where, `a block of type ${type} says that it has ${length} bytes`);
      }
      if (at + length > end) break;
      const again = view.getUint32(at + length - 4, this.#littleEndian);
      if (again !== length) fail('block-length', where, `a block says that it has ${length} bytes, and ${again}`);
      if (type === INTERFACE) this.#addInterface(view, at, length, where);
      else if (type === ENHANCED_PACKET || type === PACKET) this.#packet(view, at, length, type, batch, where);
      else if (type === SIMPLE_PACKET) this.#simplePacket(view, at, length, batch, where);
      at += length;
    }
    return at;
  }

  /** A new section has its own byte order and its own interfaces. */
  #section(view: DataView, at: number, where: number): void {
    if (view.getUint32(at + 8, true) === BYTE_ORDER) this.#littleEndian = true;
    else if (view.getUint32(at + 8, false) === BYTE_ORDER) this.#littleEndian = false;
    else fail('magic', where, 'a section of the pcapng does not say its byte order');
    this.#interfaces = [];
  }

  #addInterface(view: DataView, at: number, length: number, where: number): void {
    if (this.#interfaces.length === MAX_INTERFACES) fail('interfaces', where, 'the pcapng has too many interfaces');
    const little = this.#littleEndian;
    let rate = 1e6;
    let offset = 0;
    const end = at + length - 4;
    for (let option = at + 16; option + 4 <= end; ) {
      const code = view.getUint16(option, little);
      const size = view.getUint16(option + 2, little);
      if (code === OPTION_END || option + 4 + size > end) break;
      if (code === IF_TSRESOL && size >= 1) {
        const value = view.getUint8(option + 4);
        rate = value & 0x80 ? 2 ** (value & 0x7f) : 10 ** value;
      }
      if (code === IF_TSOFFSET && size >= 8) offset = Number(view.getBigInt64(option + 4, little));
      option += 4 + size + (-size & 3);
    }
    this.#interfaces.push({
      linkType: view.getUint16(at + 8, little),
      snapLength: view.getUint32(at + 12, little),
      rate,
      offset,
    });
  }

  #interface(number: number, where: number): Interface {
    return (
      this.#interfaces[number] ?? fail('interface', where, `a packet is of interface ${number}, which is not described`)
    );
  }

  #packet(view: DataView, at: number, length: number, type: number, batch: PacketBatch, where: number): void {
    const little = this.#littleEndian;
    const number = type === PACKET ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
    const from = this.#interface(number, where);
    const captured = view.getUint32(at + 20, little);
    if (captured > length - 32) {
      fail('packet-length', where, `a packet says that it has ${captured} bytes in a block of ${length}`);
    }
    this.#setTime(view.getUint32(at + 12, little), view.getUint32(at + 16, little), from);
    batch.add(at + 28, captured, from.linkType, this.#seconds, this.#nanoseconds);
  }

  /** It has no time: that of the packet before it. */
  #simplePacket(view: DataView, at: number, length: number, batch: PacketBatch, where: number): void {
    const { linkType, snapLength } = this.#interface(0, where);
    const original = view.getUint32(at + 8, this.#littleEndian);
    const captured = Math.min(original, snapLength === 0 ? original : snapLength);
    if (captured > length - 16) {
      fail('packet-length', where, `a packet says that it has ${captured} bytes in a block of ${length}`);
    }
    batch.add(at + 12, captured, linkType, this.#seconds, this.#nanoseconds);
  }

  #setTime(high: number, low: number, { rate, offset }: Interface): void {
    if (rate > 2 ** 36) {
      const ticks = (BigInt(high) << 32n) | BigInt(low);
      const whole = BigInt(rate);
      this.#seconds = Number(ticks / whole) + offset;
      this.#nanoseconds = Number(((ticks % whole) * 1_000_000_000n) / whole);
      return;
    }
    // a division in three parts, each of which a double holds exactly
    let rest = high % rate;
    let seconds = Math.floor(high / rate);
    for (const part of [low >>> 16, low & 0xffff]) {
      rest = rest * 0x10000 + part;
      seconds = seconds * 0x10000 + Math.floor(rest / rate);
      rest %= rate;
    }
    this.#seconds = seconds + offset;
    this.#nanoseconds = 1e9 % rate === 0 ? rest * (1e9 / rate) : Math.floor((rest / rate) * 1e9);
  }
}

function fail(fault: CaptureFault, position: number, message: string): never {
  throw new CaptureError(fault, position, message);
}
