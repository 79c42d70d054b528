/** `xen.h`: hypercall numbers, special domain ids, frame numbers. */

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
