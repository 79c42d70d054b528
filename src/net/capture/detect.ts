/** Telling the formats apart. */

import { CaptureError } from './error.js';
import type { CaptureFormat } from './format.js';
import { PcapFormat } from './pcap.js';
import { PcapngFormat } from './pcapng.js';

/** Files that are often taken for captures, by their first bytes. */
const OTHERS: readonly (readonly [start: readonly number[], what: string])[] = [
  [[0x1f, 0x8b], 'compressed by gzip: give its content, `zcat FILE | xenctrl net ... -`'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed by zstd: give its content, `zstdcat FILE | xenctrl net ... -`'],
  [[0xfd, 0x37, 0x7a, 0x58], 'compressed by xz: give its content, `xzcat FILE | xenctrl net ... -`'],
  [[0x34, 0xcd, 0xb2, 0xa1], 'a pcap of an old kind of Linux, which editcap can convert'],
  [[0xa1, 0xb2, 0xcd, 0x34], 'a pcap of an old kind of Linux, which editcap can convert'],
];

/**
 * The format of a file by its first bytes.
 *
 * @param start the first 24, or all
 * @throws CaptureError
 */
export function captureFormat(start: Uint8Array): CaptureFormat {
  const format = PcapFormat.of(start) ?? PcapngFormat.of(start);
  if (format) return format;
  if (start.length === 0) throw new CaptureError('header', 0, 'this is no capture: it is empty');
  const other = OTHERS.find(([magic]) => magic.every((byte, i) => start[i] === byte));
  if (other) throw new CaptureError('magic', 0, `this is no capture but ${other[1]}`);
  const text = [...start.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  throw new CaptureError('magic', 0, `this is no capture: neither pcap nor pcapng begins with ${text}`);
}
