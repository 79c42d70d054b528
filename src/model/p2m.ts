/**
 * A guest-physical to machine table, shaped like EPT: entries of 4 KiB, 2 MiB and 1 GiB, a superpage split when a smaller
 * entry is put in it, and holes whose size depends on which tables exist. Xen's `p2m-ept.c` defines the behaviour.
 *
 * The shape matters to guests and callers: views take over whole superpages, and a hole below a table that exists has
 * its suppress-#VE bit set while one in the empty root has not.
 */

import { FrameMap } from './frame_map.js';

/** Orders of pages: the logarithm of their number of 4 KiB frames. */
export const ORDER_4K = 0;
export const ORDER_2M = 9;
export const ORDER_1G = 18;
/** What one entry of the root table spans. */
const ORDER_512G = 27;

export type PageOrder = typeof ORDER_4K | typeof ORDER_2M | typeof ORDER_1G;

/** Entry attributes: access in the low four bits, then suppress-#VE, then "there is a page". */
const SUPPRESS_VE = 0x10;
const PRESENT = 0x20;
/** Xen lets nobody write the frame, whatever the access is. */
const READ_ONLY = 0x40;

/** Frames that nobody may write (Xen's `mmio_ro_ranges`). */
export interface ReadOnlyFrames {
  readonly isEmpty: boolean;
  contains(mfn: number): boolean;
}

const NO_FRAMES: ReadOnlyFrames = { isEmpty: true, contains: () => false };

/** What {@link P2m.lookup} found. One object a table, overwritten by the next lookup. */
export interface P2mEntry {
  /** True when a page is mapped. */
  present: boolean;
  mfn: number;
  /** `xenmem_access_t`. */
  access: number;
  suppressVe: boolean;
  /** Order of the page, or of the hole. */
  order: number;
  /** Xen lets nobody write it, whatever {@link access} says. */
  readOnly: boolean;
}

/** A saved {@link P2m}: plain JSON, by level from 4 KiB to 1 GiB. */
export interface P2mState {
  readonly maxMapped: number;
  /** `frame, mfn, attributes` of each entry, one after the other. */
  readonly pages: readonly (readonly number[])[];
  readonly tables: readonly (readonly number[])[];
}

export class P2m {
  readonly #pages4K = new FrameMap();
  /** Keyed by frame >> 9 and >> 18. */
  readonly #pages2M = new FrameMap();
  readonly #pages1G = new FrameMap();
  /** Tables that exist, by the frames they span: of 4 KiB entries (>> 9), of 2 MiB (>> 18), of 1 GiB (>> 27). */
  readonly #tables4K = new Set<number>();
  readonly #tables2M = new Set<number>();
  readonly #tables1G = new Set<number>();
  readonly #found: P2mEntry = { present: false, mfn: 0, access: 0, suppressVe: false, order: 0, readOnly: false };
  readonly #readOnly: ReadOnlyFrames;
  /** Highest frame that was ever mapped, or -1. */
  maxMapped = -1;

  /** @param readOnly looked at whenever a page is mapped; a change of it needs {@link refresh} */
  constructor(readOnly: ReadOnlyFrames = NO_FRAMES) {
    this.#readOnly = readOnly;
  }

  /** Number of entries held, of any size. */
  get entries(): number {
    return this.#pages4K.size + this.#pages2M.size + this.#pages1G.size;
  }

  /** Number of tables that it takes, the root among them. */
  get tables(): number {
    return 1 + this.#tables4K.size + this.#tables2M.size + this.#tables1G.size;
  }

  /** Looks a frame up. The result is overwritten by the next call on this table. */
  lookup(gfn: number): Readonly<P2mEntry> {
    const slot = this.#pages4K.find(gfn);
    if (slot >= 0) return this.#report(this.#pages4K.mfnAt(slot), this.#pages4K.attributesAt(slot), ORDER_4K);
    const at2M = Math.floor(gfn / 0x200);
    const slot2M = this.#pages2M.find(at2M);
    if (slot2M >= 0) {
      const order = this.#tables4K.has(at2M) ? ORDER_4K : ORDER_2M;
      return this.#report(this.#pages2M.mfnAt(slot2M) + (gfn % 0x200), this.#pages2M.attributesAt(slot2M), order);
    }
    const at1G = Math.floor(gfn / 0x4_0000);
    const slot1G = this.#pages1G.find(at1G);
    const order = this.#holeOrder(gfn, at2M, at1G);
    if (slot1G >= 0) {
      return this.#report(this.#pages1G.mfnAt(slot1G) + (gfn % 0x4_0000), this.#pages1G.attributesAt(slot1G), order);
    }
    // the root is made zeroed; every table below it is made with suppress-#VE set in all of its entries
    return this.#report(0, order === ORDER_512G ? 0 : SUPPRESS_VE, order);
  }

  /**
   * Maps one page. `gfn` and `mfn` are aligned to `order`. A smaller page splits the superpage around it.
   *
   * @param suppressVe null keeps the bit of the entry before, or sets it where there was none
   */
  set(gfn: number, mfn: number, access: number, suppressVe: boolean | null, order: PageOrder = ORDER_4K): void {
    const bit = suppressVe ?? this.#keptSuppressVe(gfn);
    // a device's frames are mapped one by one
    const readOnly = order === ORDER_4K && !this.#readOnly.isEmpty && this.#readOnly.contains(mfn);
    this.#put(gfn, mfn, PRESENT | (readOnly ? READ_ONLY : 0) | (bit ? SUPPRESS_VE : 0) | access, order);
    this.maxMapped = Math.max(this.maxMapped, gfn + 2 ** order - 1);
  }

