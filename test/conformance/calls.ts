/**
 * Every public call on a domain, each with arguments that do no harm to any domain, dom0 among them, but go as far as
 * asking Xen for it: what the table of errors is made with.
 */

import * as xc from '#dist/index.js';

type CallOnDomain = (xch: xc.XcInterface, domid: number) => unknown;

/** More than any domain may have in one extent: nothing is done, but the domain is looked for. */
const TOO_LARGE = 19;
/** A frame that every HVM domain here has, and the host keeps for devices. */
const FRAME = 0x10;
const NO_FRAME = 2 ** 36;
const NO_SPACE = 99;
const NO_CTRLREG = 99;
const MSR_LSTAR = 0xc000_0082;
const NO_VCPU = 0xffff;
const NO_VIRQ = 99;
const NO_DEBUG_OP = 99;
const CPU_RECORD = 2;
/** More than any domain has. */
const NO_PIRQ = 0x7000;
/** ff:1f.7, the last function of the last bus. */
const NO_DEVICE = 0xffff;
const VGA_FRAME = 0xa0;
const STORE_PFN = xc.HVM_PARAM_STORE_PFN;

/** The errno of a single page in brackets, since the call itself did not fail. */
function firstPage(mapping: xc.ForeignMapping): string {
  const error = mapping.errors[0] ?? 0;
  mapping.close();
  return error === 0 ? 'ok' : `[${new xc.XenError('', error).code}]`;
}

/** What is set here, is set to what it is already. */
function info(xch: xc.XcInterface, domid: number): xc.DomainInfo | null {
  try {
    return xc.xc_domain_getinfo_single(xch, domid);
  } catch {
    return null;
  }
}

export const ALTP2M_CALLS: Readonly<Record<string, CallOnDomain>> = {
  xc_altp2m_get_domain_state: (x, d) => xc.xc_altp2m_get_domain_state(x, d),
  xc_altp2m_set_domain_state: (x, d) => xc.xc_altp2m_set_domain_state(x, d, true),
  xc_altp2m_create_view: (x, d) => xc.xc_altp2m_create_view(x, d, xc.XENMEM_access.rwx),
  xc_altp2m_destroy_view: (x, d) => xc.xc_altp2m_destroy_view(x, d, 1),
  xc_altp2m_switch_to_view: (x, d) => xc.xc_altp2m_switch_to_view(x, d, 0),
  xc_altp2m_set_visibility: (x, d) => xc.xc_altp2m_set_visibility(x, d, 1, true),
  xc_altp2m_get_vcpu_p2m_idx: (x, d) => xc.xc_altp2m_get_vcpu_p2m_idx(x, d, 0),
  xc_altp2m_set_vcpu_enable_notify: (x, d) => xc.xc_altp2m_set_vcpu_enable_notify(x, d, 0, FRAME),
  xc_altp2m_set_vcpu_disable_notify: (x, d) => xc.xc_altp2m_set_vcpu_disable_notify(x, d, 0),
  xc_altp2m_set_mem_access: (x, d) => xc.xc_altp2m_set_mem_access(x, d, 0, FRAME, xc.XENMEM_access.rwx),
  xc_altp2m_set_mem_access_multi: (x, d) => xc.xc_altp2m_set_mem_access_multi(x, d, 0, [7], [FRAME]),
  xc_altp2m_set_mem_access_multi_async: (x, d) => xc.xc_altp2m_set_mem_access_multi_async(x, d, 0, [7], [FRAME]),
  xc_altp2m_get_mem_access: (x, d) => xc.xc_altp2m_get_mem_access(x, d, 0, FRAME),
  xc_altp2m_set_suppress_ve: (x, d) => xc.xc_altp2m_set_suppress_ve(x, d, 0, FRAME, true),
  xc_altp2m_set_suppress_ve_multi: (x, d) => xc.xc_altp2m_set_suppress_ve_multi(x, d, 0, FRAME, FRAME, true),
  xc_altp2m_set_supress_ve_multi: (x, d) => xc.xc_altp2m_set_supress_ve_multi(x, d, 0, FRAME, FRAME, true),
  xc_altp2m_get_suppress_ve: (x, d) => xc.xc_altp2m_get_suppress_ve(x, d, 0, FRAME),
  xc_altp2m_change_gfn: (x, d) => xc.xc_altp2m_change_gfn(x, d, 1, FRAME, xc.INVALID_GFN),
};

