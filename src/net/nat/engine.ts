/** The NAT's work on packets, in TypeScript. native/nat.cc and nat_many.cc do the same, to the last bit. */

import { errno } from '../../abi/errno.js';
import { inNetwork } from '../address.js';
import { readUint16, writeUint16 } from '../bytes.js';
import { fold, sumBytes } from '../checksum.js';
import { IPPROTO, PacketView, VERDICTS } from '../packet.js';
import { CHECKSUM_STATES, classifyChecksum, finishChecksum } from '../state.js';
import { Conntrack, NONE } from './conntrack.js';
import type { NatSettings } from './nat.js';
import { NAT_OUTCOMES, type NatOutcome } from './outcome.js';
import { PortChooser } from './ports.js';
import { rewriteTo } from './rewrite.js';
import type { CompiledRule } from './rules.js';
import { copyBytes, equalBytes, fragmentKey, invert, TUPLE, tupleOf } from './tuple.js';

/** Its checksum's state is not known yet: to be found out. */
export const STATE_UNKNOWN = 255;
const PARTIAL = CHECKSUM_STATES.indexOf('partial');

/** One for each verdict, one for each outcome, and the packets whose checksum was partial. */
export const COUNTERS = VERDICTS.length + NAT_OUTCOMES.length + 1;

const UDP_LITE = 136;
const DCCP = 33;

const OPENING = 0;
const ESTABLISHED = 1;
const CLOSING = 2;
const RESET = 3;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** Packets whose later fragments are still to come; a new one may take the place of another. */
const FRAGMENT_SLOTS = 1024;
/** Seconds that the rest of a packet may take. */
const FRAGMENT_TIMEOUT = 30;

const SHARED_ZERO = new Uint8Array(TUPLE.SIZE);

export class NatEngine {
  readonly #rules: readonly CompiledRule[];
  readonly #settings: NatSettings;
  readonly #table: Conntrack;
  readonly #ports: PortChooser;
  readonly #view = new PacketView();
  readonly #quoted = new PacketView();
  readonly #fragmentKeys = new Uint8Array(FRAGMENT_SLOTS * TUPLE.SIZE);
  readonly #fragmentAddresses = new Uint8Array(FRAGMENT_SLOTS * 32);
  readonly #fragmentExpires = new Float64Array(FRAGMENT_SLOTS);
  readonly #tuple = new Uint8Array(TUPLE.SIZE);
  readonly #target = new Uint8Array(TUPLE.SIZE);
  readonly #reply = new Uint8Array(TUPLE.SIZE);
  #now = 0;
  #closed = false;
  readonly #isFree = (target: Uint8Array): boolean => {
    invert(target, 0, this.#reply);
    return this.#table.find(this.#reply, this.#now) === NONE;
  };

  constructor(rules: readonly CompiledRule[], settings: NatSettings) {
    this.#rules = rules;
    this.#settings = settings;
    this.#table = new Conntrack(settings.seed, settings.maxConnections);
    this.#ports = new PortChooser(settings.portSelection, settings.seed);
  }

  connections(): number {
    return this.#closed ? -errno.EBADF : this.#table.count;
  }

