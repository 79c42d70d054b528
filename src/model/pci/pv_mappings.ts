/**
 * What a PV domain's page tables map of devices: entries that Xen has looked at (`get_page_from_l1e`). A right to write
 * that an entry asks for and cannot have is left out of it, and the call that made it succeeds all the same.
 */

import { errno } from '../../abi/errno.js';
import { DOMID_IO } from '../../abi/xen.js';
import type { MachineMemory } from '../machine_memory.js';
import type { MsixPosted } from './as_posted.js';
import type { Frames } from './pdev.js';

/** What it needs of the machine. */
export interface PvHost {
  readonly posted: MsixPosted;
  readonly memory: MachineMemory;
  isReadOnly(mfn: number): boolean;
}

/** How a store ended: done; `'dropped'`, as Xen does for dom0's kernel; `'fault'`: a page fault, again and again. */
export type PvStore = 'done' | 'dropped' | 'fault';

/** An entry of the last level. */
export class PvMapping {
  readonly mfn: number;
  /** The entry lets its domain write. */
  writable: boolean;
  readonly #memory: MachineMemory;
  readonly #privileged: boolean;

  constructor(mfn: number, writable: boolean, memory: MachineMemory, privileged: boolean) {
    this.mfn = mfn;
    this.writable = writable;
    this.#memory = memory;
    this.#privileged = privileged;
  }

  /** A load of the page. */
  read(offset: number, length: number): Uint8Array {
    return this.#memory.peek(this.mfn).slice(offset, offset + length);
  }

  /**
   * A store to the page.
   *
   * @param from what stores: a program in the domain, or its kernel. Xen emulates only a kernel's
   */
  write(offset: number, bytes: Uint8Array, from: 'user' | 'kernel' = 'user'): PvStore {
    if (!this.writable) return this.#privileged && from === 'kernel' ? 'dropped' : 'fault';
    this.#memory.page(DOMID_IO, this.mfn).set(bytes, offset);
    return 'done';
  }
}

export class PvMappings {
  readonly #entries = new Set<PvMapping>();
  readonly #host: PvHost;
  readonly #privileged: boolean;
  readonly #permits: (mfn: number) => boolean;

  constructor(privileged: boolean, host: PvHost, permits: (mfn: number) => boolean) {
    this.#privileged = privileged;
    this.#host = host;
    this.#permits = permits;
  }

  get entries(): ReadonlySet<PvMapping> {
    return this.#entries;
  }

  /**
   * Puts an entry for a device's frame into the domain's page tables.
   *
   * @returns the entry as Xen has left it, or -EPERM: the domain may not use the frame
   */
  map(mfn: number, { write }: { readonly write: boolean }): PvMapping | number {
    if (!this.#permits(mfn)) return -errno.EPERM;
    const { memory, posted } = this.#host;
    const exempt = posted[8] && this.#privileged;
    const writable = write && (exempt || !this.#host.isReadOnly(mfn));
    const entry = new PvMapping(mfn, writable, memory, this.#privileged);
    this.#entries.add(entry);
    return entry;
  }

  unmap(entry: PvMapping): void {
    entry.writable = false;
    this.#entries.delete(entry);
  }

  /**
   * Frames have become read-only. Xen does not look for entries that were made before, so that dom0's go on to be
   * writable (seen on 4.17). A guest's do so, too, on a real Xen; here they lose the right.
   */
  protect({ first, last }: Frames): void {
    if (this.#privileged || this.#host.posted[15]) return;
    for (const entry of this.#entries) if (entry.mfn >= first && entry.mfn <= last) entry.writable = false;
  }

  /** The domain ends. */
  clear(): void {
    for (const entry of this.#entries) entry.writable = false;
    this.#entries.clear();
  }
}
