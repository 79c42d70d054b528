/** A domain's grant table: frames of Xen's, which the domain writes its grants to (version 1 of the interface). */

import {
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_type_mask,
  GTF_writing,
  grant_entry_v1,
} from '../abi/grant_table.js';
import { DOMID_XEN, PAGE_SIZE } from '../abi/xen.js';
import type { MachineMemory } from './machine_memory.js';

/** Frames that a table has from the start (`INITIAL_NR_GRANT_FRAMES`). */
const INITIAL = 1;
const ENTRIES = PAGE_SIZE / grant_entry_v1.size;

/** A grant as its domain wrote it. */
export interface Grant {
  /** Who may map the page. */
  readonly domid: number;
  /** Frame of the granting domain. */
  readonly frame: number;
  readonly readonly: boolean;
}

export class GrantFrames {
  readonly version = 1;
  readonly max: number;
  readonly #memory: MachineMemory;
  readonly #mfns: number[] = [];
  /** Mappings of each grant that last: how many, and how many of them may write. */
  readonly #users = new Map<number, { all: number; writers: number }>();

  constructor(memory: MachineMemory, max: number) {
    this.#memory = memory;
    this.max = max;
  }

  /** How many frames the table has. */
  get count(): number {
    return Math.max(INITIAL, this.#mfns.length);
  }

  /** The machine frame of one of the table's, which grows to have it (`gnttab_get_shared_frame`); null: it may not. */
  frame(index: number): number | null {
    if (index >= this.max) return null;
    while (this.#mfns.length <= index) {
      const mfn = this.#memory.allocateXen();
      if (mfn === null) return null;
      this.#mfns.push(mfn);
    }
    return this.#mfns[index] ?? null;
  }

  /** The grant, or null: there is none, or the table is not so long. */
  read(ref: number): Grant | null {
    const entry = this.#entry(ref);
    if (!entry) return null;
    const flags = entry.getUint16(grant_entry_v1.at.flags, true);
    if ((flags & GTF_type_mask) !== GTF_permit_access) return null;
    return {
      domid: entry.getUint16(grant_entry_v1.at.domid, true),
      frame: entry.getUint32(grant_entry_v1.at.frame, true),
      readonly: (flags & GTF_readonly) !== 0,
    };
  }

  /** Writes a grant, as the domain's kernel does. */
  write(ref: number, { domid, frame, readonly }: Grant): void {
    const entry = this.#entry(ref);
    if (!entry) throw new RangeError(`the grant table has no entry ${ref}`);
    entry.setUint32(grant_entry_v1.at.frame, frame, true);
    entry.setUint16(grant_entry_v1.at.domid, domid, true);
    entry.setUint16(grant_entry_v1.at.flags, GTF_permit_access | (readonly ? GTF_readonly : 0), true);
  }

  /** Takes a grant back. False: somebody has it mapped. */
  clear(ref: number): boolean {
    if (this.#users.has(ref)) return false;
    this.#entry(ref)?.setUint16(grant_entry_v1.at.flags, 0, true);
    return true;
  }

  /** Somebody maps the page, or no longer does: the entry's flags tell. */
  use(ref: number, writes: boolean, change: 1 | -1): void {
    const users = this.#users.get(ref) ?? { all: 0, writers: 0 };
    users.all += change;
    if (writes) users.writers += change;
    if (users.all === 0) this.#users.delete(ref);
    else this.#users.set(ref, users);
    const entry = this.#entry(ref);
    if (!entry) return;
    const rest = entry.getUint16(grant_entry_v1.at.flags, true) & ~(GTF_reading | GTF_writing);
    const used = (users.all > 0 ? GTF_reading : 0) | (users.writers > 0 ? GTF_writing : 0);
    entry.setUint16(grant_entry_v1.at.flags, rest | used, true);
  }

  /** The domain is gone. */
  free(): void {
    for (const mfn of this.#mfns.splice(0)) this.#memory.freeXen(mfn);
  }

  save(): readonly number[] {
    return [...this.#mfns];
  }

  restore(mfns: readonly number[]): void {
    this.#mfns.splice(0, this.#mfns.length, ...mfns);
  }

  /** The table's memory holds entries only where the domain has asked for its frames. */
  #entry(ref: number): DataView | null {
    const mfn = this.#mfns[Math.floor(ref / ENTRIES)];
    if (mfn === undefined) return null;
    const page = this.#memory.page(DOMID_XEN, mfn);
    return new DataView(page.buffer, page.byteOffset + (ref % ENTRIES) * grant_entry_v1.size, grant_entry_v1.size);
  }
}
