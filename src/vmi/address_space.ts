/** Guest memory by virtual address, through one set of page tables. */

import { type Address, addressIn, checkAddress, pageNumber, pageOffset } from './address.js';
import { MemoryFault } from './fault.js';
import type { Freshness } from './freshness.js';
import { endPageOf, mappedPieces } from './mapped_ranges.js';
import { Memory } from './memory.js';
import type { MemorySource } from './memory_source.js';
import { PageTables } from './page_tables.js';
import type { Paging, Walk } from './paging.js';
import type { Searched } from './search.js';
import { TranslationCache } from './translation_cache.js';

/**
 * An address space: what CR3 names. Get one from {@link Introspector.space}.
 *
 * Translations are kept for as long as {@link Freshness} says. An address that is not mapped is looked up anew each time.
 */
export class AddressSpace extends Memory {
  readonly pointerBytes: 4 | 8;
  readonly #tables: PageTables;
  readonly #freshness: Freshness;
  readonly #cache: TranslationCache;
  #generation: number;

  /** @internal */
  constructor(source: MemorySource, freshness: Freshness, paging: Paging, cr3: bigint, translations: number) {
    super(source);
    this.#tables = new PageTables(source, paging, cr3);
    this.pointerBytes = paging.mode === '4-level' || paging.mode === '5-level' ? 8 : 4;
    this.#freshness = freshness;
    this.#cache = new TranslationCache(translations);
    this.#generation = freshness.generation;
  }

  /** CR3: where the topmost table is. */
  get cr3(): bigint {
    return this.#tables.cr3;
  }

  get paging(): Paging {
    return this.#tables.paging;
  }

  /** Walks the page tables; the result says what every level said. */
  walk(address: Address): Walk {
    checkAddress(address);
    return this.#tables.walk(pageNumber(address), pageOffset(address));
  }

  /**
   * The guest-physical address behind a virtual one, or -1: it is not mapped, and {@link walk} says why. What it gives is
   * what the tables say; there need not be memory.
   *
   * Numbers are several times as fast here as bigints: see {@link Address}.
   */
  translate(address: Address): number {
    // what numbers need, and nothing else, so that this becomes part of its callers
    if (typeof address !== 'number') return this.#translateBigint(address);
    const offset = address & 4095;
    const page = (address - offset) / 4096;
    const kept = this.#generation === this.#freshness.generation ? this.#cache.find(page) : -1;
    const frame = kept >= 0 ? kept : this.frameOf(page);
    if (frame >= 0) return frame * 4096 + offset;
    checkAddress(address);
    return -1;
  }

  #translateBigint(address: bigint): number {
    checkAddress(address);
    const frame = this.frameOf(pageNumber(address));
    return frame < 0 ? -1 : frame * 4096 + pageOffset(address);
  }

  /** @internal */
  get searched(): Searched {
    const pieces: Searched['pieces'] = (first, end) => mappedPieces(this.#tables, first, end);
    return { source: this.source, endPage: endPageOf(this.paging), pieces };
  }

  protected frameOf(page: number): number {
    if (this.#generation !== this.#freshness.generation) {
      this.#cache.clear();
      this.#generation = this.#freshness.generation;
    }
    const kept = this.#cache.find(page);
    if (kept >= 0) return kept;
    const frame = this.#tables.frameOf(page);
    if (frame < 0) return frame;
    this.#cache.set(page, frame);
    this.#freshness.note();
    return frame;
  }

  protected fault(page: number, offset: number): MemoryFault {
    const walked = this.#tables.walk(page, offset);
    const address = addressIn(page, offset);
    return walked.mapped
      ? new MemoryFault(address, 'no-memory')
      : new MemoryFault(address, walked.reason, walked.level);
  }
}
