/** The memory that Xen keeps a domain's own tables in (`hap_enable`, `hap_set_allocation`, `arch/x86/mm/hap/hap.c`). */

import { errno } from '../abi/errno.js';
import { PAGE_SIZE } from '../abi/xen.js';
import type { MachineMemory } from './machine_memory.js';
import type { P2m } from './p2m.js';

/** What a new domain's tables get. */
const INITIAL_PAGES = 256;
/** Pages of it that a domain uses for more than the tables of its memory. */
const BASE_PAGES = 11;

export class PagingPool {
  readonly #memory: MachineMemory;
  readonly #p2m: P2m;
  #pages = 0;

  constructor(memory: MachineMemory, p2m: P2m, hap: boolean) {
    this.#memory = memory;
    this.#p2m = p2m;
    if (hap && memory.reserve(INITIAL_PAGES)) this.#pages = INITIAL_PAGES;
  }

  get bytes(): number {
    return this.#pages * PAGE_SIZE;
  }

  /**
   * Makes the pool so many pages, or as near to that as it goes.
   *
   * @returns 0, or -ENOMEM: tables use more, or the machine has less
   */
  resize(pages: number): number {
    const memory = this.#memory;
    const now = Math.min(Math.max(pages, BASE_PAGES + this.#p2m.tables), this.#pages + memory.freePages);
    memory.release(this.#pages);
    memory.reserve(now);
    this.#pages = now;
    return now === pages ? 0 : -errno.ENOMEM;
  }

  /** The domain is gone. */
  free(): void {
    this.#memory.release(this.#pages);
  }

  /** A snapshot's: the machine's memory knows of it already. */
  restore(bytes: number): void {
    this.#pages = bytes / PAGE_SIZE;
  }
}
