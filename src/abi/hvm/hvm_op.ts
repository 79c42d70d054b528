/** `hvm/hvm_op.h`: HVM operations, the altp2m family among them. */

import { struct } from '../layout.js';

export const HVMOP_set_param = 0;
export const HVMOP_get_param = 1;
/** Tells the guest's agent; it has no argument. */
export const HVMOP_guest_request_vm_event = 24;
export const HVMOP_altp2m = 25;

/** Has been 1 since altp2m exists: only the list of commands grew. */
export const HVMOP_ALTP2M_INTERFACE_VERSION = 1;

export const HVMOP_altp2m_get_domain_state = 1;
export const HVMOP_altp2m_set_domain_state = 2;
export const HVMOP_altp2m_vcpu_enable_notify = 3;
export const HVMOP_altp2m_create_p2m = 4;
export const HVMOP_altp2m_destroy_p2m = 5;
export const HVMOP_altp2m_switch_p2m = 6;
export const HVMOP_altp2m_set_mem_access = 7;
export const HVMOP_altp2m_change_gfn = 8;
export const HVMOP_altp2m_set_mem_access_multi = 9;
export const HVMOP_altp2m_set_suppress_ve = 10;
export const HVMOP_altp2m_get_suppress_ve = 11;
export const HVMOP_altp2m_get_mem_access = 12;
export const HVMOP_altp2m_vcpu_disable_notify = 13;
export const HVMOP_altp2m_get_p2m_idx = 14;
export const HVMOP_altp2m_set_suppress_ve_multi = 15;
export const HVMOP_altp2m_set_visibility = 16;

const H = 'hvm/hvm_op.h';

/** Argument of HVMOP_set_param and HVMOP_get_param. */
export const xen_hvm_param = struct('xen_hvm_param', H, 16, {
  domid: [0, 2],
  pad: [2, 2],
  index: [4, 4],
  value: [8, 8],
});

/** Argument of HVMOP_altp2m. The structures below lie in its union `u`. */
export const xen_hvm_altp2m_op = struct('xen_hvm_altp2m_op', H, 80, {
  version: [0, 4],
  cmd: [4, 4],
  domain: [8, 2],
  pad1: [10, 2],
  pad2: [12, 4],
  u: [16, 64],
});

export const xen_hvm_altp2m_domain_state = struct('xen_hvm_altp2m_domain_state', H, 1, { state: [0, 1] });

export const xen_hvm_altp2m_vcpu_enable_notify = struct('xen_hvm_altp2m_vcpu_enable_notify', H, 16, {
  vcpu_id: [0, 4],
  pad: [4, 4],
  gfn: [8, 8],
});

export const xen_hvm_altp2m_vcpu_disable_notify = struct('xen_hvm_altp2m_vcpu_disable_notify', H, 4, {
  vcpu_id: [0, 4],
});

export const xen_hvm_altp2m_view = struct('xen_hvm_altp2m_view', H, 4, {
  view: [0, 2],
  hvmmem_default_access: [2, 2],
});

export const xen_hvm_altp2m_mem_access = struct('xen_hvm_altp2m_mem_access', H, 16, {
  view: [0, 2],
  access: [2, 2],
  pad: [4, 4],
  gfn: [8, 8],
});

export const xen_hvm_altp2m_set_mem_access_multi = struct('xen_hvm_altp2m_set_mem_access_multi', H, 32, {
  view: [0, 2],
  pad: [2, 2],
  nr: [4, 4],
  opaque: [8, 8],
  pfn_list: [16, 8],
  access_list: [24, 8],
});

export const xen_hvm_altp2m_suppress_ve = struct('xen_hvm_altp2m_suppress_ve', H, 16, {
  view: [0, 2],
  suppress_ve: [2, 1],
  pad1: [3, 1],
  pad2: [4, 4],
  gfn: [8, 8],
});

export const xen_hvm_altp2m_suppress_ve_multi = struct('xen_hvm_altp2m_suppress_ve_multi', H, 32, {
  view: [0, 2],
  suppress_ve: [2, 1],
  pad1: [3, 1],
  first_error: [4, 4],
  first_gfn: [8, 8],
  last_gfn: [16, 8],
  first_error_gfn: [24, 8],
});

export const xen_hvm_altp2m_change_gfn = struct('xen_hvm_altp2m_change_gfn', H, 24, {
  view: [0, 2],
  pad1: [2, 2],
  pad2: [4, 4],
  old_gfn: [8, 8],
  new_gfn: [16, 8],
});

export const xen_hvm_altp2m_get_vcpu_p2m_idx = struct('xen_hvm_altp2m_get_vcpu_p2m_idx', H, 8, {
  vcpu_id: [0, 4],
  altp2m_idx: [4, 2],
});

export const xen_hvm_altp2m_set_visibility = struct('xen_hvm_altp2m_set_visibility', H, 4, {
  altp2m_idx: [0, 2],
  visible: [2, 1],
  pad: [3, 1],
});
