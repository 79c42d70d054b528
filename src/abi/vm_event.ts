/**
 * `vm_event.h`: the events that Xen puts into the ring it shares with a monitoring agent, and the agent's answers.
 *
 * Requests and answers have the same layout, `vm_event_st`. Its first 56 bytes and the order of the general registers
 * have never changed since ABI 3; what lies behind moved with the ABI number, which every entry carries.
 */

import { type Field, type Struct, struct, versionedStruct } from './layout.js';
import { type Release, releaseAbi } from './release.js';

/** `flags` of requests and answers. */
export const VM_EVENT_FLAG_VCPU_PAUSED = 1 << 0;
export const VM_EVENT_FLAG_FOREIGN = 1 << 1;
export const VM_EVENT_FLAG_EMULATE = 1 << 2;
export const VM_EVENT_FLAG_EMULATE_NOWRITE = 1 << 3;
export const VM_EVENT_FLAG_TOGGLE_SINGLESTEP = 1 << 4;
export const VM_EVENT_FLAG_SET_EMUL_READ_DATA = 1 << 5;
export const VM_EVENT_FLAG_DENY = 1 << 6;
export const VM_EVENT_FLAG_ALTERNATE_P2M = 1 << 7;
export const VM_EVENT_FLAG_SET_REGISTERS = 1 << 8;
export const VM_EVENT_FLAG_SET_EMUL_INSN_DATA = 1 << 9;
export const VM_EVENT_FLAG_GET_NEXT_INTERRUPT = 1 << 10;
/** Since 4.14. */
export const VM_EVENT_FLAG_FAST_SINGLESTEP = 1 << 11;
/** Since 4.15. */
export const VM_EVENT_FLAG_NESTED_P2M = 1 << 12;
/** Since 4.15. */
export const VM_EVENT_FLAG_RESET_VMTRACE = 1 << 13;
/** Since 4.17. */
export const VM_EVENT_FLAG_RESET_FORK_STATE = 1 << 14;
/** Since 4.17. */
export const VM_EVENT_FLAG_RESET_FORK_MEMORY = 1 << 15;

export const VM_EVENT_REASON_UNKNOWN = 0;
export const VM_EVENT_REASON_MEM_ACCESS = 1;
export const VM_EVENT_REASON_MEM_SHARING = 2;
export const VM_EVENT_REASON_MEM_PAGING = 3;
export const VM_EVENT_REASON_WRITE_CTRLREG = 4;
export const VM_EVENT_REASON_MOV_TO_MSR = 5;
export const VM_EVENT_REASON_SOFTWARE_BREAKPOINT = 6;
export const VM_EVENT_REASON_SINGLESTEP = 7;
export const VM_EVENT_REASON_GUEST_REQUEST = 8;
export const VM_EVENT_REASON_DEBUG_EXCEPTION = 9;
export const VM_EVENT_REASON_CPUID = 10;
/** ARM only. */
export const VM_EVENT_REASON_PRIVILEGED_CALL = 11;
export const VM_EVENT_REASON_INTERRUPT = 12;
export const VM_EVENT_REASON_DESCRIPTOR_ACCESS = 13;
export const VM_EVENT_REASON_EMUL_UNIMPLEMENTED = 14;
/** Since 4.17. */
export const VM_EVENT_REASON_VMEXIT = 15;
/** Since 4.18. */
export const VM_EVENT_REASON_IO_INSTRUCTION = 16;

/** `u.write_ctrlreg.index`. */
export const VM_EVENT_X86_CR0 = 0;
export const VM_EVENT_X86_CR3 = 1;
export const VM_EVENT_X86_CR4 = 2;
export const VM_EVENT_X86_XCR0 = 3;

