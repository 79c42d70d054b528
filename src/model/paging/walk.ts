/**
 * The walk of a guest's page tables, as the processor makes it: 32-bit, PAE, 4-level and 5-level paging (Intel SDM vol. 3,
 * "Paging"; Xen's `mm/guest_walk.c`). Tables are guest memory, so each step of the walk can itself run into a restriction.
 */

import { EXECUTE, WRITE } from '../access.js';
import { type AccessKind, accessPage, emulatorPage } from '../ept.js';
import { type Attempt, type GuestResult, raised, VECTOR_GP, VECTOR_PF } from '../guest/instruction.js';
import {
  EFER_LMA,
  EFER_NX,
  type Registers,
  X86_CR0_WP,
  X86_CR4_LA57,
  X86_CR4_PAE,
  X86_CR4_PSE,
  X86_CR4_SMAP,
  X86_CR4_SMEP,
  X86_EFLAGS_AC,
} from '../registers.js';
import type { Vcpu } from '../vcpu.js';

/** Page-table entry bits. */
export const PAGE_PRESENT = 1 << 0;
export const PAGE_RW = 1 << 1;
export const PAGE_USER = 1 << 2;
export const PAGE_ACCESSED = 1 << 5;
export const PAGE_DIRTY = 1 << 6;
/** "Page size": the entry maps a large page. */
export const PAGE_PSE = 1 << 7;

/** Bits of a page fault's error code. */
export const PFEC_PRESENT = 1 << 0;
export const PFEC_WRITE = 1 << 1;
export const PFEC_USER = 1 << 2;
export const PFEC_RESERVED = 1 << 3;
export const PFEC_INSN = 1 << 4;

const TWO_20 = 0x10_0000;
const NX_HIGH = 0x8000_0000;

/** How a linear address and its tables are laid out. */
export interface PagingMode {
  readonly levels: 2 | 3 | 4 | 5;
  /** Bytes of an entry. */
  readonly entry: 4 | 8;
}

const MODES = {
  2: { levels: 2, entry: 4 },
  3: { levels: 3, entry: 8 },
  4: { levels: 4, entry: 8 },
  5: { levels: 5, entry: 8 },
} as const satisfies Record<number, PagingMode>;

/** A guest-physical address, or why there is none. */
export type Translation = number | Attempt;

/** A page that holds tables, or why it cannot be had. */
type TablePage = Uint8Array | 'unmapped' | Attempt;
type TableAccess = (gpa: number, write: boolean) => TablePage;

/** One table entry on the way, in two halves. */
interface Step {
  readonly gpa: number;
  readonly low: number;
}

export function pagingMode(registers: Registers): PagingMode {
  const cr4 = registers.get('cr4');
  if (registers.get('msr_efer') & EFER_LMA) return cr4 & X86_CR4_LA57 ? MODES[5] : MODES[4];
  return cr4 & X86_CR4_PAE ? MODES[3] : MODES[2];
}

/** Translates as the processor does: its walk is subject to the current view, and sets accessed and dirty bits. */
export function translate(vcpu: Vcpu, gla: number | bigint, kind: AccessKind): Translation {
  if (!vcpu.registers.paging) return physical(gla);
  return walk(vcpu, gla, kind, (gpa, write) => {
    const access = accessPage(vcpu, { gpa, kind: write ? WRITE : 1, gla, inGpt: true });
    if (typeof access === 'string') return access;
    if ('emulated' in access) return 'unmapped'; // page tables in a device's registers
    return 'page' in access ? access.page : raised(access.exception);
  });
}

/** Translates as Xen's emulator does: through the host's p2m, whatever the restrictions. */
export function translateInXen(vcpu: Vcpu, gla: number | bigint, kind: AccessKind): Translation {
  if (!vcpu.registers.paging) return physical(gla);
  return walk(vcpu, gla, kind, (gpa, write) => emulatorPage(vcpu, gpa, write) ?? 'unmapped');
}

/** Without paging the linear address is the physical one. */
function physical(gla: number | bigint): number {
  const gpa = Number(gla);
  if (!Number.isSafeInteger(gpa)) throw new RangeError(`paging is off, and ${gla} is beyond any physical address`);
  return gpa;
}

function walk(vcpu: Vcpu, gla: number | bigint, kind: AccessKind, table: TableAccess): Translation {
  const { registers } = vcpu;
  const mode = pagingMode(registers);
  const long = mode.levels >= 4;
  const high = long ? Math.floor(Number(BigInt(gla) >> 32n)) >>> 0 : 0;
  const low = Number(BigInt.asUintN(32, BigInt(gla)));
  if (long && !isCanonical(high, mode.levels)) return raised(VECTOR_GP);
  const vpn = high * TWO_20 + (low >>> 12);
  const fault = (code: number): GuestResult => pageFault(vcpu, gla, kind, code);

  const bits = mode.entry === 4 ? 10 : 9;
  const steps: Step[] = [];
  let rights = PAGE_RW | PAGE_USER;
  let executable = true;
  let base = tableBase(registers, mode);
  for (let level = mode.levels; ; level--) {
    const index = Math.floor(vpn / 2 ** (bits * (level - 1))) % 2 ** bits;
    const gpa = base + index * mode.entry;
    const page = table(gpa, false);
    if (page === 'unmapped') return fault(0);
    if (!(page instanceof Uint8Array)) return page;
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const entry = view.getUint32(gpa % 4096, true);
    const upper = mode.entry === 8 ? view.getUint32((gpa % 4096) + 4, true) : 0;
    if (!(entry & PAGE_PRESENT)) return fault(0);
    // the four entries of a PAE root have no rights and no accessed bit
    const root = mode.levels === 3 && level === 3;
    const large = !root && isLarge(registers, mode, level, entry);
    if (!root) {
      if (hasReserved(vcpu, mode, level, large, entry, upper)) return fault(PFEC_PRESENT | PFEC_RESERVED);
      rights &= entry;
      if (upper & NX_HIGH) executable = false;
      steps.push({ gpa, low: entry });
    }
    if (level > 1 && !large) {
      base = frameOf(entry, upper) * 4096;
      continue;
    }
    if (!permits(registers, rights, executable, kind)) return fault(PFEC_PRESENT);
    const marked = mark(steps, kind, table);
    if (marked !== null) return marked;
    return leafFrame(mode, level, entry, upper, vpn) * 4096 + (low & 0xfff);
  }
}

