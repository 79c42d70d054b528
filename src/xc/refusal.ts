/** Makes the error of a failed call, with a short hint where the number alone does not say what to do. */

import { errnoName } from '../abi/errno.js';
import { XenError } from '../hypervisor/error.js';

type Hints = Readonly<Record<string, Readonly<Record<string, string>>>>;

const NO_DOMAIN = 'no such domain';
const PRIVILEGED = 'only a privileged domain may: run this in dom0 as root, on a handle that is not restricted';
const NOT_ITSELF = 'a domain cannot do this to itself';
const NO_SHARING = 'this hypervisor was built without memory sharing (CONFIG_MEM_SHARING), as distributions build it';
const NOT_EXACT =
  'not all was done: no such domain, its memory limit (xc_domain_setmaxmem) or the host is exhausted, or a frame or the order is not allowed';

/** What an errno means whatever the call; a call's own entry comes first. */
const COMMON: Readonly<Record<string, string>> = {
  EPERM: PRIVILEGED,
  ENOSYS: 'this hypervisor was built without the call',
};

const PHYSMAP = {
  EACCES: 'the frames of a PV domain are those of the machine',
  EINVAL: 'there is no such page, or gpfn is no frame',
  ENOSYS: 'the space is one that xc_domain_add_to_physmap_batch takes',
  ESRCH: NO_DOMAIN,
};
const VMTRACE = {
  EINVAL:
    'the domain was created without vmtrace_size (which needs an Intel processor with Processor Trace), or the vCPU is traced, or not traced, already',
  ENOENT: 'there is no such vCPU',
  EOPNOTSUPP: 'this hypervisor was built without processor trace',
  ESRCH: NO_DOMAIN,
};
const RESOURCE = {
  EINVAL: 'there is no such resource, or it has no such frames',
  EOPNOTSUPP: 'this Xen has no such type of resource',
  EPERM: `${NOT_ITSELF}; ${PRIVILEGED}`,
  ESRCH: NO_DOMAIN,
};
const MEMSHR = {
  ENOSYS: NO_SHARING,
  EOPNOTSUPP: 'the domain is a PV domain',
  ENODEV: 'the domain has no hardware-assisted paging',
  EXDEV: 'the domain has a device passed through',
  EPERM: `${NOT_ITSELF}; ${PRIVILEGED}`,
  ESRCH: NO_DOMAIN,
};

const NOT_YOURS = 'the caller cannot give what it may not use itself';
const NO_IOMMU_PT =
  'the domain was created without XEN_DOMCTL_CDF_iommu (passthrough=1 in its xl.cfg), or the machine has no IOMMU';
const ASSIGN = {
  ENODEV: 'Xen knows no such device, or it is not of that domain',
  EOPNOTSUPP: NO_IOMMU_PT,
  ESRCH: NO_DOMAIN,
};
const PIRQ = {
  EINVAL: 'there is no such interrupt or vector, or the domain has not mapped it',
  EBUSY: 'the interrupt is mapped under another number, or bound as something else',
  EEXIST: 'the number or the vector is taken already',
  ENODEV: 'Xen knows no such device, or it has no such capability',
  ENXIO: 'the device does not decode memory: set bit 1 of its command register, or power it on',
  ENODATA: 'Xen was not told where the MSI-X table is: xc_physdev_prepare_msix comes first',
  EPERM: `the domain has not mapped the interrupt, or has no permission (xc_domain_irq_permission), or ${PRIVILEGED}`,
  ESRCH: 'no such domain, or it was created without XEN_DOMCTL_CDF_iommu',
};
const MSIX = {
  ENODEV: 'Xen does not know the device',
  ENXIO: 'the device does not decode memory (bit 1 of its command register), or its BARs have no address',
  ENOSYS: 'a PVH dom0 protects MSI-X tables another way, and has no such call',
};

