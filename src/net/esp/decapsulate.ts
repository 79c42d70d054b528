/** The way out of a tunnel. */

import { errno } from '../../abi/errno.js';
import { readUint32 } from '../bytes.js';
import { IPPROTO, LINKTYPE, PacketView } from '../packet.js';
import { type EspLayout, layoutOf } from './algorithm.js';
import { type EspCrypto, makeOpener, type Opener } from './cipher.js';
import type { EspCounters, EspDrop } from './counters.js';
import { ecnAfterTunnel, setEcn, trafficClass } from './ecn.js';
import { InnerPacket } from './inner.js';
import type { EspInbound } from './options.js';
import { ipv4HeaderGood, type OuterHeader } from './outer.js';
import type { Selectors } from './selectors.js';
import { ReplayWindow } from './sequence.js';

const UDP_HEADER = 8;
const NEXT = { IPV4: 4, IPV6: 41, NONE: 59 } as const;

export class Decapsulator {
  readonly window: ReplayWindow;
  readonly #layout: EspLayout;
  readonly #spi: number;
  readonly #outer: OuterHeader;
  readonly #selectors: Selectors;
  readonly #opener: Opener;
  readonly #counters: EspCounters;
  readonly #view = new PacketView();
  readonly #inner = new InnerPacket();
  /** Where ESP begins and how long it is, once {@link #find} has found it. */
  #esp = 0;
  #length = 0;

  constructor(
    sa: EspInbound,
    crypto: EspCrypto,
    shared: { readonly outer: OuterHeader; readonly selectors: Selectors; readonly counters: EspCounters },
  ) {
    this.#layout = layoutOf(sa.keys);
    this.#spi = sa.spi;
    this.#outer = shared.outer;
    this.#selectors = shared.selectors;
    this.#counters = shared.counters;
    this.window = new ReplayWindow(sa.replayWindow ?? 64, sa.esn ?? false, sa.sequence ?? 0n);
    this.#opener = makeOpener(sa.keys, sa.esn ?? false, crypto);
  }

  /** See {@link EspTunnel.decapsulateInto}. @returns the inner packet's length, or why there is none */
  decapsulateInto(packet: Uint8Array, out: Uint8Array): number | EspDrop {
    const verdict = this.#find(packet) ?? this.#open(packet, out);
    if (typeof verdict === 'string') this.#counters.dropped[verdict]++;
    else {
      this.#counters.decapsulated++;
      this.#counters.decapsulatedBytes += verdict;
    }
    return verdict;
  }

  /** Finds ESP in the outer packet. */
  #find(packet: Uint8Array): EspDrop | null {
    const view = this.#view;
    if (view.parse(packet, 0, packet.length, LINKTYPE.RAW) !== 'ok') return 'malformed';
    if (view.version === 4 && !ipv4HeaderGood(packet, 0, view.l4)) return 'malformed';
    if (view.version !== this.#outer.version || !this.#outer.isInbound(packet, view.addresses)) return 'address';
    if (view.fragment) return 'fragment';
    this.#esp = view.l4;
    this.#length = view.l4Length;
    if (!this.#outer.natT) return view.protocol === IPPROTO.ESP ? null : 'not-esp';
    if (view.protocol !== IPPROTO.UDP || view.destinationPort !== this.#outer.localPort) return 'not-esp';
    this.#esp += UDP_HEADER;
    this.#length -= UDP_HEADER;
    if (this.#length === 1 && packet[this.#esp] === 0xff) return 'keepalive';
    return this.#length >= 4 && readUint32(packet, this.#esp) === 0 ? 'ike' : null;
  }

  /** In RFC 4303's order (section 3.4): what is cheap and tells nothing first, the window moves only for authentic packets. */
  #open(packet: Uint8Array, out: Uint8Array): EspDrop | number {
    const { overhead, block } = this.#layout;
    const encrypted = this.#length - overhead + 2;
    if (encrypted < block || encrypted % block !== 0) return 'truncated';
    if (readUint32(packet, this.#esp) !== this.#spi) return 'unknown-spi';
    const low = readUint32(packet, this.#esp + 4);
    const high = this.window.upperHalf(low);
    const age = this.window.check(high, low);
    if (age !== 'new') return age;
    if (out.length < encrypted)
      throw new RangeError(`${encrypted} bytes are needed for the inner packet, not ${out.length}`);
    const rc = this.#opener.open(packet, this.#esp, this.#length, high, out);
    if (rc === -errno.EBADMSG) return 'bad-icv';
    if (rc < 0) throw new Error(`the tunnel is closed, or its cipher failed (errno ${rc})`);
    this.window.accept(high, low);
    const verdict = this.#unwrap(packet, out, encrypted);
    if (typeof verdict === 'string') out.fill(0, 0, encrypted);
    return verdict;
  }

  /** Looks at what was encrypted. */
  #unwrap(packet: Uint8Array, out: Uint8Array, encrypted: number): EspDrop | number {
    const nextHeader = out[encrypted - 1] as number;
    const padding = out[encrypted - 2] as number;
    const payload = encrypted - 2 - padding;
    if (payload < 0) return 'padding';
    for (let i = 0; i < padding; i++) if (out[payload + i] !== i + 1) return 'padding';
    if (nextHeader === NEXT.NONE) return 'dummy';
    if (nextHeader !== NEXT.IPV4 && nextHeader !== NEXT.IPV6) return 'next-header';
    const inner = this.#inner;
    if (!inner.read(out, 0, payload) || inner.version !== (nextHeader === NEXT.IPV4 ? 4 : 6)) return 'inner';
    if (!this.#selectors.inbound(out, inner)) return 'selector';
    const before = trafficClass(out, 0) & 3;
    const ecn = ecnAfterTunnel(before, trafficClass(packet, 0) & 3);
    if (ecn < 0) return 'ecn';
    if (ecn !== before) setEcn(out, 0, ecn);
    return inner.length;
  }

  close(): void {
    this.#opener.close();
  }
}