/** `u.mem_access.flags`: what was tried, and what is known of the address. */
export const MEM_ACCESS_R = 1 << 0;
export const MEM_ACCESS_W = 1 << 1;
export const MEM_ACCESS_X = 1 << 2;
/** `gla` holds an address. */
export const MEM_ACCESS_GLA_VALID = 1 << 3;
/** The access itself ran into the page. */
export const MEM_ACCESS_FAULT_WITH_GLA = 1 << 4;
/** The walk of the guest's page tables for the access ran into it. */
export const MEM_ACCESS_FAULT_IN_GPT = 1 << 5;

/** `u.desc_access.descriptor`. */
export const VM_EVENT_DESC_IDTR = 1;
export const VM_EVENT_DESC_GDTR = 2;
export const VM_EVENT_DESC_LDTR = 3;
export const VM_EVENT_DESC_TR = 4;

/** `u.mem_paging.flags`. */
export const MEM_PAGING_DROP_PAGE = 1 << 0;
export const MEM_PAGING_EVICT_FAIL = 1 << 1;

const H = 'vm_event.h';

/** Where `data` begins: the registers, or what the emulator is to read. */
const DATA = 56;

const head = {
  version: [0, 4],
  flags: [4, 4],
  reason: [8, 4],
  vcpu_id: [12, 4],
  altp2m_idx: [16, 2],
} as const satisfies Record<string, Field>;

const union = {
  'u.mem_paging.gfn': [24, 8],
  'u.mem_paging.p2mt': [32, 4],
  'u.mem_paging.flags': [36, 4],
  'u.mem_sharing.gfn': [24, 8],
  'u.mem_sharing.p2mt': [32, 4],
  'u.mem_access.gfn': [24, 8],
  'u.mem_access.offset': [32, 8],
  'u.mem_access.gla': [40, 8],
  'u.mem_access.flags': [48, 4],
  'u.write_ctrlreg.index': [24, 4],
  'u.write_ctrlreg.new_value': [32, 8],
  'u.write_ctrlreg.old_value': [40, 8],
  'u.mov_to_msr.msr': [24, 8],
  'u.mov_to_msr.new_value': [32, 8],
  'u.mov_to_msr.old_value': [40, 8],
  'u.desc_access.arch.vmx.instr_info': [24, 4],
  'u.desc_access.arch.vmx.exit_qualification': [32, 8],
  'u.desc_access.descriptor': [40, 1],
  'u.desc_access.is_write': [41, 1],
  'u.singlestep.gfn': [24, 8],
  'u.cpuid.insn_length': [24, 4],
  'u.cpuid.leaf': [28, 4],
  'u.cpuid.subleaf': [32, 4],
  'u.interrupt.x86.vector': [24, 4],
  'u.interrupt.x86.type': [28, 4],
  'u.interrupt.x86.error_code': [32, 4],
  'u.interrupt.x86.cr2': [40, 8],
} as const satisfies Record<string, Field>;

/** ABI 3 to 5: no pending_dbg. */
const debug3 = {
  'u.software_breakpoint.gfn': [24, 8],
  'u.software_breakpoint.insn_length': [32, 4],
  'u.software_breakpoint.type': [36, 1],
  'u.debug_exception.gfn': [24, 8],
  'u.debug_exception.insn_length': [32, 4],
  'u.debug_exception.type': [36, 1],
} as const satisfies Record<string, Field>;

const debug6 = {
  'u.software_breakpoint.gfn': [24, 8],
  'u.software_breakpoint.pending_dbg': [32, 8],
  'u.software_breakpoint.insn_length': [40, 4],
  'u.software_breakpoint.type': [44, 1],
  'u.debug_exception.gfn': [24, 8],
  'u.debug_exception.pending_dbg': [32, 8],
  'u.debug_exception.insn_length': [40, 4],
  'u.debug_exception.type': [44, 1],
  'u.fast_singlestep.p2midx': [24, 2],
} as const satisfies Record<string, Field>;

const vmexit = {
  'u.vmexit.arch.vmx.reason': [24, 8],
  'u.vmexit.arch.vmx.qualification': [32, 8],
} as const satisfies Record<string, Field>;

