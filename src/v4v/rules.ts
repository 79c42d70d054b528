/** V4V's filter rules as text, and what they would do: nothing here talks to a machine. */

import { V4V_DOMID_ANY, V4V_PORT_ANY } from '../abi/v4v.js';
import { firstMatch, type V4vAddr, type V4vRule } from '../abi/v4v_rules.js';
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';

/** A text is no rule, or no end of one. */
export class V4vRuleError extends Error {
  override readonly name = 'V4vRuleError';
  /** Line of the text, from 1 on. */
  readonly line: number;

  constructor(message: string, line = 1) {
    super(message);
    this.line = line;
  }
}

const ANY = ['*', 'any'];
/** How "any port" is written elsewhere; a rule has 0 for it. */
const OTHER_PORT_ANY: readonly number[] = [0xffff_ffff, -1];

function readDomain(text: string): number {
  if (ANY.includes(text)) return V4V_DOMID_ANY;
  const domain = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (domain < DOMID_FIRST_RESERVED || domain === V4V_DOMID_ANY) return domain;
  throw new V4vRuleError(`'${text}' is no domain: a number from 0 to ${DOMID_FIRST_RESERVED - 1}, or *`);
}

function readPort(text: string): number {
  if (ANY.includes(text)) return V4V_PORT_ANY;
  const port = /^(-?\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (OTHER_PORT_ANY.includes(port)) return V4V_PORT_ANY;
  if (port >= 0 && port < 2 ** 32) return port;
  throw new V4vRuleError(`'${text}' is no port: a number from 0 to 4294967294, or *`);
}

/**
 * Reads one end of a message: `3:1025`, domain and port. `*` is any; as a port, so are 0, -1 and 0xffffffff.
 *
 * @throws V4vRuleError
 */
export function parseAddr(text: string): V4vAddr {
  const [domain, port, more] = text.split(':');
  if (domain === undefined || port === undefined || more !== undefined) {
    throw new V4vRuleError(`'${text}' is no DOMAIN:PORT`);
  }
  return { domain: readDomain(domain), port: readPort(port) };
}

export function formatAddr({ domain, port }: V4vAddr): string {
  return `${domain === V4V_DOMID_ANY ? '*' : domain}:${port === V4V_PORT_ANY ? '*' : port}`;
}

/**
 * Reads a rule: `accept 3:1025 -> 0:80`, or `reject` for `accept`.
 *
 * @throws V4vRuleError
 */
export function parseRule(text: string): V4vRule {
  const [verdict, src, arrow, dst, more] = text.trim().split(/\s+/);
  if (verdict !== 'accept' && verdict !== 'reject') {
    throw new V4vRuleError(`a rule begins with accept or reject, not '${verdict}'`);
  }
  if (src === undefined || arrow !== '->' || dst === undefined || more !== undefined) {
    throw new V4vRuleError(`a rule is ${verdict} DOMAIN:PORT -> DOMAIN:PORT, not '${text.trim()}'`);
  }
  return { src: parseAddr(src), dst: parseAddr(dst), accept: verdict === 'accept' };
}

export function formatRule({ src, dst, accept }: V4vRule): string {
  return `${accept ? 'accept' : 'reject'} ${formatAddr(src)} -> ${formatAddr(dst)}`;
}

/** A rule of a text, and its line. */
export interface RuleLine extends V4vRule {
  readonly line: number;
}

/**
 * Reads rules, one a line; what follows a # is a comment.
 *
 * @throws V4vRuleError with the line
 */
export function parseRules(text: string): RuleLine[] {
  return text.split('\n').flatMap((whole, i) => {
    const content = whole.replace(/#.*/, '').trim();
    if (content === '') return [];
    try {
      return [{ ...parseRule(content), line: i + 1 }];
    } catch (error) {
      throw error instanceof V4vRuleError ? new V4vRuleError(error.message, i + 1) : error;
    }
  });
}

/** What the rules do with a message. */
export interface Verdict {
  readonly accept: boolean;
  /** Number of the rule that decides, from 1 on; null: none matches, and the message passes. */
  readonly rule: number | null;
}

/** Whether a message from `src` would reach `dst`, and by which rule. */
export function simulate(rules: readonly V4vRule[], src: V4vAddr, dst: V4vAddr): Verdict {
  const at = firstMatch(rules, src, dst);
  return { accept: rules[at]?.accept ?? true, rule: at < 0 ? null : at + 1 };
}

/** Something about a list of rules that is hardly meant. */
export interface RuleFinding {
  /** Number of the rule, from 1 on. */
  readonly rule: number;
  /** Number of the rule before it that is the reason. */
  readonly because: number;
  /** `never`: it never decides, and without it others would fare differently; `needless`: it says what is said already. */
  readonly kind: 'never' | 'needless';
}

/** Rules that never decide anything, since another one matches all that they match. */
export function findings(rules: readonly V4vRule[]): RuleFinding[] {
  return rules.flatMap((rule, i) => {
    const because = rules.slice(0, i).findIndex((other) => covers(other, rule));
    if (because < 0) return [];
    const kind = rules[because]?.accept === rule.accept ? 'needless' : 'never';
    return [{ rule: i + 1, because: because + 1, kind }];
  });
}

function covers(wide: V4vRule, narrow: V4vRule): boolean {
  return addrCovers(wide.src, narrow.src) && addrCovers(wide.dst, narrow.dst);
}

function addrCovers(wide: V4vAddr, narrow: V4vAddr): boolean {
  return (
    (wide.domain === V4V_DOMID_ANY || wide.domain === narrow.domain) &&
    (wide.port === V4V_PORT_ANY || wide.port === narrow.port)
  );
}
