/** What became of the packets. */

import type { EspErrorCode } from './error.js';

/** Why a packet was not decapsulated. */
export const ESP_DROPS = [
  /** The outer packet's headers or lengths are wrong. */
  'malformed',
  /** A part of an outer packet: it must be put together before ESP sees it. */
  'fragment',
  /** Something else than ESP, or ESP with UDP where it should be without, or the other way round. */
  'not-esp',
  /** Not from the other end to this one. */
  'address',
  /** A NAT's keepalive (RFC 3948). */
  'keepalive',
  /** Key exchange on ESP's port: for the IKE daemon. */
  'ike',
  'truncated',
  'unknown-spi',
  /** Older than what the replay window remembers. */
  'too-old',
  'replayed',
  /** Wrong keys, or changed on its way. */
  'bad-icv',
  /** Authentic, but not padded as RFC 4303 has it. */
  'padding',
  /** Authentic, but neither IPv4 nor IPv6. */
  'next-header',
  /** A dummy packet (next header 59), which hides that there is no traffic. */
  'dummy',
  /** Authentic, but its inner packet's lengths are wrong. */
  'inner',
  /** It met congestion, and its sender does not know of ECN (RFC 6040). */
  'ecn',
  /** The inner packet is not between the networks that the selectors name. */
  'selector',
] as const;
export type EspDrop = (typeof ESP_DROPS)[number];

const ERRORS = ['EPROTO', 'EINVAL', 'EMSGSIZE', 'EOVERFLOW', 'EPERM', 'ENOMEM'] as const satisfies readonly (
  | EspErrorCode
  | 'EPROTO'
)[];

export interface EspCounters {
  encapsulated: number;
  /** Of the inner packets. */
  encapsulatedBytes: number;
  /** Partial checksums that were completed. */
  finished: number;
  /** Longer than the path's MTU, and to be fragmented by whoever sends them. */
  oversize: number;
  /** Packets that were not encapsulated, by the error. */
  readonly refused: Record<EspErrorCode | 'EPROTO', number>;
  decapsulated: number;
  decapsulatedBytes: number;
  /** Packets that were not decapsulated, by the reason. */
  readonly dropped: Record<EspDrop, number>;
}

export function newCounters(): EspCounters {
  return {
    encapsulated: 0,
    encapsulatedBytes: 0,
    finished: 0,
    oversize: 0,
    refused: zeros(ERRORS),
    decapsulated: 0,
    decapsulatedBytes: 0,
    dropped: zeros(ESP_DROPS),
  };
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