/** The calls that switch one kind of monitor event. */
const MONITOR = {
  EEXIST: 'it is so already, perhaps by another listener: only one can watch a domain',
  EOPNOTSUPP: 'this release or processor cannot report it for this domain (xc_monitor_get_capabilities tells)',
  EPERM: `${NOT_ITSELF}; ${PRIVILEGED}`,
  ESRCH: NO_DOMAIN,
};
const NO_RING = 'nobody listens to this domain: xc_monitor_enable comes first';
const MEM_ACCESS = {
  ENODEV: NO_RING,
  EINVAL:
    'the domain must be HVM with hardware-assisted paging on an Intel host, the access one of XENMEM_access, and the frames within its memory',
  ESRCH: NO_DOMAIN,
};

/** By call, then by errno. */
const HINTS: Hints = {
  xc_altp2m_get_domain_state: {
    EINVAL: 'the domain has no altp2m mode: put altp2m="external" in its xl.cfg',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_set_domain_state: {
    EINVAL: 'the domain has no altp2m mode (put altp2m="external" in its xl.cfg), or it has nested virtualisation',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_create_view: {
    EINVAL: 'every view is in use, or default_access is no access type',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_destroy_view: {
    EBUSY: 'there is no such view, it is view 0, or a vCPU runs in it (xc_altp2m_switch_to_view moves them all)',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_switch_to_view: { EINVAL: 'there is no such view, or it is hidden', ESRCH: NO_DOMAIN },
  xc_altp2m_set_visibility: { EINVAL: 'there is no such view', ESRCH: NO_DOMAIN },
  xc_altp2m_get_vcpu_p2m_idx: { EINVAL: 'there is no such vCPU', ESRCH: NO_DOMAIN },
  xc_altp2m_set_vcpu_enable_notify: {
    EEXIST: 'the vCPU has a #VE page already: xc_altp2m_set_vcpu_disable_notify first',
    EINVAL: 'there is no such vCPU, or the frame is no ordinary memory of the guest',
    EAGAIN: 'the frame is paged out or shared',
    EPERM: 'the frame is device memory, or the caller may not use altp2m on this domain',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_set_vcpu_disable_notify: { EINVAL: 'there is no such vCPU', ESRCH: NO_DOMAIN },
  xc_altp2m_set_mem_access: { EINVAL: 'there is no such view or access type', ESRCH: NO_DOMAIN },
  xc_altp2m_set_mem_access_multi: { EINVAL: 'there is no such view or access type', ESRCH: NO_DOMAIN },
  xc_altp2m_get_mem_access: {
    EINVAL: 'there is no such view',
    ESRCH:
      'the view has no entry for the frame yet (views fill as the guest touches memory), or there is no such domain',
  },
  xc_altp2m_set_suppress_ve: {
    EINVAL: 'there is no such view',
    ESRCH: 'the guest has no ordinary memory at the frame, or there is no such domain',
  },
  xc_altp2m_set_suppress_ve_multi: {
    EINVAL: 'there is no such view, or the range is empty',
    ESRCH: NO_DOMAIN,
  },
  xc_altp2m_get_suppress_ve: {
    EINVAL: 'there is no such view',
    ESRCH:
      'the view has no entry for the frame yet (views fill as the guest touches memory), or there is no such domain',
  },
  xc_altp2m_change_gfn: {
    EINVAL: 'there is no such view',
    ESRCH: 'the guest has no ordinary memory at one of the frames, or there is no such domain',
  },
  xc_domain_create: {
    EEXIST: 'the domain id is taken',
    EINVAL: 'Xen does not take this combination of settings; `xl dmesg` of a debug build says which',
    ENOMEM: 'the host has not enough free memory, or no domain id is free',
    ENODEV: 'the host cannot do what the settings ask for',
  },
  xc_domain_max_vcpus: { EINVAL: 'max is not the number that the domain was created with', ESRCH: NO_DOMAIN },
  xc_domain_pause: { EINVAL: NOT_ITSELF, EOVERFLOW: 'the domain was paused 255 times', ESRCH: NO_DOMAIN },
  xc_domain_unpause: { EINVAL: 'the domain is not paused', ESRCH: NO_DOMAIN },
  xc_domain_shutdown: { ESRCH: NO_DOMAIN },
  xc_domain_destroy: { EINVAL: NOT_ITSELF, ESRCH: NO_DOMAIN },
  xc_domain_sethandle: { ESRCH: NO_DOMAIN },
  xc_domain_getinfo_single: { ESRCH: NO_DOMAIN },
  xc_domain_setmaxmem: { ESRCH: NO_DOMAIN },
  xc_domain_set_access_required: { ESRCH: NO_DOMAIN },
  xc_domain_maximum_gpfn: { ESRCH: NO_DOMAIN },
  xc_get_paging_mempool_size: { EOPNOTSUPP: 'a PV domain has no paging pool', ESRCH: NO_DOMAIN },
  xc_set_paging_mempool_size: {
    EINVAL: 'the size must be a multiple of 4096',
    EOPNOTSUPP: 'a PV domain has no paging pool',
    ENOMEM: 'the host has not enough free memory',
    ESRCH: NO_DOMAIN,
  },
  xc_domain_populate_physmap_exact: { EBUSY: NOT_EXACT },
  xc_domain_increase_reservation_exact: { EBUSY: NOT_EXACT },
  xc_domain_decrease_reservation_exact: {
    EBUSY: 'not all was done: no such domain, or a frame has no memory that could be taken',
  },
  xc_domain_hvm_getcontext: {
    EINVAL: 'the domain is no HVM or PVH domain, or it is the caller',
    ENOSPC: 'a vCPU was brought up between the two calls: ask again',
    ESRCH: NO_DOMAIN,
  },
  xc_domain_hvm_getcontext_partial: {
    EINVAL: 'the domain is no HVM or PVH domain, or it is the caller, or there is no such type of record',
    ENOENT: 'there is no such vCPU, or it is down',
    ESRCH: NO_DOMAIN,
  },
  xc_domain_hvm_setcontext: {
    EINVAL: 'the domain is no HVM or PVH domain, or it is the caller, or Xen does not accept a record',
    ESRCH: NO_DOMAIN,
  },
  xc_vcpu_getcontext: {
    EINVAL: 'there is no such vCPU, or it is the caller itself',
    ENODATA: 'the vCPU was never started',
    ESRCH: NO_DOMAIN,
  },
  xc_vcpu_setcontext: {
    EINVAL: 'there is no such vCPU, the domain is the caller, or Xen does not accept the registers',
    ESRCH: NO_DOMAIN,
  },
  xc_vcpu_getinfo: {
    EINVAL: 'the domain cannot have such a vCPU',
    ESRCH: 'there is no such domain, or its vCPU was not made yet',
  },
  xc_vcpu_get_extstate: {
    EINVAL: 'the vCPU is the caller itself',
    ESRCH: 'there is no such domain, or it has no such vCPU',
  },
  xc_domain_setdebugging: { EINVAL: NOT_ITSELF, ESRCH: NO_DOMAIN },
  xc_domain_debug_control: {
    EINVAL: 'there is no such vCPU, or the domain is no HVM or PVH domain',
    EOPNOTSUPP: 'the processor has no monitor trap flag: only Intel processors can single-step through Xen',
    ENOSYS: 'sop must be XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON or XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF',
    ESRCH: NO_DOMAIN,
  },
  xc_evtchn_alloc_unbound: {
    EINVAL: 'the domain is dying',
    ENOSPC: 'the domain has as many event channels as it may have (max_evtchn_port)',
    ESRCH: NO_DOMAIN,
  },
  xc_evtchn_reset: { EINVAL: 'the domain must be paused, or the caller', ESRCH: NO_DOMAIN },
  xc_evtchn_status: { EINVAL: 'the domain has no such port', ESRCH: NO_DOMAIN },
  xc_domain_set_virq_handler: {
    EINVAL: 'there is no such virtual interrupt, or it is not a global one, or the domain is dying',
    ESRCH: NO_DOMAIN,
  },
  xc_domain_get_guest_width: { EOPNOTSUPP: 'an HVM or PVH domain chooses its mode itself', ESRCH: NO_DOMAIN },
  xc_translate_foreign_address: { EADDRNOTAVAIL: 'the address is not mapped' },
  xc_domain_add_to_physmap: PHYSMAP,
  xc_domain_add_to_physmap_batch: { ...PHYSMAP, EINVAL: 'foreign_domid goes with XENMAPSPACE_gmfn_foreign only' },
  xc_domain_remove_from_physmap: { ENOENT: 'the frame shows nothing', ESRCH: NO_DOMAIN },
  xenforeignmemory_map_resource: RESOURCE,
  xenforeignmemory_resource_size: RESOURCE,
  xc_gnttab_query_size: { ESRCH: NO_DOMAIN },
  xc_gnttab_get_version: { ESRCH: NO_DOMAIN },
  xc_hvm_inject_trap: {
    EBUSY: 'the vCPU has an event to take already: let it run first',
    EINVAL: 'there is no such vCPU, or the domain is a PV domain',
    EPERM: `${NOT_ITSELF}; ${PRIVILEGED}`,
    ESRCH: NO_DOMAIN,
  },
  xc_vmtrace_enable: VMTRACE,
  xc_vmtrace_disable: VMTRACE,
  xc_vmtrace_reset_and_enable: VMTRACE,
  xc_vmtrace_output_position: VMTRACE,
  xc_vmtrace_get_option: { ...VMTRACE, EINVAL: 'the domain has no trace buffers, or key is no setting' },
  xc_vmtrace_set_option: { ...VMTRACE, EINVAL: 'the domain has no trace buffers, or it cannot take this setting' },
  xc_memshr_control: MEMSHR,
  xc_memshr_fork: {
    ...MEMSHR,
    EINVAL: 'the fork must have as many vCPUs as its parent, and both must be alive',
    EBUSY: 'the fork must be paused, as it is when it was created',
  },
  xc_memshr_fork_reset: {
    ...MEMSHR,
    ENOSYS: `the domain is no fork, or ${NO_SHARING}`,
    EINVAL: 'the state, the memory or both must be reset',
  },
  xc_hvm_param_get: {
    EINVAL: 'the domain is no HVM or PVH domain, or there is no such parameter',
    ESRCH: NO_DOMAIN,
  },
  xc_hvm_param_set: {
    EINVAL: 'the domain is no HVM or PVH domain, or it cannot take this value or parameter',
    EEXIST: 'the parameter has a value already and cannot be changed',
    ESRCH: NO_DOMAIN,
  },
  xc_set_mem_access: MEM_ACCESS,
  xc_set_mem_access_multi: MEM_ACCESS,
  xc_get_mem_access: { ...MEM_ACCESS, ESRCH: 'no such domain, or the frame has no memory' },
  xc_monitor_enable: {
    EBUSY:
      'the domain has a listener, or had one that died without letting it go: `xenctrl monitor recover DOMID` (recover: true) frees it',
    EOPNOTSUPP:
      'the domain has no frame for the ring (HVM_PARAM_MONITOR_RING_PFN is 0): whoever built it set none aside; xl does for HVM and PVH domains',
    EINVAL: `${NOT_ITSELF}, and it must be an HVM or PVH domain with vCPUs`,
    ENOMEM: 'the host has not enough free memory',
    ESRCH: NO_DOMAIN,
  },
  xc_monitor_disable: {
    EINVAL: NO_RING,
    EBUSY: 'vCPUs wait for room in the ring: answer what is in it, and try again',
    ESRCH: NO_DOMAIN,
  },
  xc_monitor_resume: { ENODEV: NO_RING, EINVAL: NO_RING, ESRCH: NO_DOMAIN },
  xc_monitor_get_capabilities: MONITOR,
  xc_monitor_write_ctrlreg: { ...MONITOR, EINVAL: 'index must be one of VM_EVENT_X86_CR0, CR3, CR4 and XCR0' },
  xc_monitor_mov_to_msr: {
    ...MONITOR,
    EINVAL: 'msr must be 0 to 0x1fff, 0x40000000 to 0x40001fff or 0xc0000000 to 0xc0001fff',
    ENXIO: NO_RING,
  },
  xc_monitor_singlestep: { ...MONITOR, EOPNOTSUPP: 'the processor has no monitor trap flag, or the domain is not HVM' },
  xc_monitor_software_breakpoint: MONITOR,
  xc_monitor_descriptor_access: MONITOR,
  xc_monitor_guest_request: MONITOR,
  xc_monitor_inguest_pagefault: MONITOR,
  xc_monitor_debug_exceptions: MONITOR,
  xc_monitor_cpuid: MONITOR,
  xc_monitor_privileged_call: { ...MONITOR, EOPNOTSUPP: 'only on ARM' },
  xc_monitor_emul_unimplemented: MONITOR,
  xc_monitor_vmexit: MONITOR,
  xc_monitor_io: MONITOR,
  xc_monitor_emulate_each_rep: { ...MONITOR, EINVAL: NO_RING },
  xc_domain_ioport_permission: { EINVAL: 'no ports, or some beyond 65535', EPERM: NOT_YOURS, ESRCH: NO_DOMAIN },
  xc_domain_irq_permission: { EINVAL: 'there is no such interrupt', EPERM: NOT_YOURS, ESRCH: NO_DOMAIN },
  xc_domain_gsi_permission: {
    EINVAL: 'there is no such interrupt, or flags is neither XEN_DOMCTL_GSI_GRANT nor XEN_DOMCTL_GSI_REVOKE',
    EPERM: NOT_YOURS,
    ESRCH: NO_DOMAIN,
  },
  xc_domain_iomem_permission: {
    EINVAL: 'no frames, or they go beyond 64 bits',
    EPERM: NOT_YOURS,
    ESRCH: NO_DOMAIN,
  },
  xc_domain_memory_mapping: {
    EINVAL: 'beyond the addresses that the machine has, or what is to be removed shows something else',
    EPERM: 'the caller or the domain may not use the frames: xc_domain_iomem_permission comes first',
    ESRCH: NO_DOMAIN,
  },
  xc_domain_ioport_mapping: {
    EINVAL: 'no ports, or some beyond 65535',
    EPERM: NOT_YOURS,
    EOPNOTSUPP: "a PV domain sees the machine's own ports",
    ESRCH: NO_DOMAIN,
  },
  xc_assign_device: {
    ...ASSIGN,
    EBUSY: 'another guest has the device, or all its MSI-X interrupts are masked: it was not reset after its last use',
    EINVAL: `${NOT_ITSELF}, the domain is dying, or flags is more than XEN_DOMCTL_DEV_RDM_RELAXED`,
    EXDEV: "the domain's memory is shared, paged out, or watched for writes",
  },
  xc_test_assign_device: { ...ASSIGN, EINVAL: `there is no such device, a guest has it, or ${NOT_ITSELF}` },
  xc_deassign_device: { ...ASSIGN, EINVAL: NOT_ITSELF },
  xc_get_device_group: { ESRCH: NO_DOMAIN },
  xc_physdev_map_pirq: PIRQ,
  xc_physdev_map_pirq_gsi: PIRQ,
  xc_physdev_map_pirq_msi: PIRQ,
  xc_physdev_unmap_pirq: PIRQ,
  xc_domain_update_msi_irq: PIRQ,
  xc_domain_unbind_msi_irq: PIRQ,
  xc_domain_bind_pt_irq: PIRQ,
  xc_domain_unbind_pt_irq: PIRQ,
  xc_physdev_prepare_msix: {
    ...MSIX,
    EBUSY: 'it is prepared already (pciback does it for the devices it is bound to), or a driver uses its vectors',
  },
  xc_physdev_release_msix: { ...MSIX, EBUSY: 'it is not prepared, or its vectors are in use' },
  xc_version: { ENODATA: 'this hypervisor was built without a build id', EPERM: 'only a privileged domain may ask' },
};

/** The short text for an errno of a call, if there is one. */
export function staticHint(syscall: string, rc: number): string | undefined {
  const code = errnoName(rc);
  return HINTS[syscall]?.[code] ?? COMMON[code];
}

/** The error of a failed call. */
export function refusal(syscall: string, rc: number, domid?: number, hint = staticHint(syscall, rc)): XenError {
  return new XenError(syscall, rc, { domid, hint });
}
