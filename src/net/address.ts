/** IP addresses and networks, from text. */

import { isIPv4, isIPv6 } from 'node:net';

/** An address's bytes: 4 or 16. @throws TypeError */
export function parseAddress(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) throw new TypeError(`'${text}' is no IP address`);
  return parseIpv6(text);
}

function parseIpv6(text: string): Uint8Array {
  const [head = [], tail = []] = text.split('::').map((half) => (half === '' ? [] : half.split(':').flatMap(words)));
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
}

/** A group's word, or the two of an IPv4 address at the end. */
function words(group: string): readonly number[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}

/** A network: addresses whose first `prefix` bits are those. */
export interface Network {
  readonly address: Uint8Array;
  readonly prefix: number;
}

/** Reads `ADDRESS/BITS`, or an address, which is a network of its own. @throws TypeError */
export function parseNetwork(text: string): Network {
  const [, host = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(host === '' ? text : host);
  const prefix = bits === undefined ? address.length * 8 : Number(bits);
  if (prefix > address.length * 8) throw new TypeError(`'${text}' is no network: ${prefix} bits are too many`);
  return { address, prefix };
}

/** Whether the address at `at` is in the network. */
export function inNetwork({ address, prefix }: Network, bytes: Uint8Array, at: number, length: number): boolean {
  if (length !== address.length) return false;
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (bytes[at + i] !== address[i]) return false;
  const rest = prefix & 7;
  return rest === 0 || ((bytes[at + whole] as number) ^ (address[whole] as number)) >> (8 - rest) === 0;
}

/** An address's text; of IPv6 the shortest, as RFC 5952 wants it. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  let [start, length] = [0, 0];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  const text = groups.map((group) => group.toString(16));
  return length < 2 ? text.join(':') : `${text.slice(0, start).join(':')}::${text.slice(start + length).join(':')}`;
}