function isCanonical(high: number, levels: number): boolean {
  const sign = levels === 5 ? high >>> 24 : high >>> 15;
  return sign === 0 || sign === (levels === 5 ? 0xff : 0x1_ffff);
}

function tableBase(registers: Registers, mode: PagingMode): number {
  const cr3 = Number(registers.get('cr3') & 0x000f_ffff_ffff_ffffn);
  return mode.levels === 3 ? cr3 - (cr3 % 32) : cr3 - (cr3 % 4096);
}

function frameOf(entry: number, upper: number): number {
  return (upper & 0xf_ffff) * TWO_20 + (entry >>> 12);
}

function isLarge(registers: Registers, { levels }: PagingMode, level: number, entry: number): boolean {
  if (!(entry & PAGE_PSE)) return false;
  if (levels === 2) return level === 2 && (registers.get('cr4') & X86_CR4_PSE) !== 0n;
  return level === 2 || level === 3;
}

function leafFrame({ entry: size }: PagingMode, level: number, entry: number, upper: number, vpn: number): number {
  if (level === 1) return frameOf(entry, upper);
  // a 4 MiB page keeps bits 32 to 39 of its address in bits 13 to 20
  if (size === 4) return ((entry >>> 13) & 0xff) * TWO_20 + (entry >>> 22) * 0x400 + (vpn % 0x400);
  const frames = level === 2 ? 0x200 : 0x4_0000;
  const first = frameOf(entry, upper);
  return first - (first % frames) + (vpn % frames);
}

function hasReserved(
  vcpu: Vcpu,
  { entry: size, levels }: PagingMode,
  level: number,
  large: boolean,
  entry: number,
  upper: number,
): boolean {
  if (size === 4) return large && (entry & (1 << 21)) !== 0;
  const { maxphysaddr } = vcpu.domain.host.cpu;
  const addressBits = upper & 0xf_ffff;
  if (Math.floor(addressBits / 2 ** (maxphysaddr - 32)) !== 0) return true;
  if (upper & NX_HIGH && !(vcpu.registers.get('msr_efer') & EFER_NX)) return true;
  if (levels === 3 && upper & 0x7ff0_0000) return true;
  if (level >= 4 && entry & PAGE_PSE) return true;
  return large && (entry & (level === 2 ? 0x1f_e000 : 0x3fff_e000)) !== 0;
}

function permits(registers: Registers, rights: number, executable: boolean, kind: AccessKind): boolean {
  const user = registers.cpl === 3;
  const userPage = (rights & PAGE_USER) !== 0;
  if (user && !userPage) return false;
  if (kind === EXECUTE) {
    return executable && (user || !userPage || (registers.get('cr4') & X86_CR4_SMEP) === 0n);
  }
  if (!user && userPage && registers.get('cr4') & X86_CR4_SMAP && !(registers.get('rflags') & X86_EFLAGS_AC)) {
    return false;
  }
  if (kind !== WRITE || rights & PAGE_RW) return true;
  return !user && (registers.get('cr0') & X86_CR0_WP) === 0n;
}

/** Sets the accessed bits on the way, and the dirty bit of what is written. Null: done. */
function mark(steps: readonly Step[], kind: AccessKind, table: TableAccess): Attempt | null {
  const last = steps.length - 1;
  for (const [i, { gpa, low }] of steps.entries()) {
    const wanted = PAGE_ACCESSED | (i === last && kind === WRITE ? PAGE_DIRTY : 0);
    if ((low & wanted) === wanted) continue;
    const page = table(gpa, true);
    if (page === 'unmapped') continue;
    if (!(page instanceof Uint8Array)) return page;
    page[gpa % 4096] = (page[gpa % 4096] ?? 0) | wanted;
  }
  return null;
}

function pageFault(vcpu: Vcpu, gla: number | bigint, kind: AccessKind, code: number): GuestResult {
  const { registers } = vcpu;
  const noExecute = (registers.get('msr_efer') & EFER_NX) !== 0n && (registers.get('cr4') & X86_CR4_PAE) !== 0n;
  const tellsFetch = noExecute || (registers.get('cr4') & X86_CR4_SMEP) !== 0n;
  registers.set('cr2', BigInt.asUintN(64, BigInt(gla)));
  return raised(
    VECTOR_PF,
    code |
      (kind === WRITE ? PFEC_WRITE : 0) |
      (registers.cpl === 3 ? PFEC_USER : 0) |
      (kind === EXECUTE && tellsFetch ? PFEC_INSN : 0),
  );
}
