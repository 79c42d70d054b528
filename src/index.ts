/** The front door: everything a user imports from `xenctrl`. Re-exports only. */

import './adapters.js';

export {
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_iommu,
  XEN_DOMCTL_CDF_nested_virt,
  XEN_DOMCTL_CDF_oos_off,
  XEN_DOMCTL_CDF_s3_integrity,
  XEN_DOMCTL_CDF_vpmu,
  XEN_DOMCTL_CDF_xs_domain,
  XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF,
  XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON,
  XEN_DOMCTL_IOMMU_no_sharept,
  XEN_DOMCTL_MONITOR_EVENT_CPUID,
  XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
  XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
  XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
  XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
  XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
  XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
  XEN_DOMCTL_MONITOR_EVENT_IO,
  XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
  XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL,
  XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
  XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
  XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
  XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
  XEN_X86_EMU_HPET,
  XEN_X86_EMU_IOAPIC,
  XEN_X86_EMU_IOMMU,
  XEN_X86_EMU_LAPIC,
  XEN_X86_EMU_PIC,
  XEN_X86_EMU_PIT,
  XEN_X86_EMU_PM,
  XEN_X86_EMU_RTC,
  XEN_X86_EMU_USE_PIRQ,
  XEN_X86_EMU_VGA,
  XEN_X86_EMU_VPCI,
  XEN_X86_MSR_RELAXED,
} from './abi/domctl.js';
export { VGCF_i387_valid, VGCF_online } from './abi/guest_context.js';
export {
  XEN_DMOP_EVENT_ext_int,
  XEN_DMOP_EVENT_hw_exc,
  XEN_DMOP_EVENT_nmi,
  XEN_DMOP_EVENT_pri_sw_exc,
  XEN_DMOP_EVENT_sw_exc,
  XEN_DMOP_EVENT_sw_int,
} from './abi/hvm/dm_op.js';
export * from './abi/hvm/params.js';
export {
  XENMAPSPACE_dev_mmio,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_gmfn_foreign,
  XENMAPSPACE_gmfn_range,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_access,
  XENMEM_resource_grant_table,
  XENMEM_resource_grant_table_id_shared,
  XENMEM_resource_grant_table_id_status,
  XENMEM_resource_ioreq_server,
  XENMEM_resource_vmtrace_buf,
  XENMEMF_exact_node_request,
  XENMEMF_populate_on_demand,
  XENMEMF_vnode,
  type XenmemAccess,
} from './abi/memory.js';
export {
  PT_IRQ_TYPE_ISA,
  PT_IRQ_TYPE_MSI,
  PT_IRQ_TYPE_MSI_TRANSLATE,
  PT_IRQ_TYPE_PCI,
  XEN_DOMCTL_DEV_RDM_RELAXED,
  XEN_DOMCTL_GSI_GRANT,
  XEN_DOMCTL_GSI_REVOKE,
  XEN_DOMCTL_VMSI_X86_DELIV_MASK,
  XEN_DOMCTL_VMSI_X86_DEST_ID_MASK,
  XEN_DOMCTL_VMSI_X86_DM_MASK,
  XEN_DOMCTL_VMSI_X86_RH_MASK,
  XEN_DOMCTL_VMSI_X86_TRIG_MASK,
  XEN_DOMCTL_VMSI_X86_UNMASKED,
} from './abi/passthrough.js';
export {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from './abi/sched.js';
export {
  XENVER_build_id,
  XENVER_capabilities,
  XENVER_capabilities2,
  XENVER_changeset,
  XENVER_changeset2,
  XENVER_commandline,
  XENVER_commandline2,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_extraversion2,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
} from './abi/version.js';
export {
  MEM_ACCESS_FAULT_IN_GPT,
  MEM_ACCESS_FAULT_WITH_GLA,
  MEM_ACCESS_GLA_VALID,
  MEM_ACCESS_R,
  MEM_ACCESS_W,
  MEM_ACCESS_X,
  MEM_PAGING_DROP_PAGE,
  MEM_PAGING_EVICT_FAIL,
  VM_EVENT_DESC_GDTR,
  VM_EVENT_DESC_IDTR,
  VM_EVENT_DESC_LDTR,
  VM_EVENT_DESC_TR,
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_DENY,
  VM_EVENT_FLAG_EMULATE,
  VM_EVENT_FLAG_EMULATE_NOWRITE,
  VM_EVENT_FLAG_FAST_SINGLESTEP,
  VM_EVENT_FLAG_FOREIGN,
  VM_EVENT_FLAG_GET_NEXT_INTERRUPT,
  VM_EVENT_FLAG_NESTED_P2M,
  VM_EVENT_FLAG_RESET_FORK_MEMORY,
  VM_EVENT_FLAG_RESET_FORK_STATE,
  VM_EVENT_FLAG_RESET_VMTRACE,
  VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
  VM_EVENT_FLAG_SET_EMUL_READ_DATA,
  VM_EVENT_FLAG_SET_REGISTERS,
  VM_EVENT_FLAG_TOGGLE_SINGLESTEP,
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_CPUID,
  VM_EVENT_REASON_DEBUG_EXCEPTION,
  VM_EVENT_REASON_DESCRIPTOR_ACCESS,
  VM_EVENT_REASON_EMUL_UNIMPLEMENTED,
  VM_EVENT_REASON_GUEST_REQUEST,
  VM_EVENT_REASON_INTERRUPT,
  VM_EVENT_REASON_IO_INSTRUCTION,
  VM_EVENT_REASON_MEM_ACCESS,
  VM_EVENT_REASON_MEM_PAGING,
  VM_EVENT_REASON_MEM_SHARING,
  VM_EVENT_REASON_MOV_TO_MSR,
  VM_EVENT_REASON_PRIVILEGED_CALL,
  VM_EVENT_REASON_SINGLESTEP,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  VM_EVENT_REASON_UNKNOWN,
  VM_EVENT_REASON_VMEXIT,
  VM_EVENT_REASON_WRITE_CTRLREG,
  VM_EVENT_X86_CR0,
  VM_EVENT_X86_CR3,
  VM_EVENT_X86_CR4,
  VM_EVENT_X86_XCR0,
} from './abi/vm_event.js';
export {
  DOMID_SELF,
  INVALID_GFN,
  PAGE_SIZE,
  VIRQ_ARGO,
  VIRQ_CON_RING,
  VIRQ_CONSOLE,
  VIRQ_DEBUGGER,
  VIRQ_DOM_EXC,
  VIRQ_ENOMEM,
  VIRQ_PCPU_STATE,
  VIRQ_TBUF,
} from './abi/xen.js';
export { ArenaFullError } from './hypervisor/arena.js';
export type { FrameList } from './hypervisor/check.js';
export { BackendUnavailableError, XenError } from './hypervisor/error.js';
export type { EventChannels, EventDescriptors } from './hypervisor/event_channels.js';
export type { BackendName } from './hypervisor/open.js';
export { type ForeignMapping, type Hypervisor, PROT_EXEC, PROT_READ, PROT_WRITE } from './hypervisor/port.js';
export * from './vmi/monitor/index.js';
export type { AccessList } from './xc/access_lists.js';
export {
  xc_altp2m_change_gfn,
  xc_altp2m_create_view,
  xc_altp2m_destroy_view,
  xc_altp2m_get_domain_state,
  xc_altp2m_get_mem_access,
  xc_altp2m_get_suppress_ve,
  xc_altp2m_get_vcpu_p2m_idx,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_mem_access,
  xc_altp2m_set_suppress_ve,
  xc_altp2m_set_vcpu_disable_notify,
  xc_altp2m_set_vcpu_enable_notify,
  xc_altp2m_set_visibility,
  xc_altp2m_switch_to_view,
} from './xc/altp2m.js';
export { type Altp2mDiagnosis, diagnoseAltp2m, type Prerequisite } from './xc/altp2m_diagnose.js';
export {
  type SuppressVeMultiResult,
  xc_altp2m_set_mem_access_multi,
  xc_altp2m_set_suppress_ve_multi,
  xc_altp2m_set_supress_ve_multi,
} from './xc/altp2m_multi.js';
export { xc_altp2m_set_mem_access_multi_async } from './xc/altp2m_multi_async.js';
export {
  type ArgoAddress,
  type ArgoProbe,
  type ArgoQuery,
  type ArgoRingInfo,
  type ArgoState,
  argo_notify,
  argo_probe,
  argo_sendv,
} from './xc/argo.js';
export type { RingMemory } from './xc/argo_frames.js';
export { type ArgoRing, type ArgoRingOptions, argo_register_ring, type RingAllocator } from './xc/argo_ring.js';
export {
  xc_assign_device,
  xc_deassign_device,
  xc_get_device_group,
  xc_test_assign_device,
} from './xc/assign_device.js';
export { type ConsoleRing, xc_readconsolering, xc_send_debug_keys } from './xc/console.js';
export { xc_domain_ioport_mapping, xc_domain_memory_mapping } from './xc/device_mapping.js';
export {
  xc_domain_destroy,
  xc_domain_destroy_async,
  xc_domain_max_vcpus,
  xc_domain_pause,
  xc_domain_set_access_required,
  xc_domain_sethandle,
  xc_domain_shutdown,
  xc_domain_unpause,
} from './xc/domain.js';
export { type DomainConfig, xc_domain_create } from './xc/domain_create.js';
export { type DomainInfo, xc_domain_getinfo_single, xc_domain_getinfolist } from './xc/domain_info.js';
export {
  type EvtchnStatus,
  xc_domain_set_virq_handler,
  xc_evtchn_alloc_unbound,
  xc_evtchn_reset,
  xc_evtchn_status,
} from './xc/event_channel.js';
export {
  type XenevtchnHandle,
  xenevtchn_bind_interdomain,
  xenevtchn_bind_unbound_port,
  xenevtchn_bind_virq,
  xenevtchn_close,
  xenevtchn_fd,
  xenevtchn_fdopen,
  xenevtchn_notify,
  xenevtchn_open,
  xenevtchn_pending,
  xenevtchn_restrict,
  xenevtchn_unbind,
  xenevtchn_unmask,
} from './xc/evtchn.js';
export {
  xc_map_foreign_bulk,
  xc_map_foreign_pages,
  xc_map_foreign_range,
  xenforeignmemory_map_resource,
  xenforeignmemory_resource_size,
} from './xc/foreign_memory.js';
export { type GrantTableSize, xc_gnttab_get_version, xc_gnttab_query_size } from './xc/gnttab.js';
export {
  xc_domain_hvm_getcontext,
  xc_domain_hvm_getcontext_partial,
  xc_domain_hvm_setcontext,
} from './xc/hvm_context.js';
export { decodeHvmCpu, type HvmCpu, readHvmCpu } from './xc/hvm_cpu.js';
export { xc_hvm_param_get, xc_hvm_param_set } from './xc/hvm_param.js';
export { xc_hvm_inject_trap } from './xc/inject.js';
export { type OpenOptions, type XcInterface, xc_interface_close, xc_interface_open } from './xc/interface.js';
export {
  xc_domain_gsi_permission,
  xc_domain_iomem_permission,
  xc_domain_ioport_permission,
  xc_domain_irq_permission,
} from './xc/io_permission.js';
export { xc_get_mem_access, xc_set_mem_access, xc_set_mem_access_multi } from './xc/mem_access.js';
export {
  xc_domain_decrease_reservation,
  xc_domain_decrease_reservation_exact,
  xc_domain_increase_reservation,
  xc_domain_increase_reservation_exact,
  xc_domain_maximum_gpfn,
  xc_domain_nr_gpfns,
  xc_domain_populate_physmap,
  xc_domain_populate_physmap_exact,
  xc_domain_populate_physmap_exact_async,
  xc_domain_setmaxmem,
  xc_get_paging_mempool_size,
  xc_set_paging_mempool_size,
} from './xc/memory.js';
export { xc_memshr_control, xc_memshr_fork, xc_memshr_fork_reset } from './xc/memshr.js';
export {
  xc_monitor_control_registers,
  xc_monitor_cpuid,
  xc_monitor_debug_exceptions,
  xc_monitor_descriptor_access,
  xc_monitor_disable,
  xc_monitor_emul_unimplemented,
  xc_monitor_emulate_each_rep,
  xc_monitor_enable,
  xc_monitor_get_capabilities,
  xc_monitor_guest_request,
  xc_monitor_inguest_pagefault,
  xc_monitor_io,
  xc_monitor_mov_to_msr,
  xc_monitor_privileged_call,
  xc_monitor_resume,
  xc_monitor_singlestep,
  xc_monitor_software_breakpoint,
  xc_monitor_vmexit,
  xc_monitor_write_ctrlreg,
} from './xc/monitor.js';
export { xc_physdev_prepare_msix, xc_physdev_release_msix } from './xc/msix.js';
export {
  xc_physdev_map_pirq,
  xc_physdev_map_pirq_gsi,
  xc_physdev_map_pirq_msi,
  xc_physdev_unmap_pirq,
} from './xc/physdev.js';
export {
  xc_domain_add_to_physmap,
  xc_domain_add_to_physmap_batch,
  xc_domain_remove_from_physmap,
} from './xc/physmap.js';
export { type AsyncOptions, CallAbortedError } from './xc/progress.js';
export {
  xc_domain_bind_pt_irq,
  xc_domain_bind_pt_isa_irq,
  xc_domain_bind_pt_pci_irq,
  xc_domain_unbind_msi_irq,
  xc_domain_unbind_pt_irq,
  xc_domain_update_msi_irq,
} from './xc/pt_irq.js';
export { type PhysInfo, type PhysicalCapabilities, xc_physinfo } from './xc/sysctl.js';
export {
  type CpuInfo,
  type CpuTopology,
  type NumaNode,
  xc_cpumap_alloc,
  xc_cpumap_clearcpu,
  xc_cpumap_setcpu,
  xc_cpumap_testcpu,
  xc_cputopoinfo,
  xc_get_cpumap_size,
  xc_get_max_cpus,
  xc_get_max_nodes,
  xc_get_nodemap_size,
  xc_get_online_cpus,
  xc_getcpuinfo,
  xc_nodemap_alloc,
  xc_numainfo,
} from './xc/topology.js';
export { xc_domain_get_guest_width, xc_translate_foreign_address } from './xc/translate.js';
export {
  type VcpuExtstate,
  type VcpuInfo,
  xc_domain_debug_control,
  xc_domain_setdebugging,
  xc_vcpu_get_extstate,
  xc_vcpu_getcontext,
  xc_vcpu_getinfo,
  xc_vcpu_setcontext,
} from './xc/vcpu.js';
export type { UserRegisters, VcpuGuestContext } from './xc/vcpu_context.js';
export {
  type CompileInfo,
  type XenVersionAnswers,
  xc_version,
  xc_xenver_buildid,
  xc_xenver_capabilities,
  xc_xenver_changeset,
  xc_xenver_commandline,
  xc_xenver_compile_info,
  xc_xenver_extraversion,
  xc_xenver_get_features,
  xc_xenver_guest_handle,
  xc_xenver_pagesize,
  xc_xenver_platform_parameters,
} from './xc/version.js';
export { type VmEventRing, xc_vm_event_get_version } from './xc/vm_event.js';
export {
  xc_vmtrace_disable,
  xc_vmtrace_enable,
  xc_vmtrace_get_option,
  xc_vmtrace_output_position,
  xc_vmtrace_reset_and_enable,
  xc_vmtrace_set_option,
} from './xc/vmtrace.js';
export { ACCESS_NAMES, type Access, type AccessName } from './xen/access.js';
export type { Altp2m, Altp2mModeName, CreateViewOptions } from './xen/altp2m.js';
export type { CreateDomainOptions } from './xen/create.js';
export type { Domain, ShutdownReason } from './xen/domain.js';
export type { Monitor, MonitorCapability } from './xen/monitor.js';
export type { Registers, Vcpu } from './xen/vcpu.js';
export type { DestroyViewOptions, View } from './xen/view.js';
export { Xen, type XenInfo, type XenOptions, type XenVersion } from './xen/xen.js';
