/** Xen's console: how far the machine is, and what it said last. */

import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { GrowingFile } from './growing_file.js';

/** What a line of the console tells; the later stage counts. */
const STAGES: readonly (readonly [RegExp, string])[] = [
  [/\(XEN\) Xen version/, 'Xen is starting'],
  [/\(XEN\) (\*\*\* Serial input|Freed .* init memory)/, 'dom0 is starting'],
  [/^lab: dom0 is ready/m, 'running'],
];
/** Nothing more will come after one of these; waiting for the time limit would be a waste. */
const DEATHS = /Panic on CPU \d+|Hardware Dom0 (?:crashed|shutdown: rebooting|halted)|Kernel panic - not syncing: .*/;
/** Enough to hold any of the lines above when it arrives in two pieces. */
const OVERLAP = 200;

export class ConsoleWatch {
  readonly #file: GrowingFile;
  #rest = '';
  #stage = 0;
  #death: string | null = null;

  constructor(path: string) {
    this.#file = new GrowingFile(path);
  }

  /** The words of the line that says the machine is dead, or null. */
  get death(): string | null {
    return this.#death;
  }

  /** Reads on. @returns the stage, when a new one began */
  update(): string | null {
    const text = this.#rest + this.#file.next().toString('latin1');
    this.#rest = text.slice(-OVERLAP);
    this.#death ??= DEATHS.exec(text)?.[0] ?? null;
    const reached = STAGES.findLastIndex(([line]) => line.test(text)) + 1;
    if (reached <= this.#stage) return null;
    this.#stage = reached;
    return STAGES[reached - 1]?.[1] ?? null;
  }
}

/** The last lines of a console or log, fit for a terminal. */
export function tailOf(path: string, lines = 25): string {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return '';
  }
  return stripVTControlCharacters(text).replaceAll('\r', '').trimEnd().split('\n').slice(-lines).join('\n');
}
