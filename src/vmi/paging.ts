/**
 * Page tables of x86, as a processor walks them (Intel SDM volume 3, "Paging"). What the tables hold is the guest's and
 * may be anything: a walk goes down as many levels as there are and no more, so that tables which point at each other in
 * circles end it, and every outcome is a result, never an exception.
 */

import { PAGE_BITS } from './address.js';
import type { MemorySource } from './memory_source.js';

/** `'none'`: paging is off, and addresses are physical. */
export type PagingMode = 'none' | '32-bit' | 'pae' | '4-level' | '5-level';

/** How a processor walks. */
export interface Paging {
  readonly mode: PagingMode;
  /** 4 MiB pages in 32-bit mode: CR4.PSE. Default true. */
  readonly pse?: boolean;
  /** Bit 63 forbids execution: EFER.NXE. False: the bit is reserved. Default true. */
  readonly nx?: boolean;
  /** Bits of a physical address; those above are reserved. Default 52, the most there can be. */
  readonly physicalBits?: number;
}

/** Registers that say how a processor walks: those of {@link Introspector.registers}, or of an event. */
export interface PagingRegisters {
  readonly cr0: bigint;
  readonly cr4: bigint;
  readonly msr_efer: bigint;
}

const CR0_PG = 1n << 31n;
const CR4_PSE = 1n << 4n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const EFER_NXE = 1n << 11n;

/** How a processor with these registers walks. */
export function pagingOf({ cr0, cr4, msr_efer }: PagingRegisters): Paging {
  return { mode: modeOf(cr0, cr4, msr_efer), pse: (cr4 & CR4_PSE) !== 0n, nx: (msr_efer & EFER_NXE) !== 0n };
}

function modeOf(cr0: bigint, cr4: bigint, efer: bigint): PagingMode {
  if ((cr0 & CR0_PG) === 0n) return 'none';
  if ((cr4 & CR4_PAE) === 0n) return '32-bit';
  if ((efer & EFER_LMA) === 0n) return 'pae';
  return (cr4 & CR4_LA57) !== 0n ? '5-level' : '4-level';
}

/** One entry that a walk read. */
export interface WalkStep {
  /** 5: PML5E, 4: PML4E, 3: PDPTE, 2: PDE, 1: PTE. */
  readonly level: number;
  /** Guest-physical address of the entry. */
  readonly address: number;
  readonly value: bigint;
}

/** The address is mapped. */
export interface Mapped {
  readonly mapped: true;
  /** Guest-physical address. There need not be memory there. */
  readonly address: number;
  /** Bytes of the page: 4096, 2 MiB, 4 MiB or 1 GiB. */
  readonly pageSize: number;
  /** What all levels together allow. */
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
  /** Bits of the entry that maps the page. */
  readonly accessed: boolean;
  readonly dirty: boolean;
  readonly global: boolean;
  readonly steps: readonly WalkStep[];
}

/** Why an address is not mapped. */
export type NotMappedReason =
  /** It is no address in this mode. */
  | 'not-canonical'
  /** An entry is not present. */
  | 'not-present'
  /** An entry has bits set that must not be. */
  | 'reserved-bits'
  /** A table lies where the guest has no memory. */
  | 'no-table';

/** The address is not mapped. */
export interface NotMapped {
  readonly mapped: false;
  readonly reason: NotMappedReason;
  /** Of the entry, or of the table; 0: the walk did not begin. */
  readonly level: number;
  readonly steps: readonly WalkStep[];
}

export type Walk = Mapped | NotMapped;

/** One level of tables. */
interface Level {
  readonly level: number;
  /** Address bits below those that this level takes. */
  readonly shift: number;
  /** Entries in a table. */
  readonly entries: number;
  /** Whether an entry can map a page by itself. */
  readonly large: boolean;
}

interface Format {
  readonly levels: readonly Level[];
  readonly wide: boolean;
  /** Page numbers that are addresses: from, and up to but not including. */
  readonly from: number;
  readonly to: number;
}

