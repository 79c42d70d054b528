/** V4VOP_tables_add, _del and _list: the filter rules of the whole machine, for the control domain. */

import { errno } from '../../abi/errno.js';
import { v4vtables_list, v4vtables_rule } from '../../abi/v4v.js';
import { decodeRule, encodeRule, sameAddr, type V4vRule } from '../../abi/v4v_rules.js';
import type { Caller } from '../caller.js';
import type { Posted } from './as_posted.js';
import { fetchArgument, type OnFetch } from './fetch.js';

const RULE_SIZE = v4vtables_rule.size;
const L = v4vtables_list.at;
/** Position of "not by position" in tables_del, as the unsigned word that it arrives as. */
const BY_RULE = 0xffff_ffff;

/** A rule, and what its caller wrote in `accept`. */
interface StoredRule extends V4vRule {
  readonly acceptWord: number;
}

export class V4vTables {
  readonly #posted: Posted;
  readonly #onFetch: OnFetch | null;
  #rules: readonly StoredRule[] = [];

  constructor(posted: Posted, onFetch: OnFetch | null) {
    this.#posted = posted;
    this.#onFetch = onFetch;
  }

  /** In order; the first that matches decides. */
  get rules(): readonly V4vRule[] {
    return this.#rules;
  }

  /**
   * Puts a rule in.
   *
   * @param position what its number will be: 1 is the first; 0, or more than there are, is behind all others
   */
  add(caller: Caller, address: number, position: number): number {
    const rule = this.#fetch(caller, address);
    if (!rule) return -errno.EFAULT;
    const behindAll = position === 0 || position > this.#rules.length;
    this.#rules = this.#rules.toSpliced(behindAll ? this.#rules.length : position - 1, 0, rule);
    return 0;
  }

  /**
   * Takes out the rule with a number from 1 on; or, position -1, the first equal to a given one; or, without one, all.
   *
   * @returns 0; -ENOENT: there is no such rule
   */
  del(caller: Caller, address: number, position: number): number {
    if (position === BY_RULE && address === 0) {
      this.#rules = [];
      return 0;
    }
    let at = position - 1;
    if (position === BY_RULE) {
      const wanted = this.#fetch(caller, address);
      if (!wanted) return -errno.EFAULT;
      at = this.#rules.findIndex((rule) => this.#same(rule, wanted));
      if (at < 0) return this.#posted[21] ? 0 : -errno.ENOENT;
    } else if (this.#posted[20]) {
      at = postedPosition(position, this.#rules.length);
      if (at < 0) return 0;
    }
    if (at < 0 || at >= this.#rules.length) return -errno.ENOENT;
    this.#rules = this.#rules.toSpliced(at, 1);
    return 0;
  }

  /** Equal rules say the same of the same messages. As posted, what they say did not matter. */
  #same(rule: V4vRule, wanted: V4vRule): boolean {
    const sameEnds = sameAddr(rule.src, wanted.src) && sameAddr(rule.dst, wanted.dst);
    return sameEnds && (this.#posted[21] || rule.accept === wanted.accept);
  }

  /** Copies rules out, from number `start_rule` on, `nb_rules` at most; `nb_rules` becomes how many they are. */
  list(caller: Caller, address: number): number {
    const { memory } = caller;
    if (!fetchArgument(caller, this.#onFetch, address, v4vtables_list.size)) return -errno.EFAULT;
    const start = memory.view.getUint32(memory.at + L.start_rule, true);
    const room = memory.view.getUint32(memory.at + L.nb_rules, true);
    if (room === 0) return -errno.EINVAL;
    const from = this.#listFrom(start);
    if (from < 0) return -errno.EINVAL;
    const rules = this.#rules.slice(from, from + room);
    let listed = 0;
    for (const rule of rules) {
      const place = address + v4vtables_list.size + listed * RULE_SIZE;
      if (!memory.write(place, encoded(rule))) {
        if (!this.#posted[24]) return -errno.EFAULT;
        break;
      }
      listed++;
    }
    const count = new Uint8Array(4);
    new DataView(count.buffer).setUint32(0, listed, true);
    return memory.write(address + L.nb_rules, count) ? 0 : -errno.EFAULT;
  }

  /**
   * Position of rule number `start`; -1: there is no rule 0. As posted, rules were counted from 0, and the walk to the
   * first one ended at the last rule at the latest.
   */
  #listFrom(start: number): number {
    const from = this.#posted[22] ? start : start - 1;
    return this.#posted[23] ? Math.min(from, Math.max(0, this.#rules.length - 1)) : from;
  }

  #fetch(caller: Caller, address: number): StoredRule | null {
    if (!fetchArgument(caller, this.#onFetch, address, RULE_SIZE)) return null;
    const { view, at } = caller.memory;
    return { ...decodeRule(view, at), acceptWord: view.getUint32(at + v4vtables_rule.at.accept, true) };
  }

  /** The rules for the console. */
  print(): string[] {
    return this.#rules.map(({ src, dst, accept, acceptWord }, i) => {
      const accepts = this.#posted[19] ? acceptWord === 1 : accept;
      const [from, to] = [src, dst].map(({ domain, port }) => `${domain}:${port}`);
      return `v4vtables: ${i + 1}: ${from} -> ${to} ${accepts ? 'ACCEPT' : 'REJECT'}`;
    });
  }
}

/** Which rule a position meant as posted: counted from 0, but the last one also for its number from 1. -1: none. */
function postedPosition(position: number, length: number): number {
  if (position < length) return position;
  return position === length ? length - 1 : -1;
}

function encoded(rule: V4vRule): Uint8Array {
  const bytes = new Uint8Array(RULE_SIZE);
  encodeRule(new DataView(bytes.buffer), 0, rule);
  return bytes;
}