  /** Takes one frame out; what is left is a 4 KiB hole with the entry's suppress-#VE bit, or the one given. */
  remove(gfn: number, suppressVe: boolean = this.#keptSuppressVe(gfn)): void {
    this.#put(gfn, 0, suppressVe ? SUPPRESS_VE : 0, ORDER_4K);
  }

  /** Frame and machine frame of every 4 KiB page. */
  smallPages(): (readonly [gfn: number, mfn: number])[] {
    const found: (readonly [number, number])[] = [];
    this.#pages4K.forEach((gfn, mfn, attributes) => {
      if (attributes & PRESENT) found.push([gfn, mfn]);
    });
    return found;
  }

  /** Looks again at which of these machine frames may be written. */
  refresh(first: number, last: number): void {
    const found: (readonly [gfn: number, mfn: number, attributes: number])[] = [];
    this.#pages4K.forEach((...entry) => {
      if (entry[2] & PRESENT && entry[1] >= first && entry[1] <= last) found.push(entry);
    });
    for (const [gfn, mfn, attributes] of found) {
      const readOnly = this.#readOnly.contains(mfn) ? READ_ONLY : 0;
      this.#pages4K.set(gfn, mfn, (attributes & ~READ_ONLY) | readOnly);
    }
  }

  /** Drops everything, tables included. */
  clear(): void {
    for (const pages of [this.#pages4K, this.#pages2M, this.#pages1G]) pages.clear();
    for (const tables of [this.#tables4K, this.#tables2M, this.#tables1G]) tables.clear();
    this.maxMapped = -1;
  }

  /** What {@link restore} needs to make this table again, holes and empty tables included. */
  save(): P2mState {
    const entries = (pages: FrameMap): number[] => {
      const found: (readonly [frame: number, mfn: number, attributes: number])[] = [];
      pages.forEach((...entry) => {
        found.push(entry);
      });
      // by frame, so that equal tables are saved equally
      return found.sort(([a], [b]) => a - b).flat();
    };
    return {
      maxMapped: this.maxMapped,
      pages: [entries(this.#pages4K), entries(this.#pages2M), entries(this.#pages1G)],
      tables: [[...this.#tables4K], [...this.#tables2M], [...this.#tables1G]],
    };
  }

  restore(state: P2mState): void {
    this.clear();
    this.maxMapped = state.maxMapped;
    [this.#pages4K, this.#pages2M, this.#pages1G].forEach((pages, level) => {
      const flat = state.pages[level] ?? [];
      for (let i = 0; i < flat.length; i += 3) pages.set(flat[i] ?? 0, flat[i + 1] ?? 0, flat[i + 2] ?? 0);
    });
    [this.#tables4K, this.#tables2M, this.#tables1G].forEach((tables, level) => {
      for (const table of state.tables[level] ?? []) tables.add(table);
    });
  }

  #put(gfn: number, mfn: number, attributes: number, order: PageOrder): void {
    const at2M = Math.floor(gfn / 0x200);
    const at1G = Math.floor(gfn / 0x4_0000);
    this.#tables1G.add(Math.floor(gfn / 0x800_0000));
    if (order === ORDER_1G) {
      for (let i = 0; i < 0x200 && this.#tables2M.has(at1G); i++) this.#drop2M(at1G * 0x200 + i);
      this.#tables2M.delete(at1G);
      this.#pages1G.set(at1G, mfn, attributes);
      return;
    }
    this.#tables2M.add(at1G);
    if (order === ORDER_2M) {
      this.#drop2M(at2M);
      this.#pages2M.set(at2M, mfn, attributes);
      return;
    }
    this.#tables4K.add(at2M);
    this.#pages4K.set(gfn, mfn, attributes);
  }

  /** Forgets what a 2 MiB region holds: a larger or equal page replaces it. */
  #drop2M(at2M: number): void {
    this.#pages2M.delete(at2M);
    if (!this.#tables4K.delete(at2M)) return;
    for (let i = 0; i < 0x200; i++) this.#pages4K.delete(at2M * 0x200 + i);
  }

  #keptSuppressVe(gfn: number): boolean {
    const before = this.lookup(gfn);
    return before.present ? before.suppressVe : true;
  }

  #holeOrder(gfn: number, at2M: number, at1G: number): number {
    if (this.#tables4K.has(at2M)) return ORDER_4K;
    if (this.#tables2M.has(at1G)) return ORDER_2M;
    return this.#tables1G.has(Math.floor(gfn / 0x800_0000)) ? ORDER_1G : ORDER_512G;
  }

  #report(mfn: number, attributes: number, order: number): P2mEntry {
    const found = this.#found;
    found.present = (attributes & PRESENT) !== 0;
    found.mfn = mfn;
    found.access = attributes & 0xf;
    found.suppressVe = (attributes & SUPPRESS_VE) !== 0;
    found.readOnly = (attributes & READ_ONLY) !== 0;
    found.order = order;
    return found;
  }
}
