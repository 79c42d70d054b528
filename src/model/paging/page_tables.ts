/** Makes page tables in a guest's memory, for tests and examples: what its kernel would do. */

import type { Domain } from '../domain.js';
import {
  EFER_LMA,
  EFER_LME,
  EFER_NX,
  X86_CR0_ET,
  X86_CR0_PE,
  X86_CR0_PG,
  X86_CR0_WP,
  X86_CR4_LA57,
  X86_CR4_PAE,
  X86_CR4_PSE,
} from '../registers.js';
import type { Vcpu } from '../vcpu.js';
import { PAGE_PRESENT, PAGE_PSE, PAGE_RW, PAGE_USER } from './walk.js';

export interface PageTablesOptions {
  /** 2: 32-bit paging; 3: PAE; 4 and 5: long mode. Default 4. */
  readonly levels?: 2 | 3 | 4 | 5;
  /** First frame for tables; they take as many as they need from there on. Default 0x80. */
  readonly at?: number;
}

/** What a range of linear addresses is mapped as. */
export interface MapOptions {
  /** How many pages, one after the other. Default 1. */
  readonly pages?: number;
  /** Their size; 4M is 32-bit paging's large page, 2M that of the others, 1G that of long mode. Default 4K. */
  readonly size?: '4K' | '2M' | '4M' | '1G';
  /** Default true. */
  readonly writable?: boolean;
  /** Programs may use it, not only the kernel. Default false. */
  readonly user?: boolean;
  /** Default true. 32-bit paging cannot forbid it. */
  readonly executable?: boolean;
}

const FRAMES = { '4K': 1, '2M': 0x200, '4M': 0x400, '1G': 0x4_0000 } as const;
const NX = 1n << 63n;

export class PageTables {
  readonly levels: 2 | 3 | 4 | 5;
  /** The root, as CR3 has it. */
  readonly cr3: bigint;
  readonly #domain: Domain;
  #nextFrame: number;

  constructor(domain: Domain, { levels = 4, at = 0x80 }: PageTablesOptions = {}) {
    this.#domain = domain;
    this.levels = levels;
    this.#nextFrame = at;
    this.cr3 = BigInt(this.#newTable()) << 12n;
  }

  /**
   * Maps pages from linear address `gla` to frame `gfn` and up.
   *
   * @returns this, for the next one
   * @throws RangeError when an address is not a page's first, the size is none of these tables', or the guest has no memory
   *   for a table
   */
  map(gla: number | bigint, gfn: number, options: MapOptions = {}): this {
    const { pages = 1, size = '4K', writable = true, user = false, executable = true } = options;
    const frames = FRAMES[size];
    const leaf = this.#leafLevel(size);
    if (BigInt(gla) % BigInt(frames * 4096) !== 0n || gfn % frames !== 0) {
      throw new RangeError(`a page of ${size} begins at a multiple of its size, not at ${gla}, frame ${gfn}`);
    }
    const rights =
      BigInt(PAGE_PRESENT | (writable ? PAGE_RW : 0) | (user ? PAGE_USER : 0) | (leaf > 1 ? PAGE_PSE : 0)) |
      (executable || this.levels === 2 ? 0n : NX);
    for (let i = 0; i < pages; i++) {
      const at = BigInt(gla) + BigInt(i * frames * 4096);
      this.#write(this.#entryOf(at, leaf, true), (BigInt(gfn + i * frames) << 12n) | rights);
    }
    return this;
  }

  /** Physical address of the entry that maps a linear address, at level 1 (4 KiB) or above. @throws as {@link map} */
  entryAddress(gla: number | bigint, level = 1): number {
    return this.#entryOf(BigInt(gla), level, false);
  }

  /** Has a vCPU use these tables: its control registers are set as a kernel sets them. */
  enter({ registers }: Vcpu): void {
    const long = this.levels >= 4;
    registers.set('cr0', X86_CR0_PG | X86_CR0_PE | X86_CR0_ET | X86_CR0_WP);
    registers.set('cr3', this.cr3);
    registers.set('cr4', this.levels === 2 ? X86_CR4_PSE : X86_CR4_PAE | (this.levels === 5 ? X86_CR4_LA57 : 0n));
    registers.set('msr_efer', this.levels === 2 ? 0n : EFER_NX | (long ? EFER_LME | EFER_LMA : 0n));
  }

  #leafLevel(size: NonNullable<MapOptions['size']>): number {
    const level = size === '4K' ? 1 : size === '1G' ? 3 : 2;
    const possible =
      this.levels === 2 ? size === '4K' || size === '4M' : size !== '4M' && (level < 3 || this.levels > 3);
    if (!possible) throw new RangeError(`tables of ${this.levels} levels have no pages of ${size}`);
    return level;
  }

  /** The entry of `gla` at `level`, with the tables above it. */
  #entryOf(gla: bigint, level: number, make: boolean): number {
    const bits = this.levels === 2 ? 10 : 9;
    const size = this.levels === 2 ? 4 : 8;
    let table = Number(this.cr3);
    for (let at = this.levels as number; ; at--) {
      const index = Number((gla >> BigInt(12 + bits * (at - 1))) & BigInt(2 ** bits - 1));
      const entry = table + index * size;
      if (at === level) return entry;
      let next = this.#read(entry);
      if (!(next & BigInt(PAGE_PRESENT))) {
        if (!make) throw new RangeError(`${gla} is not mapped`);
        // the entries of a PAE root have no rights
        const rights = this.levels === 3 && at === 3 ? PAGE_PRESENT : PAGE_PRESENT | PAGE_RW | PAGE_USER;
        next = (BigInt(this.#newTable()) << 12n) | BigInt(rights);
        this.#write(entry, next);
      }
      table = Number(next & 0x000f_ffff_ffff_f000n);
    }
  }

  #newTable(): number {
    const gfn = this.#nextFrame++;
    this.#page(gfn * 4096).fill(0);
    return gfn;
  }

  #page(gpa: number): Uint8Array {
    const page = this.#domain.page(Math.floor(gpa / 4096), true);
    if (!page) throw new RangeError(`the guest has no memory at 0x${gpa.toString(16)} for a page table`);
    return page;
  }

  #view(gpa: number): DataView {
    const page = this.#page(gpa);
    return new DataView(page.buffer, page.byteOffset + (gpa % 4096));
  }

  #read(gpa: number): bigint {
    const view = this.#view(gpa);
    return this.levels === 2 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
  }

  #write(gpa: number, entry: bigint): void {
    const view = this.#view(gpa);
    if (this.levels === 2) view.setUint32(0, Number(BigInt.asUintN(32, entry)), true);
    else view.setBigUint64(0, entry, true);
  }
}