export const DOMAIN_CALLS: Readonly<Record<string, CallOnDomain>> = {
  xc_domain_getinfo_single: (x, d) => xc.xc_domain_getinfo_single(x, d),
  xc_domain_getinfolist: (x, d) => xc.xc_domain_getinfolist(x, d, 1),
  xc_domain_create: (x, d) => {
    const flags = xc.XEN_DOMCTL_CDF_hvm | xc.XEN_DOMCTL_CDF_hap;
    xc.xc_domain_destroy(x, xc.xc_domain_create(x, d, { flags, max_vcpus: 1 }));
  },
  xc_domain_sethandle: (x, d) =>
    xc.xc_domain_sethandle(x, d, info(x, d)?.handle ?? '00000000-0000-0000-0000-000000000000'),
  xc_domain_max_vcpus: (x, d) => xc.xc_domain_max_vcpus(x, d, (info(x, d)?.max_vcpu_id ?? 0) + 1),
  xc_domain_pause: (x, d) => {
    xc.xc_domain_pause(x, d);
    xc.xc_domain_unpause(x, d);
  },
  xc_domain_unpause: (x, d) => {
    xc.xc_domain_unpause(x, d);
    xc.xc_domain_pause(x, d);
  },
  xc_domain_set_access_required: (x, d) => xc.xc_domain_set_access_required(x, d, false),
  xc_domain_setmaxmem: (x, d) => xc.xc_domain_setmaxmem(x, d, (info(x, d)?.max_pages ?? 0) * 4),
  xc_domain_maximum_gpfn: (x, d) => xc.xc_domain_maximum_gpfn(x, d),
  xc_domain_populate_physmap: (x, d) => xc.xc_domain_populate_physmap(x, d, TOO_LARGE, 0, [0]),
  xc_domain_populate_physmap_exact: (x, d) => xc.xc_domain_populate_physmap_exact(x, d, TOO_LARGE, 0, [0]),
  xc_domain_populate_physmap_exact_async: (x, d) => xc.xc_domain_populate_physmap_exact_async(x, d, TOO_LARGE, 0, [0]),
  xc_domain_increase_reservation: (x, d) => xc.xc_domain_increase_reservation(x, d, 1, TOO_LARGE, 0),
  xc_domain_increase_reservation_exact: (x, d) => xc.xc_domain_increase_reservation_exact(x, d, 1, TOO_LARGE, 0),
  xc_domain_decrease_reservation: (x, d) => xc.xc_domain_decrease_reservation(x, d, 0, [NO_FRAME]),
  xc_domain_decrease_reservation_exact: (x, d) => xc.xc_domain_decrease_reservation_exact(x, d, 0, [NO_FRAME]),
  xc_get_paging_mempool_size: (x, d) => xc.xc_get_paging_mempool_size(x, d),
  xc_set_paging_mempool_size: (x, d) => xc.xc_set_paging_mempool_size(x, d, 8 << 20),
  xc_hvm_param_get: (x, d) => xc.xc_hvm_param_get(x, d, STORE_PFN),
  xc_hvm_param_set: (x, d) => xc.xc_hvm_param_set(x, d, STORE_PFN, 0),
  xc_domain_hvm_getcontext: (x, d) => xc.xc_domain_hvm_getcontext(x, d),
  xc_domain_hvm_setcontext: (x, d) => xc.xc_domain_hvm_setcontext(x, d, new Uint8Array(64)),
  xc_map_foreign_bulk: (x, d) => firstPage(xc.xc_map_foreign_bulk(x, d, xc.PROT_READ, [FRAME])),
  xc_map_foreign_pages: (x, d) => xc.xc_map_foreign_pages(x, d, xc.PROT_READ, [FRAME]).close(),
  xc_map_foreign_range: (x, d) => xc.xc_map_foreign_range(x, d, 4096, xc.PROT_READ, FRAME).close(),
  xc_set_mem_access: (x, d) => xc.xc_set_mem_access(x, d, xc.XENMEM_access.rwx, NO_FRAME, 1),
  xc_set_mem_access_multi: (x, d) => xc.xc_set_mem_access_multi(x, d, [7], [NO_FRAME]),
  xc_get_mem_access: (x, d) => void xc.xc_get_mem_access(x, d, NO_FRAME),
  xc_monitor_enable: (x, d) => void xc.xc_monitor_enable(x, d), // none here has a frame for the ring
  xc_monitor_disable: (x, d) => xc.xc_monitor_disable(x, d),
  xc_monitor_resume: (x, d) => xc.xc_monitor_resume(x, d),
  xc_monitor_get_capabilities: (x, d) => void xc.xc_monitor_get_capabilities(x, d),
  xc_monitor_write_ctrlreg: (x, d) => xc.xc_monitor_write_ctrlreg(x, d, NO_CTRLREG, true, true, 0, false),
  xc_monitor_mov_to_msr: (x, d) => xc.xc_monitor_mov_to_msr(x, d, MSR_LSTAR, false, false),
  xc_monitor_singlestep: (x, d) => xc.xc_monitor_singlestep(x, d, false),
  xc_monitor_software_breakpoint: (x, d) => xc.xc_monitor_software_breakpoint(x, d, false),
  xc_monitor_descriptor_access: (x, d) => xc.xc_monitor_descriptor_access(x, d, false),
  xc_monitor_guest_request: (x, d) => xc.xc_monitor_guest_request(x, d, false, false, false),
  xc_monitor_inguest_pagefault: (x, d) => xc.xc_monitor_inguest_pagefault(x, d, false),
  xc_monitor_debug_exceptions: (x, d) => xc.xc_monitor_debug_exceptions(x, d, false, false),
  xc_monitor_cpuid: (x, d) => xc.xc_monitor_cpuid(x, d, false),
  xc_monitor_privileged_call: (x, d) => xc.xc_monitor_privileged_call(x, d, false),
  xc_monitor_emul_unimplemented: (x, d) => xc.xc_monitor_emul_unimplemented(x, d, false),
  xc_monitor_vmexit: (x, d) => xc.xc_monitor_vmexit(x, d, false, false),
  xc_monitor_io: (x, d) => xc.xc_monitor_io(x, d, false),
  xc_monitor_control_registers: (x, d) => xc.xc_monitor_control_registers(x, d),
  xc_monitor_emulate_each_rep: (x, d) => xc.xc_monitor_emulate_each_rep(x, d, false),
  xc_domain_nr_gpfns: (x, d) => xc.xc_domain_nr_gpfns(x, d),
  xc_domain_add_to_physmap: (x, d) => xc.xc_domain_add_to_physmap(x, d, NO_SPACE, 0, FRAME),
  xc_domain_add_to_physmap_batch: (x, d) => void xc.xc_domain_add_to_physmap_batch(x, d, 0, NO_SPACE, [0], [FRAME]),
  xc_domain_remove_from_physmap: (x, d) => xc.xc_domain_remove_from_physmap(x, d, NO_FRAME),
  xc_domain_get_guest_width: (x, d) => void xc.xc_domain_get_guest_width(x, d),
  xc_translate_foreign_address: (x, d) => void xc.xc_translate_foreign_address(x, d, NO_VCPU, 0),
  xc_hvm_inject_trap: (x, d) => xc.xc_hvm_inject_trap(x, d, NO_VCPU, 3, xc.XEN_DMOP_EVENT_sw_exc, 0, 1, 0),
  xc_gnttab_query_size: (x, d) => void xc.xc_gnttab_query_size(x, d),
  xc_gnttab_get_version: (x, d) => void xc.xc_gnttab_get_version(x, d),
  xc_memshr_control: (x, d) => xc.xc_memshr_control(x, d, false),
  xc_memshr_fork: (x, d) => xc.xc_memshr_fork(x, d, d),
  xc_memshr_fork_reset: (x, d) => xc.xc_memshr_fork_reset(x, d, true, true),
  xc_vmtrace_enable: (x, d) => xc.xc_vmtrace_enable(x, d, NO_VCPU),
  xc_vmtrace_disable: (x, d) => xc.xc_vmtrace_disable(x, d, NO_VCPU),
  xc_vmtrace_reset_and_enable: (x, d) => xc.xc_vmtrace_reset_and_enable(x, d, NO_VCPU),
  xc_vmtrace_output_position: (x, d) => void xc.xc_vmtrace_output_position(x, d, NO_VCPU),
  xc_vmtrace_get_option: (x, d) => void xc.xc_vmtrace_get_option(x, d, NO_VCPU, 0),
  xc_vmtrace_set_option: (x, d) => xc.xc_vmtrace_set_option(x, d, NO_VCPU, 0, 0),
  xc_evtchn_alloc_unbound: (x, d) => void xc.xc_evtchn_alloc_unbound(x, d, 0),
  xc_evtchn_status: (x, d) => void xc.xc_evtchn_status(x, d, 1),
  xc_evtchn_reset: (x, d) => xc.xc_evtchn_reset(x, d),
  xc_domain_set_virq_handler: (x, d) => xc.xc_domain_set_virq_handler(x, d, NO_VIRQ),
  xc_vcpu_getcontext: (x, d) => xc.xc_vcpu_getcontext(x, d, 0),
  xc_vcpu_setcontext: (x, d) => xc.xc_vcpu_setcontext(x, d, NO_VCPU, null),
  xc_vcpu_getinfo: (x, d) => xc.xc_vcpu_getinfo(x, d, 0),
  xc_vcpu_get_extstate: (x, d) => xc.xc_vcpu_get_extstate(x, d, 0),
  xc_domain_setdebugging: (x, d) => xc.xc_domain_setdebugging(x, d, false),
  xc_domain_debug_control: (x, d) => xc.xc_domain_debug_control(x, d, NO_DEBUG_OP, 0),
  xc_domain_hvm_getcontext_partial: (x, d) => xc.xc_domain_hvm_getcontext_partial(x, d, CPU_RECORD, 0),
  xc_domain_ioport_permission: (x, d) => xc.xc_domain_ioport_permission(x, d, 0xfff0, 1, true),
  xc_domain_irq_permission: (x, d) => xc.xc_domain_irq_permission(x, d, NO_PIRQ, true),
  xc_domain_gsi_permission: (x, d) => xc.xc_domain_gsi_permission(x, d, NO_PIRQ, xc.XEN_DOMCTL_GSI_REVOKE),
  xc_domain_iomem_permission: (x, d) => xc.xc_domain_iomem_permission(x, d, VGA_FRAME, 1, true),
  xc_domain_memory_mapping: (x, d) => xc.xc_domain_memory_mapping(x, d, VGA_FRAME + 1, VGA_FRAME + 1, 1, true),
  xc_domain_ioport_mapping: (x, d) => xc.xc_domain_ioport_mapping(x, d, 0xfff0, 0xfff0, 0, true),
  xc_assign_device: (x, d) => xc.xc_assign_device(x, d, NO_DEVICE, 0),
  xc_test_assign_device: (x, d) => xc.xc_test_assign_device(x, d, NO_DEVICE),
  xc_deassign_device: (x, d) => xc.xc_deassign_device(x, d, NO_DEVICE),
  xc_get_device_group: (x, d) => void xc.xc_get_device_group(x, d, NO_DEVICE, 1),
  xc_physdev_map_pirq: (x, d) => void xc.xc_physdev_map_pirq(x, d, NO_PIRQ, -1),
  xc_physdev_map_pirq_gsi: (x, d) => void xc.xc_physdev_map_pirq_gsi(x, d, NO_PIRQ, -1),
  xc_physdev_map_pirq_msi: (x, d) => void xc.xc_physdev_map_pirq_msi(x, d, -1, -1, 0xff, 0xff, 0, 4096),
  xc_physdev_unmap_pirq: (x, d) => xc.xc_physdev_unmap_pirq(x, d, NO_PIRQ),
  xc_domain_update_msi_irq: (x, d) => xc.xc_domain_update_msi_irq(x, d, 0x41, NO_PIRQ, 0, 0),
  xc_domain_unbind_msi_irq: (x, d) => xc.xc_domain_unbind_msi_irq(x, d, 0x41, NO_PIRQ, 0),
  xc_domain_bind_pt_irq: (x, d) => xc.xc_domain_bind_pt_irq(x, d, 0xff, xc.PT_IRQ_TYPE_PCI, 0, 3, 0, 0),
  xc_domain_unbind_pt_irq: (x, d) => xc.xc_domain_unbind_pt_irq(x, d, 0xff, xc.PT_IRQ_TYPE_PCI, 0, 3, 0, 0),
  xc_domain_bind_pt_pci_irq: (x, d) => xc.xc_domain_bind_pt_pci_irq(x, d, 0xff, 0, 3, 0),
  xc_domain_bind_pt_isa_irq: (x, d) => xc.xc_domain_bind_pt_isa_irq(x, d, 0xff),
  xc_domain_shutdown: (x, d) => xc.xc_domain_shutdown(x, d, xc.SHUTDOWN_crash),
  xc_domain_destroy: (x, d) => xc.xc_domain_destroy(x, d),
  xc_domain_destroy_async: (x, d) => xc.xc_domain_destroy_async(x, d),
};

