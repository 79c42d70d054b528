/** The memory of a live domain: its frames, mapped. */

import { checkCount, checkDomid } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import { type ForeignMapping, PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import type { XcInterface } from '../xc/interface.js';
import { xc_domain_maximum_gpfn } from '../xc/memory.js';
import { asPage, type MemorySource, type Page, readEachFrame } from './memory_source.js';
import { type LoadedPage, PageCache } from './page_cache.js';

export interface DomainMemoryOptions {
  /** How many pages are kept mapped. Default 4096. Linux allows a process 65,530 mappings. */
  readonly pages?: number;
  /**
   * For how many milliseconds pages stay mapped. Default 1000. A mapping shows what the guest writes, always, but if the
   * guest gives a frame back or gets another page there (ballooning, sharing), a mapping goes on showing the old page,
   * and keeps it, as it keeps a domain that died from going away.
   */
  readonly maxAge?: number;
}

/** Frames that one mapping takes when a long run is read: 1 MiB. */
const BATCH = 256;
/** A frame has at most 40 bits: addresses have 52. */
const MOST_FRAMES = 2 ** 40;
/** Failures of a whole domain, not of a frame. */
const FATAL: ReadonlySet<string> = new Set(['ESRCH', 'EPERM', 'EACCES', 'ENOMEM', 'EMFILE', 'ENODEV']);

/**
 * Memory of a domain as the host sees it: altp2m views change nothing here.
 *
 * Pages stay mapped for {@link DomainMemoryOptions.maxAge}, at most; all are let go of by {@link drop}, and when the
 * domain turns out to be gone. Of a domain that is being destroyed nothing new can be mapped, and what is mapped keeps it
 * until then.
 */
export class DomainMemory implements MemorySource {
  readonly live = true;
  readonly domid: number;
  readonly #xch: XcInterface;
  readonly #cache: PageCache;
  readonly #maxAge: number;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(xch: XcInterface, domid: number, options: DomainMemoryOptions = {}) {
    const { pages = 4096, maxAge = 1000 } = options;
    checkDomid(domid);
    checkCount(pages, 'options.pages');
    checkCount(maxAge, 'options.maxAge');
    this.#xch = xch;
    this.domid = domid;
    this.#maxAge = maxAge;
    this.#cache = new PageCache(Math.max(1, pages), (frame, write) => this.#load(frame, write));
  }

  get frames(): number {
    return xc_domain_maximum_gpfn(this.#xch, this.domid) + 1;
  }

  /** How many pages are mapped now. */
  get mapped(): number {
    return this.#cache.size;
  }

  page(frame: number): Page | null {
    return this.#cache.get(frame, false);
  }

  writablePage(frame: number): Page | null {
    return this.#cache.get(frame, true);
  }

  readFrames(first: number, count: number, target: Uint8Array, present: Uint8Array): number {
    let found = 0;
    for (let done = 0; done < count; done += BATCH) {
      const pages = Math.min(BATCH, count - done);
      found += this.#readBatch(first + done, pages, target.subarray(done * 4096), present.subarray(done));
    }
    return found;
  }

  #readBatch(first: number, count: number, target: Uint8Array, present: Uint8Array): number {
    const frames = Array.from({ length: count }, (_, i) => first + i);
    const run = this.#mapRun(frames);
    if (run === 'taken') return readEachFrame((frame) => this.#copy(frame), first, count, target, present);
    using mapping = run;
    present.fill(0, 0, count);
    if (!mapping) return 0;
    let found = 0;
    for (let i = 0; i < count; i++) {
      if (mapping.errors[i] !== 0) continue;
      target.set(mapping.bytes.subarray(i * 4096, (i + 1) * 4096), i * 4096);
      present[i] = 1;
      found++;
    }
    return found;
  }

  /** `'taken'`: the model cannot show a frame in two mappings of several, and one of these is in such a one. */
  #mapRun(frames: readonly number[]): ForeignMapping | null | 'taken' {
    if (this.#xch.hypervisor.kind !== 'model') return this.#map(frames, PROT_READ);
    this.drop();
    try {
      return this.#map(frames, PROT_READ);
    } catch (error) {
      if (error instanceof XenError || error instanceof TypeError) throw error;
      return 'taken';
    }
  }

  #copy(frame: number): Uint8Array | null {
    using mapping = this.#map([frame], PROT_READ);
    return mapping?.errors[0] === 0 ? mapping.bytes.slice() : null;
  }

  drop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#cache.clear();
  }

  close(): void {
    this.#closed = true;
    this.drop();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #load(frame: number, write: boolean): LoadedPage | null {
    const mapping = this.#map([frame], write ? PROT_READ | PROT_WRITE : PROT_READ);
    if (!mapping) return null;
    if (mapping.errors[0] !== 0) {
      mapping.close();
      return null;
    }
    this.#timer ??= setTimeout(() => this.drop(), this.#maxAge).unref();
    return { page: asPage(mapping.bytes), writable: write, unload: () => mapping.close() };
  }

  /** Null: none of the frames has memory. */
  #map(frames: readonly number[], prot: number): ForeignMapping | null {
    if (this.#closed) throw new TypeError('this memory is closed');
    const last = frames.at(-1) as number;
    if (!(last < MOST_FRAMES && (frames[0] as number) >= 0)) return null;
    try {
      return this.#xch.hypervisor.mapForeign(this.domid, frames, prot);
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      if (!FATAL.has(error.code)) return null;
      this.drop();
      throw new XenError('xc_map_foreign_bulk', error.errno, { domid: this.domid, hint: error.hint });
    }
  }
}
