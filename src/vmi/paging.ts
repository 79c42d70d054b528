/** How a processor of x86 walks page tables, and what a walk says (Intel SDM volume 3, "Paging"). */

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

const MODES: readonly PagingMode[] = ['none', '32-bit', 'pae', '4-level', '5-level'];

/** Refuses what is no way to walk. */
export function checkPaging({ mode, physicalBits = 52 }: Paging): void {
  if (!MODES.includes(mode)) throw new TypeError(`paging.mode must be one of ${MODES.join(', ')}, not ${String(mode)}`);
  if (Number.isInteger(physicalBits) && physicalBits >= 32 && physicalBits <= 52) return;
  throw new RangeError(`paging.physicalBits must be from 32 to 52, not ${physicalBits}`);
}
