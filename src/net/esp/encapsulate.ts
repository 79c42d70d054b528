/** The way into a tunnel. */

import { randomFillSync } from 'node:crypto';
import { readUint32, writeUint32 } from '../bytes.js';
import { NetProtocolError } from '../error.js';
import { LINKTYPE, PacketView } from '../packet.js';
import { classifyChecksum, finishAt, finishChecksum } from '../state.js';
import { ESP_HEADER, type EspLayout, layoutOf } from './algorithm.js';
import { type EspCrypto, makeSealer, type Sealer } from './cipher.js';
import type { EspCounters } from './counters.js';
import { trafficClass } from './ecn.js';
import { EspError, type EspErrorCode } from './error.js';
import { InnerPacket } from './inner.js';
import type { EspHistoric, EspOutbound } from './options.js';
import type { OuterHeader } from './outer.js';
import type { Selectors } from './selectors.js';
import { OutboundSequence } from './sequence.js';

/**
 * What is known of a packet's TCP or UDP checksum:
 * - `false`: it is complete;
 * - `true`: it is partial, as netfront's `csum_blank` says, which is for TCP and UDP only;
 * - `{start, offset}`: it is partial, and a `virtio_net_hdr` says where: from the beginning of the packet;
 * - `'detect'`: nothing; it is taken for partial when its field is the sum of the pseudo-header, as in captures.
 */
export type PartialChecksum = boolean | 'detect' | { readonly start: number; readonly offset: number };

const MAX_PACKET = 65535;

/** IVs that nobody can foresee, as CBC needs them, fetched many at a time. */
const POOL = 4096;

export class Encapsulator {
  readonly layout: EspLayout;
  readonly sequence: OutboundSequence;
  /** The longest inner packet that fits into the path's MTU. */
  readonly maxInner: number;
  readonly #outer: OuterHeader;
  readonly #selectors: Selectors;
  readonly #sealer: Sealer;
  readonly #heads: readonly Uint8Array[];
  /** Of the encrypted part's length: the bits that must be 0. */
  readonly #blockMask: number;
  readonly #counters: EspCounters;
  readonly #mtu: number;
  readonly #device: string;
  readonly #historic: EspHistoric | undefined;
  readonly #inner = new InnerPacket();
  readonly #view = new PacketView();
  /** GCM: what the sequence number's halves are XORed with. */
  readonly #ivMaskHigh: number;
  readonly #ivMaskLow: number;
  readonly #gcm: boolean;
  readonly #pool = new Uint8Array(POOL);
  #poolAt = POOL;

