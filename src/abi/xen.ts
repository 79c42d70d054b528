/** `xen.h`: hypercall numbers, special domain ids, frame numbers, virtual interrupts, what domains share with Xen. */

import { struct } from './layout.js';

export const __HYPERVISOR_platform_op = 7;
export const __HYPERVISOR_memory_op = 12;
export const __HYPERVISOR_xen_version = 17;
export const __HYPERVISOR_grant_table_op = 20;
export const __HYPERVISOR_vcpu_op = 24;
export const __HYPERVISOR_mmuext_op = 26;
export const __HYPERVISOR_xsm_op = 27;
export const __HYPERVISOR_sched_op = 29;
export const __HYPERVISOR_event_channel_op = 32;
export const __HYPERVISOR_physdev_op = 33;
export const __HYPERVISOR_hvm_op = 34;
export const __HYPERVISOR_sysctl = 35;
export const __HYPERVISOR_domctl = 36;
export const __HYPERVISOR_argo_op = 39;
export const __HYPERVISOR_dm_op = 41;
export const __HYPERVISOR_hypfs_op = 42;

/** First id that is no ordinary domain's. */
export const DOMID_FIRST_RESERVED = 0x7ff0;
/** The caller itself. */
export const DOMID_SELF = 0x7ff0;
export const DOMID_IO = 0x7ff1;
export const DOMID_XEN = 0x7ff2;
export const DOMID_COW = 0x7ff3;
export const DOMID_INVALID = 0x7ff4;
export const DOMID_IDLE = 0x7fff;

/** Bytes in a page, and its logarithm. Frame numbers count these. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

/** "No frame": all 64 bits set. Pass it where a call takes a frame number; xc_altp2m_change_gfn undoes a remap with it. */
export const INVALID_GFN = 0xffff_ffff_ffff_ffffn;

/** Virtual interrupts. These four are each vCPU's own; of all others a domain has one, on vCPU 0. */
export const VIRQ_TIMER = 0;
export const VIRQ_DEBUG = 1;
export const VIRQ_XENOPROF = 7;
export const VIRQ_XENPMU = 13;
/** dom0: input on the emergency console. */
export const VIRQ_CONSOLE = 2;
/** dom0: a domain has shut down, crashed or gone. */
export const VIRQ_DOM_EXC = 3;
/** dom0: there are trace records. */
export const VIRQ_TBUF = 4;
/** dom0: a domain was paused for its debugger. */
export const VIRQ_DEBUGGER = 6;
/** dom0: the console ring has grown. */
export const VIRQ_CON_RING = 8;
/** dom0: a processor came or went. */
export const VIRQ_PCPU_STATE = 9;
export const VIRQ_MEM_EVENT = 10;
/** A message, or room for one, in an Argo ring. */
export const VIRQ_ARGO = 11;
/** dom0: memory is short. */
export const VIRQ_ENOMEM = 12;
export const VIRQ_ARCH_0 = 16;
export const NR_VIRQS = 24;

/** What each vCPU shares with Xen, in {@link shared_info}. */
export const vcpu_info = struct('vcpu_info', 'xen.h', 64, {
  evtchn_upcall_pending: [0, 1],
  evtchn_upcall_mask: [1, 1],
  evtchn_pending_sel: [8, 8],
});

/** The page that a domain shares with Xen: {@link vcpu_info} of its first 32 vCPUs, then a bit for each event channel. */
export const shared_info = struct('shared_info', 'xen.h', 3136, {
  vcpu_info: [0, 2048],
  evtchn_pending: [2048, 512],
  evtchn_mask: [2560, 512],
});
