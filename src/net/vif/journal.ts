/** What was changed, as it was before, so that it can be put back. */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isXenstoreError } from '../../xenstore/error.js';
import type { Xenstore } from '../../xenstore/xenstore.js';
import type { Device, OffloadSwitches } from './switches.js';

export const JOURNAL = '/var/lib/xenctrl/vif-journal.json';

/** One change. */
export interface JournalEntry {
  readonly at: string;
  /** What was asked for, for people. */
  readonly what: string;
  readonly device?: Device;
  /** Its features, by the kernel's names. */
  readonly features?: Readonly<Record<string, boolean>>;
  /** Values by their paths; null: it was not there. */
  readonly keys?: Readonly<Record<string, string | null>>;
}

export class VifJournal {
  readonly #path: string;

  constructor(path: string = JOURNAL) {
    this.#path = path;
  }

  /** Oldest first. @throws Error what is there is no journal */
  entries(): JournalEntry[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const entries: unknown = JSON.parse(text);
    if (!Array.isArray(entries)) throw new TypeError(`${this.#path} is no journal of xenctrl's`);
    return entries as JournalEntry[];
  }

  /** Notes a change and makes it, in this order: whatever happens between the two, it can be undone. */
  async record(entry: JournalEntry, change: () => void | Promise<void>): Promise<void> {
    const before = this.entries();
    this.#write([...before, entry]);
    try {
      await change();
    } catch (error) {
      this.#write(before);
      throw error;
    }
  }

  /**
   * Puts back what the last change found.
   *
   * @returns the change; null: there is none
   */
  async undo(switches: OffloadSwitches, store: Xenstore | null): Promise<JournalEntry | null> {
    const entries = this.entries();
    const last = entries.pop();
    if (!last) return null;
    if (last.device && last.features) switches.restore(last.device, last.features);
    if (last.keys && store) await restoreKeys(store, last.keys);
    else if (last.keys)
      throw new TypeError('keys of xenstore were changed, and there is no xenstore to put them back in');
    this.#write(entries);
    return last;
  }

  #write(entries: readonly JournalEntry[]): void {
    if (entries.length === 0) {
      rmSync(this.#path, { force: true });
      return;
    }
    mkdirSync(dirname(this.#path), { recursive: true });
    const fresh = `${this.#path}.${process.pid}`;
    writeFileSync(fresh, `${JSON.stringify(entries, null, 2)}\n`, { mode: 0o600 });
    renameSync(fresh, this.#path);
  }
}

async function restoreKeys(store: Xenstore, keys: Readonly<Record<string, string | null>>): Promise<void> {
  await store.transaction(async (transaction) => {
    for (const [path, value] of Object.entries(keys)) {
      if (value !== null) await transaction.write(path, value);
      else {
        await transaction.rm(path).catch((error: unknown) => {
          if (!isXenstoreError(error, 'ENOENT')) throw error;
        });
      }
    }
  });
}
