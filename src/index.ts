/** The front door: everything a user imports from `xenctrl`. Re-exports only. */

export { XENMEM_access, type XenmemAccess } from './abi/memory.js';
export { DOMID_SELF, INVALID_GFN, PAGE_SIZE } from './abi/xen.js';
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
export {
  type SuppressVeMultiResult,
  xc_altp2m_set_mem_access_multi,
  xc_altp2m_set_suppress_ve_multi,
  xc_altp2m_set_supress_ve_multi,
} from './xc/altp2m_multi.js';
export { type OpenOptions, type XcInterface, xc_interface_close, xc_interface_open } from './xc/interface.js';