  translate(
    bytes: Uint8Array,
    places: Uint32Array,
    seconds: Float64Array,
    count: number,
    states: Uint8Array,
    outcomes: Uint8Array,
    counters: Float64Array,
  ): number {
    if (this.#closed) return -errno.EBADF;
    const view = this.#view;
    for (let i = 0; i < count; i++) {
      const verdict = view.parse(
        bytes,
        places[3 * i] as number,
        places[3 * i + 1] as number,
        places[3 * i + 2] as number,
      );
      if (states[i] === STATE_UNKNOWN) states[i] = CHECKSUM_STATES.indexOf(classifyChecksum(view));
      const blank = states[i] === PARTIAL;
      this.#now = seconds[i] as number;
      const outcome = NAT_OUTCOMES.indexOf(this.#translate(view, blank));
      outcomes[i] = outcome;
      addOne(counters, VERDICTS.indexOf(verdict));
      addOne(counters, VERDICTS.length + outcome);
      if (blank) addOne(counters, COUNTERS - 1);
      if (blank && this.#settings.finish) finishChecksum(view);
    }
    return 0;
  }

  close(): void {
    this.#closed = true;
  }

  #translate(view: PacketView, blank: boolean): NatOutcome {
    if (view.verdict === 'not-ip') return 'untouched';
    if (view.verdict !== 'ok') return 'refused';
    if (view.fragmentOffset !== 0) return this.#translateFragment(view);
    if (view.quoted >= 0) return this.#translateError(view);
    const tuple = this.#tuple;
    if (!tupleOf(view, tuple)) return 'untouched';
    let reference = this.#table.find(tuple, this.#now);
    if (reference === NONE) {
      const made = this.#newConnection(view, tuple);
      if (typeof made === 'string') return made;
      reference = made;
    }
    this.#touch(reference, view);
    const target = this.#target;
    invert(this.#table.tuples, Conntrack.tupleAt(reference ^ 1), target);
    if (view.moreFragments) this.#rememberFragments(view, target);
    rewriteTo(view, target, blank, this.#settings.historic);
    return 'translated';
  }

  #newConnection(view: PacketView, tuple: Uint8Array): number | NatOutcome {
    if (view.icmpType >= 0 && !isRequest(view)) return 'untouched';
    const target = this.#target;
    target.set(tuple);
    const destination = this.#match(false, target);
    let free = true;
    if (destination) {
      copyBytes(target, TUPLE.DESTINATION, destination.to, 0, destination.to.length);
      free = this.#ports.choose(destination, target, this.#isFree);
    }
    const source = this.#match(true, target);
    if (source) {
      copyBytes(target, TUPLE.SOURCE, source.to, 0, source.to.length);
      free = this.#ports.choose(source, target, this.#isFree);
    }
    if (!destination && !source) return 'untouched';
    if (!isSupported(view)) return 'unsupported';
    if (!free) return 'no-port';
    invert(target, 0, this.#reply);
    const reference = this.#table.add(tuple, this.#reply, this.#now);
    return reference === NONE ? 'table-full' : reference;
  }

  #match(sourceNat: boolean, tuple: Uint8Array): CompiledRule | undefined {
    const port = readUint16(tuple, TUPLE.PORTS + 2);
    return this.#rules.find((rule) => {
      if (rule.sourceNat !== sourceNat || rule.version !== tuple[TUPLE.VERSION]) return false;
      if (rule.protocol !== 0 && rule.protocol !== tuple[TUPLE.PROTOCOL]) return false;
      if (rule.port.max !== 0 && (port < rule.port.min || port > rule.port.max)) return false;
      const { source, destination } = rule;
      const size = rule.to.length;
      if (!inNetwork(source, tuple, TUPLE.SOURCE, size)) return false;
      // within the net nothing is hidden
      if (sourceNat && source.prefix !== 0 && inNetwork(source, tuple, TUPLE.DESTINATION, size)) return false;
      return inNetwork(destination, tuple, TUPLE.DESTINATION, size);
    });
  }

  #touch(reference: number, view: PacketView): void {
    const { timeouts } = this.#settings;
    const { state, expires } = this.#table;
    const index = reference >> 1;
    const isReply = (reference & 1) === 1;
    let first = 0;
    if (view.protocol === IPPROTO.TCP) {
      const flags = view.bytes[view.l4 + 13] as number;
      const before = state[index] as number;
      if (flags & RST) state[index] = RESET;
      else if (flags & FIN) state[index] = CLOSING;
      else if ((flags & (SYN | ACK)) === SYN && before >= CLOSING) state[index] = OPENING;
      else if (isReply && before === OPENING) state[index] = ESTABLISHED;
    } else {
      first = view.protocol === IPPROTO.UDP ? 4 : view.icmpType >= 0 ? 6 : 8;
      if (isReply) state[index] = 1;
    }
    expires[index] = this.#now + (timeouts[first + (state[index] as number)] as number);
  }

