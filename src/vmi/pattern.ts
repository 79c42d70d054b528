/** What is looked for: bytes, some of which may be anything. */

/** A pattern of bytes. */
export interface Pattern {
  /** The bytes; those that may be anything are 0. */
  readonly bytes: Uint8Array;
  /** For each byte the bits that count: 0xff, 0xf0 or 0x0f for half a byte, 0 for any. */
  readonly mask: Uint8Array;
  /** The longest piece that must be there as it is: what is searched for first. */
  readonly anchor: { readonly offset: number; readonly bytes: Uint8Array };
}

/** The pattern cannot be searched for. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
  readonly code = 'ERR_XENCTRL_PATTERN';
}

const MOST_BYTES = 4096;

/**
 * Reads a pattern: bytes in hexadecimal, `?` for half a byte that may be anything (`48 8b ?? 4?`); blanks do not count. A
 * `Uint8Array` is itself, and a `mask` of the same length says which of its bits count.
 *
 * @throws PatternError it is none, or no byte of it is certain
 */
export function pattern(of: string | Uint8Array, mask?: Uint8Array): Pattern {
  const { bytes, mask: bits } = typeof of === 'string' ? parse(of) : { bytes: of, mask: mask ?? filled(of.length) };
  if (bytes.length === 0) throw new PatternError('the pattern is empty');
  if (bytes.length > MOST_BYTES) throw new PatternError(`the pattern has more than ${MOST_BYTES} bytes`);
  if (bits.length !== bytes.length) throw new PatternError('the mask is not as long as the pattern');
  const anchor = longestCertain(bytes, bits);
  if (!anchor) throw new PatternError('the pattern needs a byte that is certain');
  return { bytes: bytes.map((byte, i) => byte & (bits[i] as number)), mask: bits, anchor };
}

/** The pattern of a text, in UTF-8 or UTF-16. */
export function textPattern(text: string, encoding: 'utf8' | 'utf16le' = 'utf8'): Pattern {
  return pattern(Uint8Array.from(Buffer.from(text, encoding)));
}

function filled(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xff);
}

function parse(text: string): { bytes: Uint8Array; mask: Uint8Array } {
  const digits = text.replace(/\s+/g, '');
  const bad = /[^0-9a-f?]/i.exec(digits)?.[0];
  if (bad !== undefined) throw new PatternError(`'${bad}' is no hexadecimal digit and no ?`);
  if (digits.length % 2 !== 0) throw new PatternError('the pattern ends within a byte');
  const values = Array.from({ length: digits.length / 2 }, (_, i) => digits.slice(2 * i, 2 * i + 2));
  return {
    bytes: Uint8Array.from(values, (digit) => Number.parseInt(digit.replaceAll('?', '0'), 16)),
    mask: Uint8Array.from(values, (digit) => (digit[0] === '?' ? 0 : 0xf0) | (digit[1] === '?' ? 0 : 0x0f)),
  };
}

function longestCertain(bytes: Uint8Array, mask: Uint8Array): Pattern['anchor'] | null {
  let best = { offset: 0, length: 0 };
  for (let start = 0; start < mask.length; start++) {
    let end = start;
    while (mask[end] === 0xff) end++;
    if (end - start > best.length) best = { offset: start, length: end - start };
    start = Math.max(start, end);
  }
  if (best.length === 0) return null;
  return { offset: best.offset, bytes: bytes.slice(best.offset, best.offset + best.length) };
}

/**
 * Finds a pattern in bytes.
 *
 * @param from where to begin
 * @returns where it is, or -1
 */
export function findPattern(haystack: Buffer, { bytes, mask, anchor }: Pattern, from = 0): number {
  const last = haystack.length - bytes.length;
  for (let at = from; at <= last; at++) {
    const hit = haystack.indexOf(anchor.bytes, at + anchor.offset);
    if (hit < 0) return -1;
    at = hit - anchor.offset;
    if (at > last) return -1;
    if (matches(haystack, at, bytes, mask)) return at;
  }
  return -1;
}

function matches(haystack: Buffer, at: number, bytes: Uint8Array, mask: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) {
    if (((haystack[at + i] as number) & (mask[i] as number)) !== bytes[i]) return false;
  }
  return true;
}
