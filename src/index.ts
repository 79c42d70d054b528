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
  XEN_DOMCTL_IOMMU_no_sharept,
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
export * from './abi/hvm/params.js';
export {
  XENMEM_access,
  XENMEMF_exact_node_request,
  XENMEMF_populate_on_demand,
  XENMEMF_vnode,
  type XenmemAccess,
} from './abi/memory.js';
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
export { DOMID_SELF, INVALID_GFN, PAGE_SIZE } from './abi/xen.js';
export { ArenaFullError } from './hypervisor/arena.js';
export type { FrameList } from './hypervisor/check.js';
export { BackendUnavailableError, XenError } from './hypervisor/error.js';
export type { BackendName } from './hypervisor/open.js';
export { type ForeignMapping, type Hypervisor, PROT_EXEC, PROT_READ, PROT_WRITE } from './hypervisor/port.js';
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
  type AccessList,
  type SuppressVeMultiResult,
  xc_altp2m_set_mem_access_multi,
  xc_altp2m_set_suppress_ve_multi,
  xc_altp2m_set_supress_ve_multi,
} from './xc/altp2m_multi.js';
export { xc_altp2m_set_mem_access_multi_async } from './xc/altp2m_multi_async.js';
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
export { xc_map_foreign_bulk, xc_map_foreign_pages, xc_map_foreign_range } from './xc/foreign_memory.js';
export { xc_domain_hvm_getcontext, xc_domain_hvm_setcontext } from './xc/hvm_context.js';
export { xc_hvm_param_get, xc_hvm_param_set } from './xc/hvm_param.js';
export { type OpenOptions, type XcInterface, xc_interface_close, xc_interface_open } from './xc/interface.js';
export {
  xc_domain_decrease_reservation,
  xc_domain_decrease_reservation_exact,
  xc_domain_increase_reservation,
  xc_domain_increase_reservation_exact,
  xc_domain_maximum_gpfn,
  xc_domain_populate_physmap,
  xc_domain_populate_physmap_exact,
  xc_domain_populate_physmap_exact_async,
  xc_domain_setmaxmem,
  xc_get_paging_mempool_size,
  xc_set_paging_mempool_size,
} from './xc/memory.js';
export { type AsyncOptions, CallAbortedError } from './xc/progress.js';
export { type PhysInfo, type PhysicalCapabilities, xc_physinfo } from './xc/sysctl.js';
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
export { ACCESS_NAMES, type Access, type AccessName } from './xen/access.js';
export type { Altp2m, Altp2mModeName, CreateViewOptions } from './xen/altp2m.js';
export type { CreateDomainOptions } from './xen/create.js';
export type { Domain, ShutdownReason } from './xen/domain.js';
export type { DestroyViewOptions, View } from './xen/view.js';
export { Xen, type XenInfo, type XenOptions, type XenVersion } from './xen/xen.js';