  constructor(
    sa: EspOutbound,
    crypto: EspCrypto,
    shared: {
      readonly outer: OuterHeader;
      readonly selectors: Selectors;
      readonly counters: EspCounters;
      readonly mtu: number;
      readonly device: string;
      readonly historic: EspHistoric | undefined;
    },
  ) {
    this.layout = layoutOf(sa.keys);
    this.sequence = new OutboundSequence(sa.esn ?? false, sa.sequence ?? 0n);
    this.#outer = shared.outer;
    this.#selectors = shared.selectors;
    this.#counters = shared.counters;
    this.#mtu = shared.mtu;
    this.#device = shared.device;
    this.#historic = shared.historic;
    if (sa.ivMask !== undefined && (sa.ivMask.length !== 8 || sa.keys.algorithm !== 'aes-gcm')) {
      throw new RangeError('ivMask must have 8 bytes, and is for aes-gcm');
    }
    this.#gcm = sa.keys.algorithm === 'aes-gcm';
    const mask = sa.ivMask ?? randomFillSync(new Uint8Array(8));
    this.#ivMaskHigh = readUint32(mask, 0);
    this.#ivMaskLow = readUint32(mask, 4);
    const { block, overhead } = this.layout;
    this.maxInner = Math.floor((this.#mtu - this.#outer.length - overhead + 2) / block) * block - 2;
    if (this.maxInner < 1) throw new RangeError(`mtu ${this.#mtu} leaves no room for a packet`);
    this.#blockMask = block - 1;
    this.#sealer = makeSealer(sa.keys, sa.esn ?? false, this.#outer.length, crypto);
    this.#heads = this.#sealer.heads;
    for (const head of this.#heads) {
      this.#outer.begin(head);
      writeUint32(head, this.#outer.length, sa.spi);
    }
  }

  /** The outer packet's length for an inner one. */
  outerLength(inner: number): number {
    const encrypted = (inner + 2 + this.#blockMask) & ~this.#blockMask;
    return this.#outer.length + this.layout.overhead - 2 + encrypted;
  }

  /** See {@link EspTunnel.encapsulateInto}. */
  encapsulateInto(packet: Uint8Array, out: Uint8Array, partial: PartialChecksum): number {
    const total = this.#prepare(0, packet, 0, packet.length, out, 0, out.length, partial);
    this.#sealer.seal(packet, out, 1);
    return this.#done(0, out, 0, total);
  }

  /** See {@link EspTunnel.encapsulateBatch}. */
  encapsulateBatch(
    bytes: Uint8Array,
    places: Uint32Array,
    out: Uint8Array,
    slotSize: number,
    lengths: Uint32Array,
    partial: (i: number) => PartialChecksum,
  ): void {
    const count = places.length >> 1;
    if (lengths.length < count || slotSize * count > out.length)
      throw new RangeError(`there is no room for ${count} packets`);
    for (let first = 0, next = 0; first < count; first = next) {
      let jobs = 0;
      for (; next < count && jobs < this.#heads.length; next++) {
        lengths[next] = this.#tryPrepare(jobs, bytes, places, next, out, slotSize, partial(next));
        if (lengths[next] !== 0) jobs++;
      }
      if (jobs > 0) this.#sealer.seal(bytes, out, jobs);
      for (let i = first, job = 0; i < next; i++) {
        const total = lengths[i] as number;
        if (total !== 0) this.#done(job++, out, i * slotSize, total);
      }
    }
  }

  /** As {@link #prepare} for one of many; 0: it is refused, and counted. */
  #tryPrepare(
    job: number,
    bytes: Uint8Array,
    places: Uint32Array,
    i: number,
    out: Uint8Array,
    slotSize: number,
    partial: PartialChecksum,
  ): number {
    const at = places[2 * i] as number;
    const length = places[2 * i + 1] as number;
    if (at + length > bytes.length) throw new RangeError(`packet ${i} is not all in the bytes`);
    try {
      return this.#prepare(job, bytes, at, length, out, i * slotSize, slotSize, partial);
    } catch (error) {
      if (error instanceof EspError || error instanceof NetProtocolError) return 0;
      throw error;
    }
  }

  /** Checks a packet and sets the job that encapsulates it. @returns the outer packet's length */
  #prepare(
    job: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    out: Uint8Array,
    outAt: number,
    room: number,
    partial: PartialChecksum,
  ): number {
    const inner = this.#inner;
    if (!inner.read(bytes, at, length)) this.#refuse('EINVAL', 'this is no whole IP packet');
    if (!this.#selectors.outbound(bytes, inner)) {
      this.#refuse('EPERM', 'the packet is not between the networks of the tunnel');
    }
    if (this.#historic === '2005-07' && this.#isPartial(bytes, at, partial)) {
      this.#refuse('ENOMEM', 'Cannot allocate memory');
    }
    const total = this.outerLength(inner.length);
    const whole = this.#outer.keepsWhole(inner.version, inner.df);
    this.#checkLength(total, whole);
    if (total > room) throw new RangeError(`${total} bytes are needed for the outer packet, not ${room}`);
    const tos = trafficClass(bytes, at);
    const head = this.#heads[job] as Uint8Array;
    // completed in a copy: the packet stays the caller's
    const copied = partial !== false && this.#historic === undefined;
    if (copied) {
      const copy = outAt + head.length;
      out.set(bytes.subarray(at, at + inner.length), copy);
      this.#finish(out, copy, inner.length, partial);
    }
    const { sequence } = this;
    if (sequence.exhausted) this.#refuse('EOVERFLOW', 'the sequence numbers are used up: new keys are needed');
    sequence.advance();
    const { low, high } = sequence;
    const esp = this.#outer.length;
    this.#outer.update(head, total, tos, whole, low & 0xffff);
    writeUint32(head, esp + 4, low);
    this.#writeIv(head, esp + ESP_HEADER, high, low);
    const from = copied ? outAt + head.length : at;
    this.#sealer.set(job, from, inner.length, inner.version === 4 ? 4 : 41, high, outAt, copied);
    this.#counters.encapsulatedBytes += inner.length;
    return total;
  }

  /** Looks at what came of a job. @returns the outer packet's length */
  #done(job: number, out: Uint8Array, outAt: number, total: number): number {
    const rc = this.#sealer.result(job);
    if (rc < 0) throw new Error(`the tunnel is closed, or its cipher failed (errno ${rc})`);
    if (this.#outer.hasUdpChecksum) this.#outer.finish(out.subarray(outAt, outAt + total), total);
    this.#counters.encapsulated++;
    if (total > this.#mtu) this.#counters.oversize++;
    return total;
  }

  #checkLength(total: number, whole: boolean): void {
    if (total <= this.#mtu || (!whole && total <= MAX_PACKET)) return;
    const sizes = `${total} bytes do not fit into the path's MTU of ${this.#mtu}`;
    this.#refuse('EMSGSIZE', `${sizes}; packets of ${this.maxInner} would`, this.maxInner);
  }

  #isPartial(bytes: Uint8Array, at: number, partial: PartialChecksum): boolean {
    if (partial !== 'detect') return partial !== false;
    this.#view.parse(bytes, at, this.#inner.length, LINKTYPE.RAW);
    return classifyChecksum(this.#view) === 'partial';
  }

  /** The inner checksum is completed here, for no device will ever see it again. */
  #finish(out: Uint8Array, at: number, length: number, partial: PartialChecksum): void {
    if (typeof partial === 'object') {
      const { start, offset } = partial;
      if (!(start >= this.#inner.header) || !finishAt(out, at + start, offset, at + length)) {
        this.#refuse(
          'EINVAL',
          `a checksum at ${start} + ${offset} is outside of what the packet's ${length} bytes carry`,
        );
      }
    } else {
      const view = this.#view;
      view.parse(out, at, length, LINKTYPE.RAW);
      if (partial === 'detect' && classifyChecksum(view) !== 'partial') return;
      if (!finishChecksum(view)) {
        this.#counters.refused.EPROTO++;
        throw new NetProtocolError('esp-encap', view.protocol, this.#device);
      }
    }
    this.#counters.finished++;
  }

  #writeIv(head: Uint8Array, at: number, high: number, low: number): void {
    if (this.#gcm) {
      writeUint32(head, at, high ^ this.#ivMaskHigh);
      writeUint32(head, at + 4, low ^ this.#ivMaskLow);
      return;
    }
    if (this.#poolAt === POOL) {
      randomFillSync(this.#pool);
      this.#poolAt = 0;
    }
    for (let i = 0; i < 16; i++) head[at + i] = this.#pool[this.#poolAt + i] as number;
    this.#poolAt += 16;
  }

  #refuse(code: EspErrorCode, message: string, mtu?: number): never {
    this.#counters.refused[code]++;
    throw new EspError(code, message, this.#device, mtu);
  }

  close(): void {
    this.#sealer.close();
  }
}