const io = {
  'u.io.bytes': [24, 4],
  'u.io.port': [28, 2],
  'u.io.in': [30, 1],
  'u.io.str': [31, 1],
} as const satisfies Record<string, Field>;

const st6 = { ...head, ...union, ...debug6, data: [DATA, 328] } as const satisfies Record<string, Field>;
const st7 = { ...head, ...union, ...debug6, data: [DATA, 344] } as const satisfies Record<string, Field>;
const st7io = { ...st7, ...vmexit, ...io };

/** A request or an answer in the ring. */
export const vm_event_st = versionedStruct('vm_event_st', H, [
  ['4.14', 384, st6],
  ['4.15', 400, st7],
  ['4.17', 400, { ...st7, ...vmexit }],
  ['4.18', 400, st7io],
]);

const general = {
  rax: [0, 8],
  rcx: [8, 8],
  rdx: [16, 8],
  rbx: [24, 8],
  rsp: [32, 8],
  rbp: [40, 8],
  rsi: [48, 8],
  rdi: [56, 8],
  r8: [64, 8],
  r9: [72, 8],
  r10: [80, 8],
  r11: [88, 8],
  r12: [96, 8],
  r13: [104, 8],
  r14: [112, 8],
  r15: [120, 8],
  rflags: [128, 8],
} as const satisfies Record<string, Field>;

const regs3 = {
  ...general,
  dr7: [136, 8],
  rip: [144, 8],
  cr0: [152, 8],
  cr2: [160, 8],
  cr3: [168, 8],
  cr4: [176, 8],
  sysenter_cs: [184, 8],
  sysenter_esp: [192, 8],
  sysenter_eip: [200, 8],
  msr_efer: [208, 8],
  msr_star: [216, 8],
  msr_lstar: [224, 8],
  fs_base: [232, 8],
  gs_base: [240, 8],
  cs_arbytes: [248, 4],
} as const satisfies Record<string, Field>;

const control = {
  ...general,
  dr6: [136, 8],
  dr7: [144, 8],
  rip: [152, 8],
  cr0: [160, 8],
  cr2: [168, 8],
  cr3: [176, 8],
  cr4: [184, 8],
  sysenter_cs: [192, 8],
  sysenter_esp: [200, 8],
  sysenter_eip: [208, 8],
  msr_efer: [216, 8],
  msr_star: [224, 8],
  msr_lstar: [232, 8],
} as const satisfies Record<string, Field>;

/** The segment registers' bases, limits and attributes, which lie together: 64 bytes. */
function segments<const At extends number>(at: At) {
  return {
    cs_base: [at, 4],
    ss_base: [at + 4, 4],
    ds_base: [at + 8, 4],
    es_base: [at + 12, 4],
    fs_base: [at + 16, 8],
    gs_base: [at + 24, 8],
    cs: [at + 32, 4],
    ss: [at + 36, 4],
    ds: [at + 40, 4],
    es: [at + 44, 4],
    fs: [at + 48, 4],
    gs: [at + 52, 4],
    shadow_gs: [at + 56, 8],
  } as const satisfies Record<string, Field>;
}

function selectors(at: number) {
  return {
    cs_sel: [at, 2],
    ss_sel: [at + 2, 2],
    ds_sel: [at + 4, 2],
    es_sel: [at + 6, 2],
    fs_sel: [at + 8, 2],
    gs_sel: [at + 10, 2],
  } as const satisfies Record<string, Field>;
}

const regs4 = { ...control, ...segments(240), ...selectors(304) };
const regs5 = { ...control, gdtr_base: [240, 8], ...segments(248), gdtr_limit: [312, 2], ...selectors(314) } as const;
const regs7 = {
  ...control,
  gdtr_base: [240, 8],
  npt_base: [248, 8],
  vmtrace_pos: [256, 8],
  ...segments(264),
  gdtr_limit: [328, 2],
  ...selectors(330),
} as const satisfies Record<string, Field>;

