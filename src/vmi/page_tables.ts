/**
 * The walk through the page tables of x86 (Intel SDM volume 3, "Paging"). What the tables hold is the guest's and may be
 * anything: a walk goes down as many levels as there are and no more, so that tables which point at each other in circles
 * end it, and every outcome is a result, never an exception.
 */

import type { MemorySource } from './memory_source.js';
import type { NotMappedReason, Paging, PagingMode, Walk, WalkStep } from './paging.js';

const P = 1 << 0;
const RW = 1 << 1;
const US = 1 << 2;
const A = 1 << 5;
const D = 1 << 6;
const PS = 1 << 7;
const G = 1 << 8;
/** Bit 63, in the upper half of an entry. */
const XD = 0x8000_0000 | 0;
/** The upper half's part of the frame number. */
const FRAME_HIGH = 0xf_ffff;
const DEEPEST = 5;

/** One level of tables, as masks. */
interface Level {
  readonly level: number;
  /** Bits of the page number below those that this level takes. */
  readonly shift: number;
  /** Takes the index from the page number. */
  readonly mask: number;
  /** Whether an entry can map a page by itself. */
  readonly large: boolean;
  /** Entries have none of the bits for rights. */
  readonly bare: boolean;
  /** Bits that must be 0, in the two halves of an entry that leads to a table, or that maps a page. */
  readonly tableLow: number;
  readonly leafLow: number;
  readonly high: number;
}

/** How a walk ended. */
const MAPPED = 0;
const REASONS: readonly NotMappedReason[] = [
  'not-present',
  'not-canonical',
  'not-present',
  'reserved-bits',
  'no-table',
];
const NOT_CANONICAL = 1;
const NOT_PRESENT = 2;
const RESERVED_BITS = 3;
const NO_TABLE = 4;

// What the last walk found, for who asked to take at once. Typed arrays, and not an object for each walk: most walks only
// want the frame.
/** Guest-physical address of each entry. */
const at = new Float64Array(DEEPEST);
/** The halves of each entry. */
const low = new Uint32Array(DEEPEST);
const high = new Uint32Array(DEEPEST);
/** `[frame of the 4096 bytes that were looked for]` */
const found = new Float64Array(1);
/** `[entries read, level at the end, RW, US and XD of all levels together]` */
const state = new Int32Array(3);

/** The tables that CR3 names. */
export class PageTables {
  readonly paging: Paging;
  readonly cr3: bigint;
  readonly #memory: MemorySource;
  readonly #levels: readonly Level[];
  readonly #wide: boolean;
  /** Page numbers that are addresses: from, and up to but not including. */
  readonly #from: number;
  readonly #to: number;
  readonly #rootFrame: number;
  /** Where in the frame the topmost table begins. */
  readonly #rootOffset: number;

