/** Guest memory by virtual address, through one set of page tables. */

import { type Address, addressIn, checkAddress, pageNumber, pageOffset } from './address.js';
import { MemoryFault } from './fault.js';
import type { Freshness } from './freshness.js';
import { endPageOf, mappedPieces } from './mapped_ranges.js';
import { Memory } from './memory.js';
import type { MemorySource } from './memory_source.js';
import { type Paging, type Walk, walk } from './paging.js';
import type { Searched } from './search.js';
import { TranslationCache } from './translation_cache.js';

/**
 * An address space: what CR3 names. Get one from {@link Introspector.space}.
 *
 * Translations are kept for as long as {@link Freshness} says. An address that is not mapped is looked up anew each time.
 */
export class AddressSpace extends Memory {
  /** CR3: where the topmost table is. */
  readonly cr3: bigint;
  readonly paging: Paging;
  readonly pointerBytes: 4 | 8;
  readonly #freshness: Freshness;
  readonly #cache: TranslationCache;
  #generation: number;

  /** @internal */
  constructor(source: MemorySource, freshness: Freshness, paging: Paging, cr3: bigint, translations: number) {
    super(source);
    this.cr3 = cr3;
    this.paging = paging;
    this.pointerBytes = paging.mode === '4-level' || paging.mode === '5-level' ? 8 : 4;
    this.#freshness = freshness;
    this.#cache = new TranslationCache(translations);
    this.#generation = freshness.generation;
  }

  /** Walks the page tables; the result says what every level said. */
  walk(address: Address): Walk {
    checkAddress(address);
    return walk(this.source, this.paging, this.cr3, pageNumber(address), pageOffset(address));
  }

  /**
   * The guest-physical address behind a virtual one, or -1: it is not mapped, and {@link walk} says why. What it gives is
   * what the tables say; there need not be memory.
   *
   * Numbers are several times as fast here as bigints: see {@link Address}.
   */
  translate(address: Address): number {
    if (typeof address === 'number' && this.#generation === this.#freshness.generation) {
      const offset = address & 4095;
      const frame = this.#cache.find((address - offset) / 4096);
      if (frame >= 0) return frame * 4096 + offset;
    }
    checkAddress(address);
    const frame = this.frameOf(pageNumber(address));
    return frame < 0 ? -1 : frame * 4096 + pageOffset(address);
  }

  /** @internal */
  get searched(): Searched {
    const { source, paging, cr3 } = this;
    const pieces: Searched['pieces'] = (first, end) => mappedPieces(source, paging, cr3, first, end);
    return { source, endPage: endPageOf(paging), pieces };
  }

  protected frameOf(page: number): number {
    if (this.#generation === this.#freshness.generation) {
      const frame = this.#cache.find(page);
      if (frame >= 0) return frame;
    } else {
      this.#cache.clear();
      this.#generation = this.#freshness.generation;
    }
    const walked = walk(this.source, this.paging, this.cr3, page, 0);
    if (!walked.mapped) return -1;
    const frame = walked.address / 4096;
    this.#cache.set(page, frame);
    this.#freshness.note();
    return frame;
  }

  protected fault(page: number, offset: number): MemoryFault {
    const walked = walk(this.source, this.paging, this.cr3, page, offset);
    const address = addressIn(page, offset);
    return walked.mapped
      ? new MemoryFault(address, 'no-memory')
      : new MemoryFault(address, walked.reason, walked.level);
  }
}