const PTE: Level = { level: 1, shift: 12, entries: 512, large: false };
const PDE: Level = { level: 2, shift: 21, entries: 512, large: true };
const PDPTE: Level = { level: 3, shift: 30, entries: 512, large: true };
const PML4E: Level = { level: 4, shift: 39, entries: 512, large: false };
const PML5E: Level = { level: 5, shift: 48, entries: 512, large: false };

const FORMATS: Readonly<Record<Exclude<PagingMode, 'none'>, Format>> = {
  '32-bit': {
    levels: [
      { level: 2, shift: 22, entries: 1024, large: true },
      { level: 1, shift: 12, entries: 1024, large: false },
    ],
    wide: false,
    from: 0,
    to: 2 ** 20,
  },
  pae: { levels: [{ level: 3, shift: 30, entries: 4, large: false }, PDE, PTE], wide: true, from: 0, to: 2 ** 20 },
  '4-level': { levels: [PML4E, PDPTE, PDE, PTE], wide: true, from: -(2 ** 35), to: 2 ** 35 },
  '5-level': { levels: [PML5E, PML4E, PDPTE, PDE, PTE], wide: true, from: -(2 ** 44), to: 2 ** 44 },
};

/** Refuses what is no way to walk. */
export function checkPaging({ mode, physicalBits = 52 }: Paging): void {
  if (mode !== 'none' && !Object.hasOwn(FORMATS, mode)) {
    throw new TypeError(`paging.mode must be none, ${Object.keys(FORMATS).join(', ')}, not ${String(mode)}`);
  }
  if (Number.isInteger(physicalBits) && physicalBits >= 32 && physicalBits <= 52) return;
  throw new RangeError(`paging.physicalBits must be from 32 to 52, not ${physicalBits}`);
}

const P = 1 << 0;
const RW = 1 << 1;
const US = 1 << 2;
const A = 1 << 5;
const D = 1 << 6;
const PS = 1 << 7;
const G = 1 << 8;
/** Bit 63, in the upper half of an entry. */
const XD = 0x8000_0000;

/** Frame of the topmost table in CR3, and where in the frame it begins. */
function rootOf(mode: PagingMode, cr3: bigint): { readonly frame: number; readonly offset: number } {
  const frame = Number((cr3 >> 12n) & 0xff_ffff_ffffn);
  if (mode === 'pae') return { frame: frame % 2 ** 20, offset: Number(cr3 & 0xfe0n) };
  return mode === '32-bit' ? { frame: frame % 2 ** 20, offset: 0 } : { frame, offset: 0 };
}

/**
 * Walks the tables for one page.
 *
 * @param page the page's number (its address / 4096), signed as addresses are
 * @param offset of the byte in the page
 */
