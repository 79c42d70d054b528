/** `arch-x86/xen.h`: the registers of a vCPU as getvcpucontext and setvcpucontext carry them (64-bit form). */

import { struct } from './layout.js';

/** `vcpu_guest_context.flags`. */
export const VGCF_i387_valid = 1 << 0;
/** PV: it was in its kernel. */
export const VGCF_in_kernel = 1 << 2;
export const VGCF_failsafe_disables_events = 1 << 3;
export const VGCF_syscall_disables_events = 1 << 4;
/** It is up. */
export const VGCF_online = 1 << 5;

export const vcpu_guest_context = struct('vcpu_guest_context', 'arch-x86/xen.h', 5168, {
  fpu_ctxt: [0, 512],
  flags: [512, 8],
  'user_regs.r15': [520, 8],
  'user_regs.r14': [528, 8],
  'user_regs.r13': [536, 8],
  'user_regs.r12': [544, 8],
  'user_regs.rbp': [552, 8],
  'user_regs.rbx': [560, 8],
  'user_regs.r11': [568, 8],
  'user_regs.r10': [576, 8],
  'user_regs.r9': [584, 8],
  'user_regs.r8': [592, 8],
  'user_regs.rax': [600, 8],
  'user_regs.rcx': [608, 8],
  'user_regs.rdx': [616, 8],
  'user_regs.rsi': [624, 8],
  'user_regs.rdi': [632, 8],
  'user_regs.rip': [648, 8],
  'user_regs.cs': [656, 2],
  'user_regs.rflags': [664, 8],
  'user_regs.rsp': [672, 8],
  'user_regs.ss': [680, 2],
  'user_regs.es': [688, 2],
  'user_regs.ds': [696, 2],
  'user_regs.fs': [704, 2],
  'user_regs.gs': [712, 2],
  trap_ctxt: [720, 4096],
  ldt_base: [4816, 8],
  ldt_ents: [4824, 8],
  gdt_frames: [4832, 128],
  gdt_ents: [4960, 8],
  kernel_ss: [4968, 8],
  kernel_sp: [4976, 8],
  ctrlreg: [4984, 64],
  debugreg: [5048, 64],
  event_callback_eip: [5112, 8],
  failsafe_callback_eip: [5120, 8],
  syscall_callback_eip: [5128, 8],
  vm_assist: [5136, 8],
  fs_base: [5144, 8],
  gs_base_kernel: [5152, 8],
  gs_base_user: [5160, 8],
});
