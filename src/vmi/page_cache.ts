/** Pages that were loaded, up to a limit; what has not been used for the longest goes first, more or less. */

import type { Page } from './memory_source.js';

/** A page, and how to let go of it. */
export interface LoadedPage {
  readonly page: Page;
  readonly writable: boolean;
  readonly unload: () => void;
}

interface Entry extends LoadedPage {
  readonly frame: number;
  /** Used since the hand came by. */
  used: boolean;
}

/** Loads a page; null: there is none. */
export type Load = (frame: number, write: boolean) => LoadedPage | null;

/**
 * A "clock": a hand goes around the pages and takes the first that was not used since it came by last. A hit sets one bit,
 * where a list in order of use would have to be mended.
 */
export class PageCache {
  readonly limit: number;
  readonly #load: Load;
  readonly #entries = new Map<number, Entry>();
  readonly #clock: Entry[] = [];
  #hand = 0;
  // the page that was asked for last is most likely the one asked for next
  #lastFrame = -1;
  #last: Entry | null = null;

  constructor(limit: number, load: Load) {
    this.limit = limit;
    this.#load = load;
  }

  /** Pages that are loaded. */
  get size(): number {
    return this.#clock.length;
  }

  /** The page, loaded when it is not; null: there is none. */
  get(frame: number, write: boolean): Page | null {
    const entry = frame === this.#lastFrame ? this.#last : this.#find(frame);
    if (entry && (entry.writable || !write)) {
      entry.used = true;
      return entry.page;
    }
    return this.#replace(frame, write, entry);
  }

  #find(frame: number): Entry | null {
    const entry = this.#entries.get(frame) ?? null;
    if (entry) this.#remember(entry);
    return entry;
  }

  #remember(entry: Entry): void {
    this.#lastFrame = entry.frame;
    this.#last = entry;
  }

  /** Loads a page, instead of one that was loaded for reading only if there is one. */
  #replace(frame: number, write: boolean, old: Entry | null): Page | null {
    const loaded = this.#load(frame, write);
    if (!loaded) return null;
    const entry: Entry = { ...loaded, frame, used: true };
    this.#entries.set(frame, entry);
    this.#remember(entry);
    if (old) {
      this.#clock[this.#clock.indexOf(old)] = entry;
      old.unload();
    } else if (this.#clock.length < this.limit) this.#clock.push(entry);
    else this.#evictFor(entry);
    return entry.page;
  }

  #evictFor(entry: Entry): void {
    for (;;) {
      const at = this.#hand;
      const victim = this.#clock[at] as Entry;
      this.#hand = (at + 1) % this.#clock.length;
      if (victim.used) {
        victim.used = false;
        continue;
      }
      this.#clock[at] = entry;
      this.#entries.delete(victim.frame);
      victim.unload();
      return;
    }
  }

  /** Lets go of every page. */
  clear(): void {
    const all = this.#clock.splice(0);
    this.#entries.clear();
    this.#lastFrame = -1;
    this.#last = null;
    this.#hand = 0;
    for (const { unload } of all) unload();
  }
}