/**
 * A vCPU's registers, in `data` of a request and, with VM_EVENT_FLAG_SET_REGISTERS, of an answer. `cs` to `gs` are
 * `vm_event_x86_selector_reg`: the limit in bits 0-19, the attributes in bits 20-31.
 */
export const vm_event_regs_x86 = versionedStruct('vm_event_regs_x86', H, [
  ['4.14', 328, regs5],
  ['4.15', 344, regs7],
]);

/** What the emulator reads in the place of memory, in `data` of an answer with VM_EVENT_FLAG_SET_EMUL_READ_DATA. */
export const vm_event_emul_read_data = versionedStruct('vm_event_emul_read_data', H, [
  ['4.14', 328, { size: [0, 4], data: [4, 324] }],
  ['4.15', 344, { size: [0, 4], data: [4, 340] }],
]);

/** The instruction that is emulated, in `data` of an answer with VM_EVENT_FLAG_SET_EMUL_INSN_DATA: all 16 bytes count. */
export const vm_event_emul_insn_data = struct('vm_event_emul_insn_data', H, 16, { data: [0, 16] });

/**
 * The head of the ring page, as `io/ring.h` makes it; the entries follow at `ring`, as many as the largest power of two
 * that fits into the page: 8 in every ABI. `size` counts one entry. Xen is the front end: it produces requests; the
 * agent is the back end: it consumes them and produces answers in the same slots.
 */
export const vm_event_sring = versionedStruct('vm_event_sring', H, [
  ['4.14', 448, sring(384)],
  ['4.15', 464, sring(400)],
]);

function sring(entry: number) {
  return {
    req_prod: [0, 4],
    req_event: [4, 4],
    rsp_prod: [8, 4],
    rsp_event: [12, 4],
    pvt: [16, 4],
    ring: [64, entry],
  } as const satisfies Record<string, Field>;
}

/** Slots of the ring: free-running 32-bit counters index them modulo this. */
export const VM_EVENT_SLOTS = 8;

/** `VM_EVENT_INTERFACE_VERSION` of Xen 4.11 (3), 4.12, 4.13, 4.14 (6), and 4.15 and newer (7). */
export const VM_EVENT_ABIS = [3, 4, 5, 6, 7] as const;
export type VmEventAbi = (typeof VM_EVENT_ABIS)[number];

/** What one ABI number means: the layouts of an entry and of the registers in its `data`. */
export interface VmEventLayout {
  readonly abi: VmEventAbi;
  readonly event: Struct;
  readonly regs: Struct;
}

function layout(
  abi: VmEventAbi,
  size: number,
  event: Readonly<Record<string, Field>>,
  regs: Readonly<Record<string, Field>>,
): VmEventLayout {
  const bytes = size - DATA;
  return {
    abi,
    event: struct('vm_event_st', H, size, { ...event, data: [DATA, bytes] }),
    regs: struct('vm_event_regs_x86', H, bytes, regs),
  };
}

const old = { ...head, ...union, ...debug3 };
const LAYOUTS: Readonly<Record<VmEventAbi, VmEventLayout>> = {
  3: layout(3, 312, old, regs3),
  4: layout(4, 376, old, regs4),
  5: layout(5, 384, old, regs5),
  6: layout(6, 384, st6, regs5),
  7: layout(7, 400, st7io, regs7),
};

/** The layouts of an ABI number. ABI 7 only grew at the end of its union, so its newest form serves all of it. */
export function vmEventLayout(abi: VmEventAbi): VmEventLayout {
  return LAYOUTS[abi];
}

/** The layouts that a release uses. */
export function vmEventLayoutOf(release: Release): VmEventLayout {
  return LAYOUTS[releaseAbi(release).vmEvent as VmEventAbi];
}
