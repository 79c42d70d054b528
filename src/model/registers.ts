/** A vCPU's registers by name: its `struct hvm_hw_cpu`, and what that has no room for. */

import { hvm_hw_cpu } from '../abi/hvm/save.js';

const LAYOUT = hvm_hw_cpu.at;

/** Fields of `struct hvm_hw_cpu`. */
export type RegisterName = Exclude<keyof typeof LAYOUT, 'fpu_regs' | 'pad0'>;

/** CR0 of a processor that was started: protection enabled, extension type. */
export const X86_CR0_PE = 1n << 0n;
export const X86_CR0_ET = 1n << 4n;
export const X86_CR0_WP = 1n << 16n;
export const X86_CR0_NW = 1n << 29n;
export const X86_CR0_CD = 1n << 30n;
export const X86_CR0_PG = 1n << 31n;
export const X86_CR4_PSE = 1n << 4n;
export const X86_CR4_PAE = 1n << 5n;
export const X86_CR4_PGE = 1n << 7n;
export const X86_CR4_LA57 = 1n << 12n;
export const X86_CR4_PCIDE = 1n << 17n;
export const X86_CR4_SMEP = 1n << 20n;
export const X86_CR4_SMAP = 1n << 21n;
export const EFER_LME = 1n << 8n;
export const EFER_LMA = 1n << 10n;
export const EFER_NX = 1n << 11n;
export const X86_EFLAGS_AC = 1n << 18n;

export class Registers {
  /** `struct hvm_hw_cpu`. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** The extended control register 0, which the structure has not: x87 state is always on. */
  xcr0 = 1n;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get(name: RegisterName): bigint {
    const at = LAYOUT[name];
    return hvm_hw_cpu.fields[name][1] === 8
      ? this.#view.getBigUint64(at, true)
      : BigInt(this.#view.getUint32(at, true));
  }

  set(name: RegisterName, value: bigint): void {
    const at = LAYOUT[name];
    if (hvm_hw_cpu.fields[name][1] === 8) this.#view.setBigUint64(at, value, true);
    else this.#view.setUint32(at, Number(value & 0xffff_ffffn), true);
  }

  /** Whether linear addresses go through page tables. Reads four bytes: every access of the guest asks. */
  get paging(): boolean {
    return (this.#view.getUint32(LAYOUT.cr0, true) & 0x8000_0000) !== 0;
  }

  /** The current privilege level: that of the stack segment. */
  get cpl(): number {
    return (this.#view.getUint32(LAYOUT.ss_arbytes, true) >> 5) & 3;
  }

  /** Goes `length` bytes on from the current instruction. */
  skip(length: number): void {
    this.set('rip', BigInt.asUintN(64, this.get('rip') + BigInt(length)));
  }
}
