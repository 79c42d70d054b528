/**
 * Choosing the port that a connection gets, by the rules of Linux' netfilter. Both keep the port where they may. Else
 * ports below 512, from 512 to 1023 and from 1024 become ports of the same kind, or of the range that the rule has.
 *
 * - `linux-2.6.12` (2005): goes through all of them, from where the last search of the protocol ended.
 * - `linux-6`: starts at random, and after 128 tries elsewhere, with ever fewer tries, down to 16.
 */

import { writeUint16 } from '../bytes.js';
import { IPPROTO } from '../packet.js';
import type { CompiledRule } from './rules.js';
import { copyBytes, TUPLE } from './tuple.js';

export const PORT_SELECTIONS = ['linux-2.6.12', 'linux-6'] as const;
export type PortSelection = (typeof PORT_SELECTIONS)[number];

const MAX_ATTEMPTS = 128;
const MIN_ATTEMPTS = 16;

/** Classes of ports when no range is given. */
function classOf(port: number): { readonly min: number; readonly max: number } {
  if (port < 512) return { min: 1, max: 511 };
  return port < 1024 ? { min: 600, max: 1023 } : { min: 1024, max: 65535 };
}

const ALL_IDS = { min: 0, max: 65535 };

export class PortChooser {
  readonly #old: boolean;
  /** Where the search of 2005 goes on, for each protocol. */
  readonly #counters = new Uint16Array(256);
  #random: number;

  constructor(selection: PortSelection, seed: number) {
    this.#old = selection === 'linux-2.6.12';
    this.#random = seed | 1;
  }

  /**
   * Gives a tuple that has its new address a port.
   *
   * @param isFree whether no connection has the tuple yet
   * @returns false: none is free
   */
  choose(rule: CompiledRule, target: Uint8Array, isFree: (target: Uint8Array) => boolean): boolean {
    const protocol = target[TUPLE.PROTOCOL] as number;
    const icmp = protocol === (target[TUPLE.VERSION] === 4 ? IPPROTO.ICMP : IPPROTO.ICMPV6);
    const ofSource = rule.sourceNat;
    if (protocol !== IPPROTO.TCP && protocol !== IPPROTO.UDP && !icmp) return isFree(target);
    // the identifier of a query stands on both sides
    if (icmp && !ofSource) return isFree(target);
    const at = TUPLE.PORTS + (ofSource ? 0 : 2);
    const before = ((target[at] as number) << 8) | (target[at + 1] as number);
    // ports are not identifiers
    const range = rule.toPorts.max !== 0 && !icmp ? rule.toPorts : null;
    if ((!range || (before >= range.min && before <= range.max)) && isFree(target)) return true;
    if (!range && !ofSource) return false;
    const { min, max } = range ?? (icmp ? ALL_IDS : classOf(before));
    const size = max - min + 1;
    if (this.#old) {
      const found = this.#try(target, at, min, size, size, this.#counters[protocol] as number, isFree);
      this.#counters[protocol] = (this.#counters[protocol] as number) + found.tried;
      return found.free;
    }
    let offset = ofSource ? this.#next() : 0;
    for (let attempts = Math.min(size, MAX_ATTEMPTS); ; attempts >>= 1, offset = this.#next()) {
      if (this.#try(target, at, min, size, attempts, offset, isFree).free) return true;
      if (attempts >= size || attempts < MIN_ATTEMPTS) return false;
    }
  }

  #try(
    target: Uint8Array,
    at: number,
    min: number,
    size: number,
    attempts: number,
    offset: number,
    isFree: (target: Uint8Array) => boolean,
  ): { readonly free: boolean; readonly tried: number } {
    const protocol = target[TUPLE.PROTOCOL];
    for (let i = 0; i < attempts; i++) {
      writeUint16(target, at, min + (((offset + i) & 0xffff) % size));
      if (protocol !== IPPROTO.TCP && protocol !== IPPROTO.UDP)
        copyBytes(target, TUPLE.PORTS + 2, target, TUPLE.PORTS, 2);
      if (isFree(target)) return { free: true, tried: i };
    }
    return { free: false, tried: attempts };
  }

  /** xorshift: 16 bits. */
  #next(): number {
    let bits = this.#random;
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    this.#random = bits;
    return bits >>> 16;
  }
}
