/** V4V's filter rules ("v4vtables"): an ordered list; the first rule that matches decides, and without one a message passes. */

import { V4V_DOMID_ANY, V4V_PORT_ANY, v4vtables_rule } from './v4v.js';

/** One end of a message. */
export interface V4vAddr {
  readonly port: number;
  readonly domain: number;
}

export interface V4vRule {
  /** {@link V4V_DOMID_ANY} and {@link V4V_PORT_ANY} match everything. */
  readonly src: V4vAddr;
  readonly dst: V4vAddr;
  readonly accept: boolean;
}

const F = v4vtables_rule.at;

function matches(pattern: V4vAddr, { port, domain }: V4vAddr): boolean {
  return (
    (pattern.domain === V4V_DOMID_ANY || pattern.domain === domain) &&
    (pattern.port === V4V_PORT_ANY || pattern.port === port)
  );
}

/** Position of the first rule that matches, from 0; -1: none does. */
export function firstMatch(rules: readonly V4vRule[], src: V4vAddr, dst: V4vAddr): number {
  return rules.findIndex((rule) => matches(rule.src, src) && matches(rule.dst, dst));
}

/** Whether a message passes: true is accept. */
export function rulesAccept(rules: readonly V4vRule[], src: V4vAddr, dst: V4vAddr): boolean {
  if (rules.length === 0) return true;
  return rules[firstMatch(rules, src, dst)]?.accept ?? true;
}

/** Whether a domain could send there from some port of its own. notify does not say from which it would. */
export function someSourceAccepted(rules: readonly V4vRule[], domain: number, dst: V4vAddr): boolean {
  for (const { src, dst: to, accept } of rules) {
    if (!matches({ ...src, port: V4V_PORT_ANY }, { port: 0, domain }) || !matches(to, dst)) continue;
    if (accept) return true;
    if (src.port === V4V_PORT_ANY) return false;
  }
  return true;
}

export function sameAddr(a: V4vAddr, b: V4vAddr): boolean {
  return a.port === b.port && a.domain === b.domain;
}

/** Reads a `v4v_addr`. */
export function decodeAddr(view: DataView, at: number): V4vAddr {
  return { port: view.getUint32(at, true), domain: view.getUint16(at + 4, true) };
}

/** Writes a `v4v_addr`. */
export function encodeAddr(view: DataView, at: number, { port, domain }: V4vAddr): void {
  view.setUint32(at, port, true);
  view.setUint16(at + 4, domain, true);
  view.setUint16(at + 6, 0, true);
}

/** Reads a `v4vtables_rule`; any accept but 0 is one. */
export function decodeRule(view: DataView, at: number): V4vRule {
  return {
    src: decodeAddr(view, at + F.src),
    dst: decodeAddr(view, at + F.dst),
    accept: view.getUint32(at + F.accept, true) !== 0,
  };
}

/** Writes a `v4vtables_rule`. */
export function encodeRule(view: DataView, at: number, rule: V4vRule): void {
  encodeAddr(view, at + F.src, rule.src);
  encodeAddr(view, at + F.dst, rule.dst);
  view.setUint32(at + F.accept, rule.accept ? 1 : 0, true);
}
