/** ESP in tunnel mode (RFC 4303): IP packets in, IP packets out. */

import { type EspCrypto, nativeEsp } from './cipher.js';
import { type EspCounters, type EspDrop, newCounters } from './counters.js';
import { Decapsulator } from './decapsulate.js';
import { Encapsulator, type PartialChecksum } from './encapsulate.js';
import type { EspTunnelOptions } from './options.js';
import { OuterHeader } from './outer.js';
import { Selectors } from './selectors.js';

/**
 * One end of an ESP tunnel between two addresses.
 *
 * A guest's packet may come with a partial checksum. It is completed before it is encrypted, since nobody on the way can
 * do it after that; where that cannot be done, the packet is refused with EPROTO.
 *
 * @example
 *     using tunnel = new EspTunnel({
 *       local: '192.0.2.1',
 *       remote: '192.0.2.2',
 *       outbound: { spi: 0x1000, keys: { algorithm: 'aes-gcm', key, salt } },
 *       inbound: { spi: 0x2000, keys: { algorithm: 'aes-gcm', key: theirKey, salt: theirSalt } },
 *     });
 *     const outer = tunnel.encapsulate(packet, true); // its checksum is partial
 *     const inner = tunnel.decapsulate(received);     // null: tunnel.verdict says why
 */
export class EspTunnel implements Disposable {
  /** What seals and opens: the addon or node:crypto. */
  readonly crypto: EspCrypto;
  /** What became of all packets so far. It counts on. */
  readonly counters: Readonly<EspCounters> = newCounters();
  readonly #encapsulator: Encapsulator | null;
  readonly #decapsulator: Decapsulator | null;
  #verdict: 'ok' | EspDrop = 'ok';

  /** @throws RangeError, TypeError for options that cannot be; no message has a part of a key */
  constructor(options: EspTunnelOptions) {
    const { outbound, inbound, mtu = 1500, device = '', historic } = options;
    if (!outbound && !inbound) throw new TypeError('a tunnel needs outbound or inbound, or both');
    checkSpi('outbound.spi', outbound?.spi);
    checkSpi('inbound.spi', inbound?.spi);
    if (!(Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535)) {
      throw new RangeError(`mtu must be 68 to 65535, not ${mtu}`);
    }
    this.crypto = options.crypto ?? (nativeEsp() ? 'native' : 'node');
    const shared = {
      outer: new OuterHeader(options),
      selectors: new Selectors(options.selectors),
      counters: this.counters,
      mtu,
      device,
      historic,
    };
    this.#encapsulator = outbound ? new Encapsulator(outbound, this.crypto, shared) : null;
    this.#decapsulator = inbound ? new Decapsulator(inbound, this.crypto, shared) : null;
  }

  /**
   * Encapsulates an IP packet; bytes after its end are left out.
   *
   * @returns the outer IP packet
   * @throws EspError (see there for the errors), NetProtocolError: EPROTO, a partial checksum that cannot be completed.
   *   Nothing was sent then, and no sequence number is used up.
   */
  encapsulate(packet: Uint8Array, partial: PartialChecksum = false): Uint8Array {
    const out = new Uint8Array(this.outerLength(packet.length));
    return out.subarray(0, this.encapsulateInto(packet, out, partial));
  }

  /**
   * As {@link encapsulate}, into memory of one's own.
   *
   * @param out room for {@link outerLength} bytes; it may be memory that has the packet, too
   * @returns the outer packet's length
   */
  encapsulateInto(packet: Uint8Array, out: Uint8Array, partial: PartialChecksum = false): number {
    return this.#outbound().encapsulateInto(packet, out, partial);
  }

  /**
   * Encapsulates many packets that lie in one array: the fastest way. One that is refused has a length of 0 then, and is
   * counted by its error in {@link counters}; {@link encapsulateInto} would throw that.
   *
   * @param places offset and length of each packet
   * @param out apart from the packets; packet `i` is written to slot `i`, `slotSize` bytes each
   * @param lengths of the outer packets, filled
   * @param partial tells what is known of the checksum of packet `i`
   */
  encapsulateBatch(
    bytes: Uint8Array,
    places: Uint32Array,
    out: Uint8Array,
    slotSize: number,
    lengths: Uint32Array,
    partial: (i: number) => PartialChecksum = () => false,
  ): void {
    this.#outbound().encapsulateBatch(bytes, places, out, slotSize, lengths, partial);
  }

  /** How long the outer packet of an inner one of `length` bytes is. */
  outerLength(length: number): number {
    return this.#outbound().outerLength(length);
  }

  /** The longest inner packet whose outer one fits into the path's MTU. */
  get maxInner(): number {
    return this.#outbound().maxInner;
  }

  /** The sequence number that was last used: to be kept for a tunnel with the same keys. */
  get sequence(): bigint {
    return this.#outbound().sequence.used;
  }

  /** The highest sequence number that came. */
  get highest(): bigint {
    return this.#inbound().window.highest;
  }

  /** What became of the packet that was decapsulated last. */
  get verdict(): 'ok' | EspDrop {
    return this.#verdict;
  }

  /**
   * Decapsulates an outer IP packet.
   *
   * @returns the inner packet; null: {@link verdict} and {@link counters} say why there is none
   */
  decapsulate(packet: Uint8Array): Uint8Array | null {
    const out = new Uint8Array(packet.length);
    const length = this.decapsulateInto(packet, out);
    return length === 0 ? null : out.subarray(0, length);
  }

  /**
   * As {@link decapsulate}, into memory of one's own. When there is no inner packet, nothing of it was written.
   *
   * @param out room for as many bytes as the outer packet has, apart from it
   * @returns the inner packet's length; 0: none
   */
  decapsulateInto(packet: Uint8Array, out: Uint8Array): number {
    const result = this.#inbound().decapsulateInto(packet, out);
    this.#verdict = typeof result === 'number' ? 'ok' : result;
    return typeof result === 'number' ? result : 0;
  }

  /** Wipes the keys. Twice is harmless; encapsulating and decapsulating throw from then on. */
  close(): void {
    this.#encapsulator?.close();
    this.#decapsulator?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #outbound(): Encapsulator {
    if (this.#encapsulator === null) throw new TypeError('this tunnel has no outbound keys');
    return this.#encapsulator;
  }

  #inbound(): Decapsulator {
    if (this.#decapsulator === null) throw new TypeError('this tunnel has no inbound keys');
    return this.#decapsulator;
  }
}

function checkSpi(name: string, spi: number | undefined): void {
  if (spi === undefined || (Number.isInteger(spi) && spi >= 256 && spi <= 0xffffffff)) return;
  throw new RangeError(`${name} must be 256 to 4294967295, not ${spi}`);
}
