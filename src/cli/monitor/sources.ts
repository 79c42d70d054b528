/** What `xenctrl monitor` can have reported, by the words of its command line. */

import { MONITOR_REASONS, type MonitorReason } from '../../vmi/monitor/event.js';
import type { AccessOptions, MonitorSources } from '../../vmi/monitor/sources.js';
import { readAccess, readFrames, readNumber } from '../altp2m/operands.js';
import { UsageError } from '../exit.js';
import type { ParsedOptions } from '../options.js';
import { nearest } from '../suggest.js';

const SWITCHES: Readonly<Record<string, MonitorSources>> = {
  cr0: { cr: { cr0: true } },
  cr3: { cr: { cr3: true } },
  cr4: { cr: { cr4: true } },
  xcr0: { cr: { xcr0: true } },
  cpuid: { cpuid: true },
  breakpoints: { breakpoints: true },
  debug: { debug: true },
  descriptor: { descriptor: true },
  guest_request: { guestRequest: { userspace: true } },
  emul_unimplemented: { emulUnimplemented: true },
  vmexit: { vmexit: true },
};

export const EVENT_NAMES: readonly string[] = [...Object.keys(SWITCHES), 'msr=NUMBER'];

const MSR = 'msr=';
const MOST_MSR = 0xffff_ffff;

/** Words separated by commas. */
function words(text: string): string[] {
  return text.split(',').map((word) => word.trim());
}

function oneOf<T extends string>(word: string, names: readonly T[], option: string): T {
  const found = names.find((name) => name === word);
  if (found !== undefined) return found;
  const near = nearest(word, names);
  throw new UsageError(
    `${option}: '${word}' is none of ${names.join(', ')}`,
    near === undefined ? undefined : `did you mean '${near}'?`,
  );
}

/** Reads `--events`. */
function readEvents(text: string): MonitorSources {
  let sources: MonitorSources = {};
  for (const word of words(text)) {
    if (word.startsWith(MSR)) {
      const msr = readNumber(word.slice(MSR.length), '--events msr=NUMBER', MOST_MSR);
      sources = { ...sources, msr: [...(sources.msr ?? []), msr] };
      continue;
    }
    const more = SWITCHES[oneOf(word, Object.keys(SWITCHES), '--events')] ?? {};
    sources = { ...sources, ...more, ...(more.cr ? { cr: { ...sources.cr, ...more.cr } } : {}) };
  }
  return sources;
}

/** Reads `--watch`: `0x40-0x4f:rx`, `all:rx`. */
function readWatch(text: string): AccessOptions {
  const [frames = '', type, ...more] = text.split(':');
  if (type === undefined || more.length > 0) {
    throw new UsageError(`--watch must be FRAMES:ACCESS, such as 0x40-0x4f:rx or all:rx, not '${text}'`);
  }
  const access = readAccess(type, '--watch');
  return { gfns: frames === 'all' ? 'all' : readFrames(frames, '--watch'), access };
}

/** What the options ask to be reported. */
export function readSources(options: ParsedOptions, otherwise: string): MonitorSources {
  const watch = options.get('watch');
  const events = options.get('events') ?? (watch === undefined ? otherwise : undefined);
  return {
    ...(events === undefined ? {} : readEvents(events)),
    ...(watch === undefined ? {} : { access: [readWatch(watch)] }),
  };
}

/** Reads `--reason`; null: every reason. */
export function readReasons(options: ParsedOptions): ReadonlySet<MonitorReason> | null {
  const text = options.get('reason');
  return text === undefined ? null : new Set(words(text).map((word) => oneOf(word, MONITOR_REASONS, '--reason')));
}