  /** @param paging must be one that `checkPaging` accepts */
  constructor(memory: MemorySource, paging: Paging, cr3: bigint) {
    const { mode } = paging;
    this.#memory = memory;
    this.paging = paging;
    this.cr3 = cr3;
    this.#levels = levelsOf(paging);
    this.#wide = mode !== '32-bit';
    [this.#from, this.#to] = RANGES[mode];
    const frame = Number((cr3 >> 12n) & 0xff_ffff_ffffn);
    this.#rootFrame = mode === 'pae' || mode === '32-bit' ? frame % 2 ** 20 : frame;
    this.#rootOffset = mode === 'pae' ? Number(cr3 & 0xfe0n) : 0;
  }

  /**
   * The frame behind a page, or -1: not mapped.
   *
   * @param page the page's number (its address / 4096), signed as addresses are
   */
  frameOf(page: number): number {
    return this.#descend(page) === MAPPED ? (found[0] as number) : -1;
  }

  /**
   * Walks for one address, and tells everything.
   *
   * @param page the page's number, signed as addresses are
   * @param offset of the byte in the page
   */
  walk(page: number, offset: number): Walk {
    const end = this.#descend(page);
    const [read = 0, level = 0, rights = 0] = state;
    const steps = Array.from({ length: read }, (_, i) => this.#step(i));
    if (end !== MAPPED) return { mapped: false, reason: REASONS[end] as NotMappedReason, level, steps };
    const leaf = read === 0 ? 0 : (low[read - 1] as number);
    return {
      mapped: true,
      address: (found[0] as number) * 4096 + offset,
      pageSize: read === 0 ? 4096 : 4096 * 2 ** (this.#levels[read - 1] as Level).shift,
      writable: (rights & RW) !== 0,
      user: (rights & US) !== 0,
      executable: (rights & XD) === 0,
      accessed: (leaf & A) !== 0,
      dirty: (leaf & D) !== 0,
      global: (leaf & G) !== 0,
      steps,
    };
  }

  #step(i: number): WalkStep {
    const value = BigInt(high[i] as number) * 0x1_0000_0000n + BigInt(low[i] as number);
    return { level: (this.#levels[i] as Level).level, address: at[i] as number, value };
  }

  /** Goes down the levels; what it found is in the arrays above. */
  #descend(page: number): number {
    state[0] = 0;
    state[1] = 0;
    if (!(page >= this.#from && page < this.#to && page === Math.floor(page))) return NOT_CANONICAL;
    const wide = this.#wide;
    const entryShift = wide ? 3 : 2;
    // the indexes: bits 0 to 26 of the page number, and those above, as two integers
    const lowBits = page & 0x7ff_ffff;
    const highBits = Math.floor(page / 2 ** 27) & 0x3_ffff;
    let rights = RW | US;
    let frame = this.#rootFrame;
    let offset = this.#rootOffset;
    const levels = this.#levels;
    for (let i = 0; i < levels.length; i++) {
      const step = levels[i] as Level;
      state[1] = step.level;
      const table = this.#memory.page(frame)?.words;
      if (!table) return NO_TABLE;
      const { shift } = step;
      const index = (shift < 27 ? lowBits >>> shift : highBits >>> (shift - 27)) & step.mask;
      const place = offset + (index << entryShift);
      let lo = table[place >> 2] as number;
      let hi = wide ? (table[(place >> 2) + 1] as number) : 0;
      // the guest may write the entry between the two loads: what we have must have been there at one time
      for (let again = 0; wide && again < 8 && (table[place >> 2] as number) !== lo; again++) {
        lo = table[place >> 2] as number;
        hi = table[(place >> 2) + 1] as number;
      }
      at[i] = frame * 4096 + place;
      low[i] = lo;
      high[i] = hi;
      state[0] = i + 1;
      if ((lo & P) === 0) return NOT_PRESENT;
      const leaf = step.level === 1 || (step.large && (lo & PS) !== 0);
      if ((lo & (leaf ? step.leafLow : step.tableLow)) !== 0 || (hi & step.high) !== 0) return RESERVED_BITS;
      if (!step.bare) rights = ((rights & lo) | (rights & XD) | (hi & XD)) & (RW | US | XD);
      if (leaf) {
        state[2] = rights;
        found[0] = leafFrame(lo, hi, wide, shift, lowBits);
        return MAPPED;
      }
      frame = (hi & FRAME_HIGH) * 2 ** 20 + (lo >>> 12);
      offset = 0;
    }
    // paging is off: the address is physical
    state[2] = rights;
    found[0] = page;
    return MAPPED;
  }
}

/** Frame of the page that is looked for, in what an entry maps. */
function leafFrame(lo: number, hi: number, wide: boolean, shift: number, lowBits: number): number {
  const within = lowBits & ((1 << shift) - 1);
  // PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39 of the address
  if (!wide && shift > 0) return ((lo >>> 13) & 0xff) * 2 ** 20 + (lo >>> 22) * 2 ** 10 + within;
  // the low bits of a large page's entry are not its frame's
  return (hi & FRAME_HIGH) * 2 ** 20 + (((lo >>> 12) >>> shift) << shift) + within;
}

const RANGES: Readonly<Record<PagingMode, readonly [from: number, to: number]>> = {
  none: [0, 2 ** 40],
  '32-bit': [0, 2 ** 20],
  pae: [0, 2 ** 20],
  '4-level': [-(2 ** 35), 2 ** 35],
  '5-level': [-(2 ** 44), 2 ** 44],
};

function levelsOf({ mode, pse = true, nx = true, physicalBits = 52 }: Paging): Level[] {
  if (mode === 'none') return [];
  if (mode === '32-bit') {
    // of a 4 MiB entry: bit 21, and of the address's bits 32 to 39 those that the processor has not
    const leafLow = (1 << 21) | (((0xff << Math.max(0, physicalBits - 32)) & 0xff) << 13);
    const common = { mask: 1023, bare: false, tableLow: 0, high: 0 };
    return [
      { ...common, level: 2, shift: 10, large: pse, leafLow },
      { ...common, level: 1, shift: 0, large: false, leafLow: 0 },
    ];
  }
  const above = physicalBits === 52 ? 0 : (FRAME_HIGH << (physicalBits - 32)) & FRAME_HIGH;
  const reserved = above | (nx ? 0 : XD) | (mode === 'pae' ? 0x7ff0_0000 : 0);
  const common = { mask: 511, large: false, bare: false, tableLow: 0, leafLow: 0, high: reserved };
  const pte: Level = { ...common, level: 1, shift: 0 };
  // large pages: between the PAT bit and the address
  const pde: Level = { ...common, level: 2, shift: 9, large: true, leafLow: 0x001f_e000 };
  if (mode === 'pae') {
    const top = { ...common, level: 3, shift: 18, mask: 3, bare: true, tableLow: 0x1e6, high: reserved | XD };
    return [top, pde, pte];
  }
  const pdpte: Level = { ...common, level: 3, shift: 18, large: true, leafLow: 0x3fff_e000 };
  const pml4e: Level = { ...common, level: 4, shift: 27, tableLow: PS };
  const pml5e: Level = { ...common, level: 5, shift: 36, tableLow: PS };
  return [...(mode === '5-level' ? [pml5e] : []), pml4e, pdpte, pde, pte];
}
