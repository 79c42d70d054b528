/** Operands of the altp2m commands. */

import { ACCESS_NAMES, type AccessName } from '../../xen/access.js';
import type { Domain } from '../../xen/domain.js';
import type { Context, Operand, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { guardDom0, onXen, type Session } from '../session.js';
import { nearest } from '../suggest.js';

export const DOMAIN: Operand = { name: 'DOMAIN' };
export const VIEW: Operand = { name: 'VIEW' };

const MAX_VIEW = 0xffff;

/** Most frames that one command takes: 4 GiB of guest memory. */
const MAX_FRAMES = 2 ** 20;

/** Operand number `index`; the command line was checked, so it is there. */
export function operand({ operands }: Context, index: number): string {
  return operands[index] ?? '';
}

/** Reads a decimal or hexadecimal number. */
export function readNumber(text: string, what: string, most: number): number {
  const number = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number <= most) return number;
  throw new UsageError(
    `${what} must be a number such as 64 or 0x40${most < 1e6 ? `, at most ${most}` : ''}, not '${text}'`,
  );
}

export function readView(context: Context): number {
  return readNumber(operand(context, 1), 'VIEW', MAX_VIEW);
}

export function readFrame(text: string, what: string): number {
  return readNumber(text, what, Number.MAX_SAFE_INTEGER);
}

/** Reads `0x40`, `0x40-0x4f` (both included), or a list of such with commas. */
export function readFrames(text: string, what: string): number[] {
  const frames: number[] = [];
  for (const part of text.split(',')) {
    const [from = '', to = from, ...more] = part.split('-');
    const first = readFrame(from, what);
    const last = readFrame(to, what);
    if (more.length > 0 || last < first) throw new UsageError(`${what}: '${part}' is no range of frames`);
    if (frames.length + last - first >= MAX_FRAMES) throw new UsageError(`${what} has more than ${MAX_FRAMES} frames`);
    for (let gfn = first; gfn <= last; gfn++) frames.push(gfn);
  }
  return frames;
}

/** Reads the name of an access type. */
export function readAccess(text: string, what: string): AccessName {
  const found = ACCESS_NAMES.find((name) => name === text);
  if (found !== undefined) return found;
  const near = nearest(text, ACCESS_NAMES);
  throw new UsageError(
    `${what} must be one of ${ACCESS_NAMES.join(', ')}, not '${text}'`,
    near === undefined ? undefined : `did you mean '${near}'?`,
  );
}

export function hex(gfn: number): string {
  return `0x${gfn.toString(16)}`;
}

/** What a changing command works with. */
export interface Target {
  readonly session: Session;
  readonly domain: Domain;
}

/** Runs a command that changes a domain. */
export function changing(context: Context, run: (target: Target) => Outcome | Promise<Outcome>): Promise<Outcome> {
  return onXen(context, (session) => {
    const domain = guardDom0(session.domain(operand(context, 0)), context.options);
    return run({ session, domain });
  });
}

/** Refuses a view that is not there, with those that are. */
export function demandView({ session, domain: { altp2m, domid } }: Target, index: number): void {
  const next =
    session.xen.kind === 'model'
      ? 'each command has a software Xen of its own, without views: a scenario file can have some (docs/scenario.md)'
      : `\`xenctrl altp2m create ${domid}\` makes one`;
  if (!altp2m.enabled) throw new CommandError('EOPNOTSUPP', `altp2m is off for domain ${domid}: it has no views`, next);
  const existing = altp2m.views().map((view) => view.index);
  if (existing.includes(index)) return;
  throw new CommandError('EINVAL', `domain ${domid} has no view ${index}; it has ${existing.join(', ')}`, next);
}

/** An outcome that is one sentence. */
export function done(sentence: string, json: Record<string, unknown>, aside?: string): Outcome {
  return { json, text: (style) => [`${style.good('done')}  ${sentence}`], ...(aside === undefined ? {} : { aside }) };
}