/** Calls after which the domain is another or none. */
export const ENDING: ReadonlySet<string> = new Set([
  'xc_domain_shutdown',
  'xc_domain_destroy',
  'xc_domain_destroy_async',
]);

/** Public calls that name no domain. */
export const OTHER_CALLS: readonly string[] = [
  'xc_interface_open',
  'xc_interface_close',
  'xc_cpumap_alloc',
  'xc_cpumap_clearcpu',
  'xc_cpumap_setcpu',
  'xc_cpumap_testcpu',
  'xc_cputopoinfo',
  'xc_get_cpumap_size',
  'xc_get_max_cpus',
  'xc_get_max_nodes',
  'xc_get_nodemap_size',
  'xc_get_online_cpus',
  'xc_getcpuinfo',
  'xc_nodemap_alloc',
  'xc_numainfo',
  'xc_physdev_prepare_msix',
  'xc_physdev_release_msix',
  'xc_physinfo',
  'xc_vm_event_get_version',
  'xc_readconsolering',
  'xc_send_debug_keys',
  'xc_version',
  'xc_xenver_buildid',
  'xc_xenver_capabilities',
  'xc_xenver_changeset',
  'xc_xenver_commandline',
  'xc_xenver_compile_info',
  'xc_xenver_extraversion',
  'xc_xenver_get_features',
  'xc_xenver_guest_handle',
  'xc_xenver_pagesize',
  'xc_xenver_platform_parameters',
];
