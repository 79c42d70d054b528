/** A decoded hypercall as one line of text. */

import { errnoName } from '../abi/errno.js';
import { type Release, releaseAbi } from '../abi/release.js';
import * as version from '../abi/version.js';
import { INVALID_GFN } from '../abi/xen.js';
import type { Decoded, DecodedValue, DecodedValues } from './decoded.js';
import { accessName } from './names.js';

/** Turns parts of a line on a terminal into coloured ones. */
export interface Colours {
  name(text: string): string;
  failure(text: string): string;
  time(text: string): string;
}

const plain = (text: string): string => text;
export const NO_COLOURS: Colours = { name: plain, failure: plain, time: plain };

const paint =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;
export const TERMINAL_COLOURS: Colours = { name: paint(1), failure: paint(31), time: paint(2) };

/** Arguments that are frames, and those that are access types. */
const FRAMES: ReadonlySet<string> = new Set(['gfn', 'old_gfn', 'new_gfn', 'first', 'last', 'gpfn', 'error_gfn']);
const FRAME_LISTS: ReadonlySet<string> = new Set(['frames', 'pfns', 'gfns']);
const ACCESSES: ReadonlySet<string> = new Set(['access', 'default_access']);
const IN_HEX: ReadonlySet<string> = new Set(['pointer', 'interface_version', 'msr', 'bitmask', 'capabilities']);
/** Entries of a list, and digits of a long text, that are shown. */
const MOST_SHOWN = 6;
const MOST_DIGITS = 48;

const VERSION_COMMANDS: readonly string[] = Object.entries(version).reduce<string[]>((names, [name, value]) => {
  if (name.startsWith('XENVER_') && typeof value === 'number') names[value] = name.slice('XENVER_'.length);
  return names;
}, []);

/**
 * `xc_altp2m_set_visibility(domid=1, view=1, visible=0) = -EINVAL  12.3us`
 *
 * @param rc Xen's answer
 * @param micros how long it took
 */
export function formatCall(
  decoded: Decoded,
  rc: number,
  out: DecodedValues,
  micros: number,
  release: Release | null,
  colours: Colours = NO_COLOURS,
): string {
  const domid = decoded.domid === undefined ? [] : [`domid=${decoded.domid}`];
  const args = [...domid, ...shownAll(decoded, decoded.args, release)].join(', ');
  const result = rc < 0 ? colours.failure(`-${errnoName(rc)}`) : shownResult(decoded, rc, out);
  const told = rc < 0 || decoded.name === 'hypercall' ? [] : shownAll(decoded, out, release);
  const answers = told.length === 0 ? '' : ` {${told.join(', ')}}`;
  return `${colours.name(decoded.name)}(${args}) = ${result}${answers}  ${colours.time(`${micros.toFixed(1)}us`)}`;
}

function shownResult({ name, args }: Decoded, rc: number, out: DecodedValues): string {
  const isVersion = name === 'xc_version' && args['cmd'] === version.XENVER_version && out['value'] === rc;
  return isVersion ? `${rc >>> 16}.${rc & 0xffff}` : String(rc);
}

function shownAll(decoded: Decoded, values: DecodedValues, release: Release | null): string[] {
  if (decoded.name === 'hypercall') return shownWords(values);
  return Object.entries(values)
    .filter(([key]) => !isSaid(decoded, key, values))
    .map(([key, value]) => `${key}=${shown(decoded, key, value, release)}`);
}

/** What the result says already. */
function isSaid({ name }: Decoded, key: string, values: DecodedValues): boolean {
  const isResult = (name === 'xc_version' && key === 'value') || key === 'done' || key === 'gpfn';
  return isResult && !('cmd' in values);
}

function shownWords({ op, words }: DecodedValues): string[] {
  const list = Array.isArray(words) ? words : [];
  return [String(op), ...list.map((word) => hex(word))];
}

function shown({ name }: Decoded, key: string, value: DecodedValue, release: Release | null): string {
  if (Array.isArray(value)) return shownList(key, value, release);
  if (key === 'cmd' && name === 'xc_version') return VERSION_COMMANDS[Number(value)] ?? String(value);
  if (FRAMES.has(key)) return value === INVALID_GFN ? 'INVALID' : hex(value);
  if (ACCESSES.has(key)) return accessNameOf(Number(value), release);
  if (typeof value === 'bigint' || IN_HEX.has(key)) return hex(value);
  const text = String(value);
  return text.length > MOST_DIGITS ? `${text.slice(0, MOST_DIGITS)}...` : text;
}

function shownList(key: string, list: readonly DecodedValue[], release: Release | null): string {
  const entries = list.slice(0, MOST_SHOWN).map((entry) => {
    if (Array.isArray(entry)) return `${hex(entry[0] ?? 0)} and ${Number(entry[1]) - 1} more`;
    if (FRAME_LISTS.has(key)) return hex(entry);
    return ACCESSES.has(key) ? accessNameOf(Number(entry), release) : String(entry);
  });
  const rest = list.length > MOST_SHOWN ? `, ... ${list.length} in all` : '';
  return `[${entries.join(', ')}${rest}]`;
}

function accessNameOf(access: number, release: Release | null): string {
  return accessName(access, releaseAbi(release ?? '4.17').accessDefault);
}

function hex(value: DecodedValue): string {
  if (value === INVALID_GFN) return 'INVALID';
  return typeof value === 'number' || typeof value === 'bigint' ? `0x${value.toString(16)}` : String(value);
}
