/** Counts of packets as text. */

import type { ChecksumCounts } from '../../net/classifier.js';
import type { Flow } from '../../net/flows.js';
import { type Style, table } from '../style.js';

/** What each state means for whoever reads it. */
const MEANINGS = {
  good: 'complete and right',
  partial: 'left to a device by checksum offload: right only once it is completed',
  corrupt: 'wrong: a receiver throws it away',
  none: 'UDP without a checksum, and fragments',
  other: 'not IP, a protocol without a checksum that is known here, or refused',
} as const;

export function stateLines(style: Style, packets: number, counts: ChecksumCounts): string[] {
  const looks = { good: style.good, partial: style.warning, corrupt: style.bad, none: String, other: String };
  const rows = (Object.keys(MEANINGS) as (keyof typeof MEANINGS)[]).map((state) => [
    counts[state] > 0 ? looks[state](state) : state,
    String(counts[state]),
    style.quiet(MEANINGS[state]),
  ]);
  return table([[style.heading('packets'), String(packets), ''], ...rows], [1]);
}

/** The parser's reasons, most frequent first. */
export function reasonLines(style: Style, reasons: Readonly<Record<string, number>>): string[] {
  const some = Object.entries(reasons).sort(([, a], [, b]) => b - a);
  if (some.length === 0) return [];
  return [`${style.heading('not looked at')}  ${some.map(([name, count]) => `${name} ${count}`).join(', ')}`];
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 50: 'esp', 58: 'icmpv6' };

export function flowLines(style: Style, flows: readonly Flow[], all: number): string[] {
  if (flows.length === 0) return [];
  const head = ['flow', '', '', 'packets', 'good', 'partial', 'corrupt', 'none'].map(style.heading);
  const rows = flows.map(({ protocol, source, destination, packets, checksums }) => [
    PROTOCOLS[protocol] ?? `ip ${protocol}`,
    source,
    `> ${destination}`,
    String(packets),
    String(checksums.good),
    checksums.partial > 0 ? style.warning(String(checksums.partial)) : '0',
    checksums.corrupt > 0 ? style.bad(String(checksums.corrupt)) : '0',
    String(checksums.none),
  ]);
  const more = all > flows.length ? [style.quiet(`and ${all - flows.length} more flows: --flows`)] : [];
  return ['', ...table([head, ...rows], [3, 4, 5, 6, 7]), ...more];
}
