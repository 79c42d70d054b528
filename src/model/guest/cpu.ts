/** A processor's instructions by name. What becomes of one is up to the kind of processor: done at once, or in a script. */

import { type ControlRegister, movToCr, rdmsr, wrmsr, xsetbv } from './control.js';
import { cpuid } from './cpuid.js';
import { debugException, int3, ud2 } from './exceptions.js';
import type { Instruction } from './instruction.js';
import { type AccessOptions, MemoryAccess } from './memory.js';
import {
  type DescriptorRegister,
  type DescriptorTable,
  hlt,
  loadDescriptor,
  nop,
  portIn,
  portOut,
  storeDescriptor,
  vmfunc,
} from './system.js';

/** `Result`: what a method gives. */
export abstract class Cpu<Result> {
  /** Has one instruction carried out. */
  protected abstract issue(instruction: Instruction): Result;

  /**
   * A load.
   *
   * @param address linear; while paging is off that is the guest-physical one
   * @param length bytes, 1 or more; it may cross pages
   */
  read(address: number | bigint, length: number, options: AccessOptions = {}): Result {
    return this.issue(MemoryAccess.load(address, length, options));
  }

  /** A store. Nothing is written when one of its pages refuses it. */
  write(address: number | bigint, bytes: Uint8Array, options: AccessOptions = {}): Result {
    return this.issue(MemoryAccess.store(address, bytes, options));
  }

  /**
   * Goes to `address`, fetches one instruction of `length` bytes and goes past it. What it does itself is not modelled,
   * but for INT3 (0xcc).
   */
  execute(address: number | bigint, length = 1, options: AccessOptions = {}): Result {
    return this.issue(MemoryAccess.fetch(address, length, options));
  }

  /**
   * The VMFUNC instruction.
   *
   * @param leaf 0 is EPTP switching; Xen enables no other
   * @param index the view to enter
   * @returns exception 6 (#UD) when VMFUNC is not enabled on the vCPU (`xc_altp2m_set_vcpu_enable_notify` does that),
   *   the leaf is not 0, or the view does not exist or is hidden. Otherwise the vCPU is in the view. A view that holds
   *   nothing yet raises #VE on the first access in it, when the vCPU has a free #VE page.
   *
   * Source: Intel SDM vol. 3, "VM functions"; Xen's `vmx_vcpu_update_vmfunc_ve` and its VMFUNC exit.
   */
  vmfunc(leaf: number, index: number): Result {
    return this.issue(vmfunc(leaf, index));
  }

  /** An instruction that cannot be decoded (ud2). */
  undefinedInstruction(): Result {
    return this.issue(ud2);
  }

  /** One that does nothing. */
  nop(): Result {
    return this.issue(nop);
  }

  /** HLT with interrupts off: the vCPU goes down for good, and with the last one the domain powers off. */
  halt(): Result {
    return this.issue(hlt);
  }

  /** MOV to CR0, CR3 or CR4. Exception 13 (#GP) when the register cannot have that value. */
  writeCr(index: ControlRegister, value: bigint): Result {
    return this.issue(movToCr(index, value));
  }

  /** XSETBV: writes XCR0 (index 0). Exception 13 (#GP) when it cannot have that value. */
  xsetbv(index: number, value: bigint): Result {
    return this.issue(xsetbv(index, value));
  }

  /** WRMSR. Exception 13 (#GP) when there is no such MSR, or it cannot have that value. */
  wrmsr(msr: number, value: bigint): Result {
    return this.issue(wrmsr(msr, value));
  }

  /** RDMSR: `value` is the MSR's. */
  rdmsr(msr: number): Result {
    return this.issue(rdmsr(msr));
  }

  /** CPUID: `bytes` are eax, ebx, ecx and edx. */
  cpuid(leaf: number, subleaf = 0): Result {
    return this.issue(cpuid(leaf, subleaf));
  }

  /** INT3 at the current instruction pointer: exception 3 (#BP), unless an agent watches breakpoints. */
  int3(): Result {
    return this.issue(int3);
  }

  /**
   * A debug exception, as one that the guest's debug registers bring about.
   *
   * @param pending bits 0 to 3: breakpoints that were met; 14: a single step
   */
  debugException(pending = 1n << 14n): Result {
    return this.issue(debugException(pending));
  }

  /** SGDT, SIDT, SLDT or STR: `bytes` are the base (8) and the limit (4). */
  storeDescriptor(register: DescriptorRegister): Result {
    return this.issue(storeDescriptor(register));
  }

  /** LGDT, LIDT, LLDT or LTR. */
  loadDescriptor(register: DescriptorRegister, table: DescriptorTable): Result {
    return this.issue(loadDescriptor(register, table));
  }

  /** IN: no device answers, and `bytes` are ones. `length`: 1, 2 or 4. */
  portIn(port: number, length: number): Result {
    return this.issue(portIn(port, length));
  }

  /** OUT of 1, 2 or 4 bytes, to no device. */
  portOut(port: number, length: number): Result {
    return this.issue(portOut(port, length));
  }
}
