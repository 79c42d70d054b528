/** A NAT: rules, and the connections that came of them. */

import { randomBytes } from 'node:crypto';
import { loadAddon } from '../../native/load.js';
import type { NativeNatTranslator, NatTranslator } from '../../native/net.js';
import { PacketBatch } from '../capture/batch.js';
import type { CaptureFormat } from '../capture/format.js';
import { VERDICTS, type Verdict } from '../packet.js';
import { CHECKSUM_STATES, type ChecksumState } from '../state.js';
import { COUNTERS, NatEngine, STATE_UNKNOWN } from './engine.js';
import { NAT_OUTCOMES, type NatOutcome } from './outcome.js';
import { PORT_SELECTIONS, type PortSelection } from './ports.js';
import type { Historic } from './rewrite.js';
import { compileRules, encodeRules, type NatRule } from './rules.js';

/** Seconds after which connections that have no packets are forgotten; the defaults are Linux'. */
export interface NatTimeouts {
  /** Opened by one side; default 120. */
  readonly tcpOpening?: number;
  /** Default 432,000: five days. */
  readonly tcpEstablished?: number;
  /** One side has ended it; default 120. */
  readonly tcpClosing?: number;
  /** Default 10. */
  readonly tcpReset?: number;
  /** Default 30. */
  readonly udp?: number;
  /** After an answer; default 120. */
  readonly udpAnswered?: number;
  /** Default 30. */
  readonly icmp?: number;
  /** Every other protocol; default 600. */
  readonly other?: number;
}

export interface NatOptions {
  readonly rules: readonly NatRule[];
  /** Connections at most, 1 to 4,194,304; default 262,144. */
  readonly maxConnections?: number;
  /** Default `linux-6`. */
  readonly portSelection?: PortSelection;
  /** Makes the mistake of that day, to be shown. */
  readonly historic?: Historic;
  /** Whether partial checksums are completed; default true. Where a device does it: false. */
  readonly finish?: boolean;
  readonly timeouts?: NatTimeouts;
  /** What is random follows from it; default: nobody knows. */
  readonly seed?: number;
  /** `typescript`: not the native addon, though there is one. */
  readonly engine?: 'native' | 'typescript';
}

/** {@link NatOptions}, complete. */
export interface NatSettings {
  readonly seed: number;
  readonly maxConnections: number;
  readonly portSelection: PortSelection;
  readonly historic: Historic | null;
  readonly finish: boolean;
  /** TCP opening, established, closing, reset; UDP first and answered; the same of ICMP, and of all others. */
  readonly timeouts: readonly number[];
}

const MAX_CONNECTIONS = 1 << 22;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function complete(options: NatOptions): NatSettings {
  const { maxConnections = 262144, portSelection = 'linux-6', timeouts = {}, seed } = options;
  if (!Number.isInteger(maxConnections) || maxConnections < 1 || maxConnections > MAX_CONNECTIONS) {
    throw new RangeError(`maxConnections must be from 1 to ${MAX_CONNECTIONS}, not ${maxConnections}`);
  }
  if (!PORT_SELECTIONS.includes(portSelection)) {
    throw new RangeError(`portSelection must be one of ${PORT_SELECTIONS.join(', ')}, not '${portSelection}'`);
  }
  if (options.historic !== undefined && options.historic !== '2005-10-14') {
    throw new RangeError(`historic can only be '2005-10-14', not '${options.historic}'`);
  }
  const { icmp = 30, other = 600, udp = 30, udpAnswered = 120 } = timeouts;
  const { tcpOpening = 120, tcpEstablished = 432000, tcpClosing = 120, tcpReset = 10 } = timeouts;
  const all = [tcpOpening, tcpEstablished, tcpClosing, tcpReset, udp, udpAnswered, icmp, icmp, other, other];
  if (!all.every((one) => Number.isFinite(one) && one >= 0)) throw new RangeError('timeouts are seconds from 0');
  return {
    seed: (seed ?? randomBytes(4).readUInt32LE()) >>> 0,
    maxConnections,
    portSelection,
    historic: options.historic ?? null,
    finish: options.finish ?? true,
    timeouts: all,
  };
}

/**
 * Translates packets in place. Only connections that a rule is about are remembered: what no rule matches, and no
 * connection has, passes untouched.
 */
export class Nat implements Disposable {
  readonly #options: NatOptions;
  readonly #settings: NatSettings;
  #translator: NatTranslator | NativeNatTranslator;
  #masquerade: string | null = null;
  readonly #counters = new Float64Array(COUNTERS);
  /** Packets by what the parser said, one counter for each of VERDICTS. */
  readonly verdicts: Readonly<Float64Array> = this.#counters.subarray(0, VERDICTS.length);
  #states = new Uint8Array(0);
  #outcomes = new Uint8Array(0);
  readonly #place = new Uint32Array(3);
  readonly #second = new Float64Array(1);
  readonly #records = new Uint32Array(5);

  /** @throws TypeError or RangeError with what is wrong in the options */
  constructor(options: NatOptions) {
    this.#options = options;
    this.#settings = complete(options);
    this.#translator = this.#make();
  }

