/** What a NAT is told to do. */

import { type Network, parseAddress, parseNetwork } from '../address.js';
import { IPPROTO } from '../packet.js';

/** Both ends included. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Hides a network behind an address: packets from `source` to anywhere else leave with the address `to`. With `ports`
 * those of TCP and UDP are taken from there. A masquerade does the same with an address that is told later, and
 * possibly again ({@link Nat.setMasqueradeAddress}).
 */
export type SourceRule = {
  readonly kind: 'snat' | 'masquerade';
  readonly source: string;
  readonly ports?: PortRange;
} & ({ readonly kind: 'snat'; readonly to: string } | { readonly kind: 'masquerade' });

/** Sends what is for `destination` to the address `to`, and to one of the ports `toPorts` when they are given. */
export interface DestinationRule {
  readonly kind: 'dnat';
  /** Address or network. */
  readonly destination: string;
  /** Default: any. */
  readonly protocol?: 'tcp' | 'udp';
  readonly port?: number | PortRange;
  readonly to: string;
  readonly toPorts?: PortRange;
}

export type NatRule = SourceRule | DestinationRule;

/** A rule that has been checked. */
export interface CompiledRule {
  readonly sourceNat: boolean;
  readonly version: 4 | 6;
  /** 0: any. */
  readonly protocol: number;
  readonly source: Network;
  readonly destination: Network;
  /** Destination ports that it is about; 0 to 0: any. */
  readonly port: PortRange;
  readonly to: Uint8Array;
  /** 0 to 0: not told. */
  readonly toPorts: PortRange;
}

const ANY_PORT: PortRange = { min: 0, max: 0 };
export const MAX_RULES = 256;

/**
 * Checks rules.
 *
 * @param masquerade the address of masquerades; null: there is none yet, and they do nothing
 * @throws TypeError or RangeError
 */
export function compileRules(rules: readonly NatRule[], masquerade: string | null): CompiledRule[] {
  if (rules.length === 0 || rules.length > MAX_RULES) throw new RangeError(`1 to ${MAX_RULES} rules are taken`);
  return rules.flatMap((rule) => {
    if (rule.kind === 'dnat') return [compileDestination(rule)];
    const to = rule.kind === 'snat' ? rule.to : masquerade;
    return to === null ? [] : [compileSource(rule, to)];
  });
}

function compileSource(rule: SourceRule, address: string): CompiledRule {
  const source = parseNetwork(rule.source);
  const to = parseAddress(address);
  return {
    sourceNat: true,
    version: sameVersion(source, to, `${rule.source} behind ${address}`),
    protocol: 0,
    source,
    destination: { address: new Uint8Array(to.length), prefix: 0 },
    port: ANY_PORT,
    to,
    toPorts: checkPorts(rule.ports),
  };
}

function compileDestination(rule: DestinationRule): CompiledRule {
  const destination = parseNetwork(rule.destination);
  const to = parseAddress(rule.to);
  const { port } = rule;
  return {
    sourceNat: false,
    version: sameVersion(destination, to, `${rule.destination} to ${rule.to}`),
    protocol: rule.protocol === undefined ? 0 : rule.protocol === 'tcp' ? IPPROTO.TCP : IPPROTO.UDP,
    source: { address: new Uint8Array(to.length), prefix: 0 },
    destination,
    port: checkPorts(typeof port === 'number' ? { min: port, max: port } : port),
    to,
    toPorts: checkPorts(rule.toPorts),
  };
}

function sameVersion({ address }: Network, to: Uint8Array, what: string): 4 | 6 {
  if (address.length !== to.length) throw new RangeError(`IPv4 does not become IPv6, nor the other way: ${what}`);
  return to.length === 4 ? 4 : 6;
}

function checkPorts(ports: PortRange | undefined): PortRange {
  if (ports === undefined) return ANY_PORT;
  const { min, max } = ports;
  const good = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;
  if (!good(min) || !good(max) || min > max) throw new RangeError(`ports must be from 1 to 65535, not ${min}-${max}`);
  return ports;
}

const RULE_BYTES = 64;

/** As native/nat.h has them. */
export function encodeRules(rules: readonly CompiledRule[]): Uint8Array {
  const bytes = new Uint8Array(rules.length * RULE_BYTES);
  const view = new DataView(bytes.buffer);
  rules.forEach((rule, i) => {
    const at = i * RULE_BYTES;
    bytes.set([rule.sourceNat ? 1 : 2, rule.version, rule.protocol, rule.source.prefix, rule.destination.prefix], at);
    view.setUint16(at + 8, rule.port.min);
    view.setUint16(at + 10, rule.port.max);
    view.setUint16(at + 12, rule.toPorts.min);
    view.setUint16(at + 14, rule.toPorts.max);
    bytes.set(rule.source.address, at + 16);
    bytes.set(rule.destination.address, at + 32);
    bytes.set(rule.to, at + 48);
  });
  return bytes;
}
