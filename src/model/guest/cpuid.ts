/** CPUID: what the model's processor says of itself, and Xen of itself. */

import { releaseIndex } from '../../abi/release.js';
import type { Host } from '../domain.js';
import type { Vcpu } from '../vcpu.js';
import { EXIT_REASON_CPUID, monitorCpuid, monitorVmexit } from '../vm_event/traps.js';
import { type Attempt, GuestResult, type Instruction } from './instruction.js';

const LENGTH = 2;
/** Xen's own leaves (`arch-x86/cpuid.h`). */
const XEN_LEAVES = 0x4000_0000;
const LAST_BASIC_LEAF = 0xd;
const LAST_EXTENDED_LEAF = 0x8000_0008;
const FEATURE_HYPERVISOR = 0x8000_0000;
/** Leaf 1: SSE3, CMPXCHG16B, PCID, SSE4, x2APIC, XSAVE, OSXSAVE, AVX. */
const ECX_1 = 0x1c3a_2001 | FEATURE_HYPERVISOR;
/** Leaf 1: what every 64-bit processor has. */
const EDX_1 = 0x1783_fbff;
/** Leaf 7: FSGSBASE, SMEP, SMAP. */
const EBX_7 = 0x0010_0081;
/** Leaf 0x80000001: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode. */
const EDX_EXTENDED = 0x2c10_0800;

type Leaf = readonly [eax: number, ebx: number, ecx: number, edx: number];

/**
 * CPUID. The registers hold the answer even when an agent is told; then going past the instruction is left to the agent.
 * If it is done again, it asks for the leaf that the registers name by then.
 *
 * @returns bytes: eax, ebx, ecx and edx
 */
export function cpuid(leaf: number, subleaf: number): Instruction {
  return {
    begin({ registers }): void {
      registers.set('rax', BigInt(leaf));
      registers.set('rcx', BigInt(subleaf));
    },
    attempt(vcpu): Attempt {
      const { registers } = vcpu;
      if (monitorVmexit(vcpu, EXIT_REASON_CPUID, 0)) return 'again';
      const asked = Number(registers.get('rax') & 0xffff_ffffn);
      const askedSubleaf = Number(registers.get('rcx') & 0xffff_ffffn);
      const answer = leafOf(vcpu.domain.host, vcpu.id, asked, askedSubleaf);
      (['rax', 'rbx', 'rcx', 'rdx'] as const).forEach((name, i) => {
        registers.set(name, BigInt((answer[i] ?? 0) >>> 0));
      });
      if (monitorCpuid(vcpu, LENGTH, asked, askedSubleaf)) return 'again';
      registers.skip(LENGTH);
      return result(vcpu);
    },
  };
}

/** What the four registers hold. */
function result({ registers }: Vcpu): GuestResult {
  const words = (['rax', 'rbx', 'rcx', 'rdx'] as const).map((name) => Number(registers.get(name) & 0xffff_ffffn));
  return new GuestResult(null, true, new Uint8Array(new Uint32Array(words).buffer));
}

export function leafOf(host: Host, vcpu: number, leaf: number, subleaf: number): Leaf {
  const { cpu, release } = host;
  switch (leaf) {
    case 0:
      return cpu.vendor === 'intel'
        ? named(LAST_BASIC_LEAF, 'GenuineIntel', [0, 2, 1])
        : named(LAST_BASIC_LEAF, 'AuthenticAMD', [0, 2, 1]);
    case 1:
      return [cpu.vendor === 'intel' ? 0x0003_06c3 : 0x0083_0f10, vcpu << 25, ECX_1, EDX_1];
    case 7:
      return subleaf === 0 ? [0, EBX_7, 0, 0] : [0, 0, 0, 0];
    case 0xd:
      return subleaf === 0 ? [7, 832, 832, 0] : [0, 0, 0, 0];
    case XEN_LEAVES:
      return named(XEN_LEAVES + 5, 'XenVMMXenVMM', [0, 1, 2]);
    case XEN_LEAVES + 1:
      return [(4 << 16) | (14 + releaseIndex(release)), 0, 0, 0];
    case XEN_LEAVES + 2:
      // one page for hypercalls; the MSR that places it
      return [1, XEN_LEAVES, 0, 0];
    case 0x8000_0000:
      return [LAST_EXTENDED_LEAF, 0, 0, 0];
    case 0x8000_0001:
      return [0, 0, 1, EDX_EXTENDED];
    case 0x8000_0008:
      return [cpu.maxphysaddr | (48 << 8), 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}

/** A leaf that spells twelve letters; `order`: which word of them ebx, ecx and edx hold. */
function named(eax: number, letters: string, order: readonly [number, number, number]): Leaf {
  const view = new DataView(new TextEncoder().encode(letters).buffer);
  const word = (at: number): number => view.getUint32(at * 4, true);
  return [eax, word(order[0]), word(order[1]), word(order[2])];
}