  #make(): NatTranslator | NativeNatTranslator {
    const rules = compileRules(this.#options.rules, this.#masquerade);
    const settings = this.#settings;
    const { addon } = this.#options.engine === 'typescript' ? { addon: null } : loadAddon();
    if (!addon || rules.length === 0) return new NatEngine(rules, settings);
    const { seed, maxConnections, portSelection, historic, finish, timeouts } = settings;
    const flags = [portSelection === 'linux-2.6.12', historic !== null, finish].map(Number);
    const made = addon.openNat(encodeRules(rules), Float64Array.of(seed, maxConnections, ...flags, ...timeouts));
    if (typeof made === 'number') throw new Error(`the native addon refused the rules: ${made}`);
    return made;
  }

  /** How many connections it remembers, those among them that have expired and nobody asked for. */
  get connections(): number {
    return this.#translator.connections();
  }

  /**
   * Says what masquerades hide behind: the address of the interface that leads out. When it changes, all connections
   * are forgotten, for no answer would come to the old one.
   */
  setMasqueradeAddress(address: string | null): void {
    if (address === this.#masquerade) return;
    this.#masquerade = address;
    this.#translator.close();
    this.#translator = this.#make();
  }

  /**
   * Translates one packet.
   *
   * @param now seconds, of any clock that moves forward
   * @param partial whether its checksum is partial, as a `virtio_net_hdr` says; undefined: to be found out
   */
  translate(
    bytes: Uint8Array,
    offset: number,
    length: number,
    linkType: number,
    now: number,
    partial?: boolean,
  ): NatOutcome {
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
      throw new RangeError(`bytes ${offset} to ${offset + length} of ${bytes.length} are no frame`);
    }
    this.#reserve(1);
    this.#place[0] = offset;
    this.#place[1] = length;
    this.#place[2] = linkType;
    this.#second[0] = now;
    this.#states[0] = partial === undefined ? STATE_UNKNOWN : CHECKSUM_STATES.indexOf(partial ? 'partial' : 'good');
    this.#run(bytes, this.#place, this.#second, 1);
    return NAT_OUTCOMES[this.#outcomes[0] as number] as NatOutcome;
  }

  /** Translates all packets of a batch. */
  translateBatch(bytes: Uint8Array, { places, seconds, count }: PacketBatch): void {
    this.#reserve(count);
    this.#states.fill(STATE_UNKNOWN, 0, count);
    this.#run(bytes, places, seconds, count);
  }

  /**
   * Finds the next packets of a capture and translates them: `format.scan()` and {@link translateBatch} in one. Where the
   * addon can read the format itself, both go through memory together.
   */
  translateNext(
    format: CaptureFormat,
    bytes: Uint8Array,
    start: number,
    end: number,
    batch: PacketBatch,
    position: number,
  ): number {
    const first = position === 0 ? start + (format.records?.start ?? 0) : start;
    if (this.#translatePcap(format, bytes, first, end, batch)) return this.#records[0] as number;
    const at = format.scan(bytes, start, end, batch, position);
    this.translateBatch(bytes, batch);
    return at;
  }

  /** False: nothing was found, or not for the addon to find. */
  #translatePcap(
    { records }: CaptureFormat,
    bytes: Uint8Array,
    start: number,
    end: number,
    batch: PacketBatch,
  ): boolean {
    const translator = this.#translator;
    if (records === null || !('translatePcap' in translator)) return false;
    const { places, seconds, nanoseconds } = batch;
    this.#reserve(PacketBatch.CAPACITY);
    const [states, outcomes] = [this.#states, this.#outcomes];
    this.#records.set([start, end, records.linkType, Number(records.littleEndian !== LITTLE_ENDIAN), records.tick]);
    const count = translator.translatePcap(
      bytes,
      this.#records,
      places,
      seconds,
      nanoseconds,
      states,
      outcomes,
      this.#counters,
    );
    if (count < 0) throw new RangeError('the part does not lie in the bytes, or the NAT is closed');
    batch.count = count;
    return count > 0;
  }

  /** Packets by what came of them. */
  get outcomes(): Readonly<Record<NatOutcome, number>> {
    const all = NAT_OUTCOMES.map((outcome, i) => [outcome, this.#counters[VERDICTS.length + i] ?? 0] as const);
    return Object.fromEntries(all) as Record<NatOutcome, number>;
  }

  /** Packets whose checksum was partial. */
  get partial(): number {
    return this.#counters[COUNTERS - 1] as number;
  }

  /** Why the parser refused packets, and how often; reasons that there were none of are left out. */
  get reasons(): Readonly<Partial<Record<Verdict, number>>> {
    const some = VERDICTS.map((verdict, i) => [verdict, this.verdicts[i] ?? 0] as const);
    return Object.fromEntries(some.filter(([verdict, count]) => verdict !== 'ok' && count > 0));
  }

  /** What came of a packet of the last batch. */
  outcome(i: number): NatOutcome {
    return NAT_OUTCOMES[this.#outcomes[i] as number] as NatOutcome;
  }

  /** What the checksum of a packet of the last batch was. */
  state(i: number): ChecksumState {
    return CHECKSUM_STATES[this.#states[i] as number] as ChecksumState;
  }

  #run(bytes: Uint8Array, places: Uint32Array, seconds: Float64Array, count: number): void {
    const [states, outcomes] = [this.#states, this.#outcomes];
    const rc = this.#translator.translate(bytes, places, seconds, count, states, outcomes, this.#counters);
    if (rc !== 0) throw new RangeError('a packet does not lie in the bytes, or the NAT is closed');
  }

  #reserve(count: number): void {
    if (this.#states.length >= count) return;
    this.#states = new Uint8Array(count);
    this.#outcomes = new Uint8Array(count);
  }

  /** Forgets all connections. Twice is harmless. */
  close(): void {
    this.#translator.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