export function walk(memory: MemorySource, paging: Paging, cr3: bigint, page: number, offset: number): Walk {
  const { mode } = paging;
  if (mode === 'none') return identity(page, offset);
  const format = FORMATS[mode];
  if (!(page >= format.from && page < format.to)) {
    return { mapped: false, reason: 'not-canonical', level: 0, steps: [] };
  }
  const unsigned = page < 0 ? page + 2 ** 52 : page;
  const steps: WalkStep[] = [];
  const end = (reason: NotMappedReason, level: number): NotMapped => ({ mapped: false, reason, level, steps });
  let { frame, offset: tableAt } = rootOf(mode, cr3);
  let writable = true;
  let user = true;
  let executable = true;
  for (const { level, shift, entries, large } of format.levels) {
    const table = memory.page(frame)?.words;
    if (!table) return end('no-table', level);
    const index = Math.floor(unsigned / 2 ** (shift - PAGE_BITS)) % entries;
    const at = tableAt + index * (format.wide ? 8 : 4);
    readEntry(table, at >> 2, format.wide);
    const lo = entryLow;
    const hi = entryHigh;
    steps.push({ level, address: frame * 4096 + at, value: BigInt(hi) * 0x1_0000_0000n + BigInt(lo) });
    if ((lo & P) === 0) return end('not-present', level);
    const leaf = level === 1 || (large && (lo & PS) !== 0 && (format.wide || paging.pse !== false));
    if (isReserved(lo, hi, mode, level, leaf, paging)) return end('reserved-bits', level);
    // the four PDPTEs of PAE mode have none of these bits
    if (!(mode === 'pae' && level === 3)) {
      writable &&= (lo & RW) !== 0;
      user &&= (lo & US) !== 0;
      if (format.wide) executable &&= (hi & XD) === 0;
    }
    frame = (hi & 0xf_ffff) * 2 ** 20 + (lo >>> 12);
    tableAt = 0;
    if (!leaf) continue;
    const pageSize = 2 ** shift;
    return {
      mapped: true,
      address: leafAddress(lo, frame, level, format.wide, pageSize, unsigned) + offset,
      pageSize,
      writable,
      user,
      executable,
      accessed: (lo & A) !== 0,
      dirty: (lo & D) !== 0,
      global: (lo & G) !== 0,
      steps,
    };
  }
  throw new Error('unreachable: the last level always maps');
}

function identity(page: number, offset: number): Walk {
  if (!(page >= 0 && page < 2 ** 40)) return { mapped: false, reason: 'not-canonical', level: 0, steps: [] };
  return {
    mapped: true,
    address: page * 4096 + offset,
    pageSize: 4096,
    writable: true,
    user: true,
    executable: true,
    accessed: false,
    dirty: false,
    global: false,
    steps: [],
  };
}

/** The entry that {@link readEntry} read: its lower and its upper half. */
let entryLow = 0;
let entryHigh = 0;

/** The guest may write the entry between our two loads; what we have must have been there at one time. */
function readEntry(table: Uint32Array, at: number, wide: boolean): void {
  entryLow = table[at] as number;
  entryHigh = 0;
  if (!wide) return;
  for (let tries = 0; tries < 8; tries++) {
    entryHigh = table[at + 1] as number;
    const again = table[at] as number;
    if (again === entryLow) return;
    entryLow = again;
  }
}

/** Physical address of the 4096 bytes that are looked for, in the page that an entry maps. */
function leafAddress(
  lo: number,
  frame: number,
  level: number,
  wide: boolean,
  pageSize: number,
  unsigned: number,
): number {
  if (level === 1) return frame * 4096;
  const within = (unsigned % (pageSize / 4096)) * 4096;
  // PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39 of the address
  if (!wide) return ((lo >>> 13) & 0xff) * 2 ** 32 + (lo >>> 22) * 2 ** 22 + within;
  return Math.floor((frame * 4096) / pageSize) * pageSize + within;
}

function isReserved(lo: number, hi: number, mode: PagingMode, level: number, leaf: boolean, paging: Paging): boolean {
  const { nx = true, physicalBits = 52 } = paging;
  if (mode === '32-bit') {
    if (!leaf || level === 1) return false;
    const most = Math.min(40, physicalBits) - 32;
    return ((lo >>> 13) & 0xff) >>> Math.max(0, most) !== 0 || (lo & (1 << 21)) !== 0;
  }
  const above = physicalBits >= 52 ? 0 : (0xf_ffff << (physicalBits - 32)) & 0xf_ffff;
  if ((hi & above) !== 0) return true;
  if (!nx && (hi & XD) !== 0) return true;
  if (mode === 'pae') {
    if ((hi & 0x7ff0_0000) !== 0) return true;
    if (level === 3) return (lo & 0x1e6) !== 0 || (hi & XD) !== 0;
  }
  if (level === 1) return false;
  if (!leaf) return level >= 4 && (lo & PS) !== 0;
  // between the page's PAT bit and its address
  return (lo & (level === 2 ? 0x001f_e000 : 0x3fff_e000)) !== 0;
}
