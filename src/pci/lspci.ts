/**
 * Reads the text of lspci: `-xxxx`, `-xxx` and `-x`, with or without `-v`, `-vv`, `-k`, `-n` and `-D`; and what
 * `-vv` says without bytes. Whatever else a file has between the devices is passed over.
 */

import { parseSbdf } from '../abi/pci/sbdf.js';
import type { PciFunction, PciSnapshot } from './function.js';
import { type Fields, readField } from './lspci_fields.js';

/** Bytes of configuration space that a dump can have. */
const CONFIG_END = 4096;

const DEVICE = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+(\S.*)$/i;
/** A line that began as one of bytes: cut off, or with something else in it. */
const DAMAGED_BYTES = /^[0-9a-f]{2,3}:(?: |$)/i;

/** One device while it is read. */
interface Draft {
  readonly sbdf: number;
  readonly label: string;
  /** The first `length` bytes are read. */
  config: Uint8Array;
  length: number;
  readonly fields: Fields;
  readonly complaints: string[];
}

/**
 * Reads text of lspci. A device that is in it twice, as when the outputs of two commands are in one file, is put
 * together from both.
 *
 * No text makes it throw: what cannot be read is in the complaints.
 */
export function parseLspci(text: string): PciSnapshot {
  const drafts = new Map<number, Draft>();
  const complaints: string[] = [];
  let draft: Draft | undefined;
  for (let from = 0; from < text.length; ) {
    const next = text.indexOf('\n', from);
    const end = next < 0 ? text.length : next;
    // nearly all lines are of bytes: those are read where they stand
    if (!draft || !readBytes(text, from, end, draft)) {
      const line = text.slice(from, end).trimEnd();
      const device = DEVICE.exec(line);
      if (device) draft = begin(device, drafts, complaints);
      else if (draft && line !== '') readLine(line, draft);
    }
    from = end + 1;
  }
  if (drafts.size === 0) complaints.push('the text has no device in it: it is not of lspci, or of `lspci -m` or `-t`');
  const found = [...drafts.values()].sort((a, b) => a.sbdf - b.sbdf);
  // lspci that decodes a dump knows of no drivers; on the machine itself it names those that there are
  const withDrivers = found.some(({ fields }) => fields.driver !== undefined);
  return { functions: found.map((one) => finish(one, withDrivers)), complaints };
}

function begin(
  [, address = '', label = '']: RegExpExecArray,
  drafts: Map<number, Draft>,
  complaints: string[],
): Draft | undefined {
  const sbdf = parseSbdf(address);
  if (sbdf === undefined) {
    complaints.push(`'${address}' is no address of a PCI function`);
    return undefined;
  }
  const known = drafts.get(sbdf);
  if (known) return known;
  const fields: Fields = { regions: [], listed: false, verbose: false };
  const draft: Draft = { sbdf, label: printable(label), config: new Uint8Array(0), length: 0, fields, complaints: [] };
  drafts.set(sbdf, draft);
  return draft;
}

function readLine(line: string, draft: Draft): void {
  if (DAMAGED_BYTES.test(line)) {
    draft.complaints.push(`the line '${printable(line.slice(0, 60))}' is not 16 bytes in hexadecimal`);
  } else readField(line.replace(/^(?: {8})+/, tabs), draft.fields);
}

/** A line has as many. */
const lineBytes = new Uint8Array(16);

/** Reads a line of bytes, `40: 11 80 ...`. @returns false: it is none */
function readBytes(text: string, from: number, end: number, draft: Draft): boolean {
  let offset = 0;
  let i = from;
  for (let value = digit(text.charCodeAt(i)); value >= 0 && i < from + 3; value = digit(text.charCodeAt(i))) {
    offset = offset * 16 + value;
    i++;
  }
  if (i < from + 2 || text.charCodeAt(i) !== COLON) return false;
  i++;
  let count = 0;
  for (; i + 2 < end && text.charCodeAt(i) === BLANK; i += 3) {
    const value = digit(text.charCodeAt(i + 1)) * 16 + digit(text.charCodeAt(i + 2));
    if (value < 0 || digit(text.charCodeAt(i + 2)) < 0 || count === lineBytes.length) return false;
    lineBytes[count++] = value;
  }
  while (i < end && text.charCodeAt(i) <= BLANK) i++;
  if (i < end || count === 0) return false;
  put(offset, count, draft);
  return true;
}

const COLON = 0x3a;
const BLANK = 0x20;

/** The value of a hexadecimal digit; -1: it is none. */
function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Puts the line's bytes where they belong. */
function put(from: number, count: number, draft: Draft): void {
  const { complaints } = draft;
  const end = from + count;
  if (from > draft.length) {
    complaints.push(
      `the dump has no bytes from 0x${hex(draft.length)} to 0x${hex(from - 1)}: those behind are not used`,
    );
    return;
  }
  if (end > CONFIG_END) {
    complaints.push(`the dump goes on behind the end of configuration space, at 0x${hex(from)}`);
    return;
  }
  const config = grown(draft, end);
  let differs = false;
  for (let i = 0; i < count; i++) {
    const value = lineBytes[i] as number;
    differs ||= from + i < draft.length && config[from + i] !== value;
    config[from + i] = value;
  }
  if (differs) complaints.push(`the dump has 0x${hex(from)} twice with different bytes: the later ones are taken`);
  draft.length = Math.max(draft.length, end);
}

/** The draft's bytes, with room for `end` of them. */
function grown(draft: Draft, end: number): Uint8Array {
  if (end > draft.config.length) {
    const config = room(end > 256 ? CONFIG_END : 256);
    config.set(draft.config);
    draft.config = config;
  }
  return draft.config;
}

/** Configuration spaces are cut from large pieces: thousands of small ones keep the collector busy. */
const SLAB = 2 ** 18;
let slab = new Uint8Array(0);
let taken = 0;

function room(length: number): Uint8Array {
  if (taken + length > slab.length) {
    slab = new Uint8Array(SLAB);
    taken = 0;
  }
  taken += length;
  return slab.subarray(taken - length, taken);
}

/** Terminals copy tabs as blanks. */
function tabs(blanks: string): string {
  return '\t'.repeat(blanks.length / 8);
}

/** What a terminal would obey is left out. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '');
}

function hex(value: number): string {
  return value.toString(16);
}

function finish({ sbdf, label, config, length, fields, complaints }: Draft, withDrivers: boolean): PciFunction {
  const { regions, listed, msix, verbose, ...told } = fields;
  return {
    sbdf,
    label,
    config: config.subarray(0, length),
    ...(withDrivers && verbose ? { driver: null } : {}),
    ...told,
    ...(regions.length > 0 ? { regions } : {}),
    ...(msix ? { spoken: msix } : listed ? { spoken: null } : {}),
    complaints,
  };
}