  /** An ICMP error goes the way of the answers to the packet that it quotes, and both must fit. */
  #translateError(view: PacketView): NatOutcome {
    const quoted = this.#quoted;
    const tuple = this.#tuple;
    if (view.fragment || quoted.parseQuoted(view) !== 'ok' || !tupleOf(quoted, tuple)) return 'untouched';
    invert(tuple, 0, this.#reply);
    const reference = this.#table.find(this.#reply, this.#now);
    if (reference === NONE) return 'untouched';
    const { tuples } = this.#table;
    const from = Conntrack.tupleAt(reference);
    const before = Conntrack.tupleAt(reference ^ 1);

    const { bytes, checkAt } = view;
    const length = Math.min(view.ipEnd, quoted.l4 + 20) - view.quoted;
    const oldSum = sumBytes(bytes, view.quoted, length, 0);
    const target = this.#target;
    copyBytes(target, 0, tuples, before, TUPLE.SIZE);
    rewriteTo(quoted, target, false, null);
    const newSum = sumBytes(bytes, view.quoted, length, 0);
    const sum = (~readUint16(bytes, checkAt) & 0xffff) + (~oldSum & 0xffff) + newSum;
    writeUint16(bytes, checkAt, ~fold(sum) & 0xffff);

    tupleOf(view, target);
    // the router that tells of the trouble is hidden as well when the end that it speaks for is
    if (!equalBytes(tuples, from + TUPLE.SOURCE, tuples, before + TUPLE.DESTINATION, 16)) {
      copyBytes(target, TUPLE.SOURCE, tuples, before + TUPLE.DESTINATION, 16);
    }
    if (equalBytes(target, TUPLE.DESTINATION, tuples, from + TUPLE.DESTINATION, 16)) {
      copyBytes(target, TUPLE.DESTINATION, tuples, before + TUPLE.SOURCE, 16);
    }
    rewriteTo(view, target, false, null);
    return 'translated';
  }

  #fragmentSlot(key: Uint8Array): number {
    return sumBytes(key, 0, TUPLE.SIZE, 0) % FRAGMENT_SLOTS;
  }

  #rememberFragments(view: PacketView, target: Uint8Array): void {
    const key = this.#reply;
    fragmentKey(view, key);
    const slot = this.#fragmentSlot(key);
    copyBytes(this.#fragmentKeys, slot * TUPLE.SIZE, key, 0, TUPLE.SIZE);
    copyBytes(this.#fragmentAddresses, slot * 32, target, TUPLE.SOURCE, 32);
    this.#fragmentExpires[slot] = this.#now + FRAGMENT_TIMEOUT;
  }

  /** A fragment without ports goes where its first one went. */
  #translateFragment(view: PacketView): NatOutcome {
    const key = this.#tuple;
    fragmentKey(view, key);
    const slot = this.#fragmentSlot(key);
    const known = equalBytes(this.#fragmentKeys, slot * TUPLE.SIZE, key, 0, TUPLE.SIZE);
    if (known && this.#now <= (this.#fragmentExpires[slot] as number)) {
      const target = this.#target;
      target.set(SHARED_ZERO);
      copyBytes(target, TUPLE.SOURCE, this.#fragmentAddresses, slot * 32, 32);
      rewriteTo(view, target, false, null);
      return 'translated';
    }
    // ours to translate, and we do not know how
    return this.#match(true, key) || this.#match(false, key) ? 'fragment' : 'untouched';
  }
}

function addOne(counters: Float64Array, at: number): void {
  counters[at] = (counters[at] as number) + 1;
}

function isRequest({ version, icmpType }: PacketView): boolean {
  if (version === 6) return icmpType === 128;
  return icmpType === 8 || icmpType === 13 || icmpType === 15 || icmpType === 17;
}

function isSupported({ protocol, routed }: PacketView): boolean {
  return protocol !== UDP_LITE && protocol !== DCCP && protocol !== IPPROTO.AH && !routed;
}
