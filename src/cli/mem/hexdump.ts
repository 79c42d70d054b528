/** Bytes for people: address, sixteen bytes in hexadecimal, and what of it is text. */

import type { Style } from '../style.js';

const ROW = 16;

/**
 * The rows. Rows that repeat the one before are shown as one `*`, as `hexdump -C` does.
 *
 * @param address of the first byte
 */
export function hexdump(address: bigint, bytes: Uint8Array, style: Style): string[] {
  const lines: string[] = [];
  let before: Uint8Array | null = null;
  let starred = false;
  for (let at = 0; at < bytes.length; at += ROW) {
    const row = bytes.subarray(at, at + ROW);
    const repeats = before !== null && at + ROW < bytes.length && Buffer.compare(row, before) === 0;
    if (!repeats) lines.push(line(address + BigInt(at), row, style));
    else if (!starred) lines.push(style.quiet('*'));
    starred = repeats;
    before = row;
  }
  return lines;
}

function line(address: bigint, row: Uint8Array, style: Style): string {
  const cells: string[] = [];
  for (let i = 0; i < ROW; i++) {
    const byte = row[i];
    const text = byte === undefined ? '  ' : byte.toString(16).padStart(2, '0');
    cells.push(coloured(byte, text, style) + (i === 7 ? ' ' : ''));
  }
  const text = Array.from(row, (byte) => coloured(byte, isText(byte) ? String.fromCharCode(byte) : '.', style));
  return `${style.quiet(digits(address))}  ${cells.join(' ')}  |${text.join('')}|`;
}

function digits(address: bigint): string {
  return BigInt.asUintN(64, address).toString(16).padStart(16, '0');
}

function coloured(byte: number | undefined, text: string, style: Style): string {
  if (byte === undefined) return text;
  if (byte === 0) return style.quiet(text);
  return isText(byte) ? style.literal(text) : text;
}

function isText(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}
