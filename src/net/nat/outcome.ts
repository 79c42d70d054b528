/** What came of a packet at a NAT. native/nat.h has the outcomes in the same order. */

export const NAT_OUTCOMES = [
  /** No rule is about it, and no connection has it. */
  'untouched',
  'translated',
  /** The parser refused it; a verdict says why. */
  'refused',
  /** A rule is about it, and none of the ports that the rule allows is free. */
  'no-port',
  /** It would begin a connection, and there are as many as there may be. */
  'table-full',
  /** A later fragment of a packet whose first one was not seen. */
  'fragment',
  /** Its checksum covers addresses in a way that is not known here (UDP-Lite, DCCP), or it may not be changed (AH). */
  'unsupported',
] as const;

export type NatOutcome = (typeof NAT_OUTCOMES)[number];

/** Whether a packet must not go on: it would with an address that was to be hidden. */
export function isDropped(outcome: NatOutcome): boolean {
  return outcome !== 'untouched' && outcome !== 'translated';
}
