/**
 * What is being done with a device, on disk, so that a run that was killed can be taken back, and a device that was
 * given away can be taken back just as it was given. One file a device: a line with the steps, then a line whenever one
 * begins, is done, or is taken back. Each line is on disk before what it announces happens.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf, parseSbdf } from '../../abi/pci/sbdf.js';
import type { Step } from './action.js';

/** Where it is when nobody says: of this boot, as what it tells about. */
export const JOURNAL_FOLDER = '/run/xenctrl/pci';

/** What was planned. */
export interface JournalHead {
  readonly version: 1;
  readonly sbdf: number;
  readonly domid: number;
  readonly uuid: string;
  readonly steps: readonly Step[];
}

/** What happened to a step. `begun`: it is being done, or taken back, and how far that is nobody knows. */
export type StepState = 'begun' | 'done' | 'undone';

export interface JournalEntry extends JournalHead {
  /** Of each step; undefined: it was never begun. */
  readonly states: readonly (StepState | undefined)[];
  /** All steps are done, and nobody has begun to take them back. */
  readonly complete: boolean;
}

/** A journal cannot be begun, read or written. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
  /** `EEXIST`: there is one for this device. `EINVAL`: it is damaged. Others are the system's. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class Journal {
  readonly #folder: string;

  constructor(folder: string = JOURNAL_FOLDER) {
    this.#folder = folder;
  }

  /** Begins one. @throws JournalError `EEXIST`, and the system's errors */
  begin(head: JournalHead): void {
    this.#system(() => mkdirSync(this.#folder, { recursive: true, mode: 0o700 }));
    this.#write(head.sbdf, 'wx', head);
  }

  /** Notes what happens to a step, or with `complete` that all are done. */
  note(sbdf: number, entry: { readonly step: number; readonly is: StepState } | { readonly is: 'complete' }): void {
    this.#write(sbdf, 'a', entry);
  }

  /** Nothing of it is left to be taken back. */
  end(sbdf: number): void {
    this.#system(() => rmSync(this.#path(sbdf), { force: true }));
  }

  /** What was noted; null: nothing. @throws JournalError */
  read(sbdf: number): JournalEntry | null {
    let text: string;
    try {
      text = readFileSync(this.#path(sbdf), 'utf8');
    } catch (error) {
      const { code = 'EIO' } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return null;
      throw new JournalError(code, `${this.#path(sbdf)} cannot be read: ${code}`);
    }
    return parse(text, sbdf, this.#path(sbdf));
  }

  /** The devices that there is something about. */
  devices(): number[] {
    try {
      return readdirSync(this.#folder).flatMap((name) => parseSbdf(name.replace(/\.journal$/, '')) ?? []);
    } catch {
      return [];
    }
  }

  #path(sbdf: number): string {
    return join(this.#folder, `${formatSbdf(sbdf)}.journal`);
  }

  #write(sbdf: number, flags: 'wx' | 'a', value: unknown): void {
    const path = this.#path(sbdf);
    this.#system(() => {
      const file = openSync(path, flags, 0o600);
      try {
        writeSync(file, `${JSON.stringify(value)}\n`);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    });
  }

  #system(action: () => void): void {
    try {
      action();
    } catch (error) {
      const { code = 'EIO', message } = error as NodeJS.ErrnoException;
      throw new JournalError(code, message);
    }
  }
}

function parse(text: string, sbdf: number, path: string): JournalEntry {
  const damaged = new JournalError('EINVAL', `${path} is damaged: what it was about cannot be told`);
  const [first = '', ...rest] = text.split('\n');
  const head = json(first) as Partial<JournalHead> | undefined;
  if (head?.version !== 1 || head.sbdf !== sbdf || !Array.isArray(head.steps)) throw damaged;
  const { domid, uuid, steps } = head as JournalHead;
  const states: (StepState | undefined)[] = steps.map(() => undefined);
  let complete = false;
  for (const line of rest) {
    // the last line may be cut off: then what it announces has not happened
    const entry = json(line) as { readonly step?: number; readonly is?: string } | undefined;
    if (entry?.is === 'complete') complete = true;
    else if (typeof entry?.step === 'number' && entry.step < states.length) {
      states[entry.step] = entry.is as StepState;
      complete = false;
    }
  }
  return { version: 1, sbdf, domid, uuid, steps, states, complete };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
