/** `domctl.h`: control of domains, for privileged callers. Every call carries the release's interface version. */

import { type Field, struct, versionedStruct } from './layout.js';

export const XEN_DOMCTL_createdomain = 1;
export const XEN_DOMCTL_destroydomain = 2;
export const XEN_DOMCTL_pausedomain = 3;
export const XEN_DOMCTL_unpausedomain = 4;
export const XEN_DOMCTL_getdomaininfo = 5;
export const XEN_DOMCTL_max_mem = 11;
export const XEN_DOMCTL_setvcpucontext = 12;
export const XEN_DOMCTL_getvcpucontext = 13;
export const XEN_DOMCTL_getvcpuinfo = 14;
export const XEN_DOMCTL_max_vcpus = 15;
export const XEN_DOMCTL_setdomainhandle = 17;
export const XEN_DOMCTL_setdebugging = 18;
export const XEN_DOMCTL_gethvmcontext = 33;
export const XEN_DOMCTL_sethvmcontext = 34;
export const XEN_DOMCTL_get_address_size = 36;
export const XEN_DOMCTL_debug_op = 54;
export const XEN_DOMCTL_gethvmcontext_partial = 55;
export const XEN_DOMCTL_vm_event_op = 56;
export const XEN_DOMCTL_mem_sharing_op = 57;
export const XEN_DOMCTL_getpageframeinfo3 = 61;
export const XEN_DOMCTL_getvcpuextstate = 63;
export const XEN_DOMCTL_set_access_required = 64;
export const XEN_DOMCTL_set_virq_handler = 66;
export const XEN_DOMCTL_monitor_op = 77;
/** Since 4.15. */
export const XEN_DOMCTL_vmtrace_op = 84;
/** Since 4.17. */
export const XEN_DOMCTL_get_paging_mempool_size = 85;
/** Since 4.17. */
export const XEN_DOMCTL_set_paging_mempool_size = 86;

/** `createdomain.flags`. */
export const XEN_DOMCTL_CDF_hvm = 1 << 0;
export const XEN_DOMCTL_CDF_hap = 1 << 1;
export const XEN_DOMCTL_CDF_s3_integrity = 1 << 2;
export const XEN_DOMCTL_CDF_oos_off = 1 << 3;
export const XEN_DOMCTL_CDF_xs_domain = 1 << 4;
export const XEN_DOMCTL_CDF_iommu = 1 << 5;
/** Since 4.14. */
export const XEN_DOMCTL_CDF_nested_virt = 1 << 6;
/** Since 4.16. */
export const XEN_DOMCTL_CDF_vpmu = 1 << 7;

/** `createdomain.iommu_opts`. */
export const XEN_DOMCTL_IOMMU_no_sharept = 1 << 0;

/** `createdomain.grant_opts`: the bits that hold the highest grant table version. */
export const XEN_DOMCTL_GRANT_version_mask = 0xf;

/** `createdomain.arch.emulation_flags` (`arch-x86/xen.h`). */
export const XEN_X86_EMU_LAPIC = 1 << 0;
export const XEN_X86_EMU_HPET = 1 << 1;
export const XEN_X86_EMU_PM = 1 << 2;
export const XEN_X86_EMU_RTC = 1 << 3;
export const XEN_X86_EMU_IOAPIC = 1 << 4;
export const XEN_X86_EMU_PIC = 1 << 5;
export const XEN_X86_EMU_VGA = 1 << 6;
export const XEN_X86_EMU_IOMMU = 1 << 7;
export const XEN_X86_EMU_PIT = 1 << 8;
export const XEN_X86_EMU_USE_PIRQ = 1 << 9;
export const XEN_X86_EMU_VPCI = 1 << 10;

/** `createdomain.arch.misc_flags` (`arch-x86/xen.h`), since 4.15. */
export const XEN_X86_MSR_RELAXED = 1 << 0;

/** `getdomaininfo.max_vcpu_id` of a domain that has no vCPU. */
export const XEN_INVALID_MAX_VCPU_ID = 0xffff_ffff;

/** `getdomaininfo.flags`. */
export const XEN_DOMINF_dying = 1 << 0;
export const XEN_DOMINF_hvm_guest = 1 << 1;
export const XEN_DOMINF_shutdown = 1 << 2;
export const XEN_DOMINF_paused = 1 << 3;
export const XEN_DOMINF_blocked = 1 << 4;
export const XEN_DOMINF_running = 1 << 5;
export const XEN_DOMINF_debugged = 1 << 6;
export const XEN_DOMINF_xs_domain = 1 << 7;
export const XEN_DOMINF_hap = 1 << 8;
export const XEN_DOMINF_shutdownmask = 255;
export const XEN_DOMINF_shutdownshift = 16;

/** `vm_event_op.op`. */
export const XEN_VM_EVENT_ENABLE = 0;
export const XEN_VM_EVENT_DISABLE = 1;
export const XEN_VM_EVENT_RESUME = 2;
export const XEN_VM_EVENT_GET_VERSION = 3;
/** `vm_event_op.mode`: which of a domain's rings. */
export const XEN_DOMCTL_VM_EVENT_OP_PAGING = 1;
export const XEN_DOMCTL_VM_EVENT_OP_MONITOR = 2;
export const XEN_DOMCTL_VM_EVENT_OP_SHARING = 3;

/** `monitor_op.op`. */
export const XEN_DOMCTL_MONITOR_OP_ENABLE = 0;
export const XEN_DOMCTL_MONITOR_OP_DISABLE = 1;
export const XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES = 2;
export const XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP = 3;
export const XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS = 4;
/** `monitor_op.event`; the capabilities are a mask of 1 << event. */
export const XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG = 0;
export const XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR = 1;
export const XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP = 2;
export const XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT = 3;
export const XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST = 4;
export const XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION = 5;
export const XEN_DOMCTL_MONITOR_EVENT_CPUID = 6;
/** ARM only. */
export const XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL = 7;
export const XEN_DOMCTL_MONITOR_EVENT_INTERRUPT = 8;
export const XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS = 9;
export const XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED = 10;
export const XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT = 11;
/** Since 4.17. */
export const XEN_DOMCTL_MONITOR_EVENT_VMEXIT = 12;
/** Since 4.18. */
export const XEN_DOMCTL_MONITOR_EVENT_IO = 13;

/** `getpageframeinfo3`: the type of a frame that has no memory. */
export const XEN_DOMCTL_PFINFO_XTAB = 0xf000_0000;

/** `debug_op.op`. */
export const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF = 0;
export const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON = 1;

/** `mem_sharing_op.op`. */
export const XEN_DOMCTL_MEM_SHARING_CONTROL = 0;

/** `vmtrace_op.cmd`. */
export const XEN_DOMCTL_vmtrace_enable = 1;
export const XEN_DOMCTL_vmtrace_disable = 2;
export const XEN_DOMCTL_vmtrace_reset_and_enable = 3;
export const XEN_DOMCTL_vmtrace_output_position = 4;
export const XEN_DOMCTL_vmtrace_get_option = 5;
export const XEN_DOMCTL_vmtrace_set_option = 6;

const H = 'domctl.h';

/** The container of every domctl. The structures below lie in its union `u`. */
export const xen_domctl = struct('xen_domctl', H, 144, {
  cmd: [0, 4],
  interface_version: [4, 4],
  domain: [8, 2],
  u: [16, 128],
});

const created = { ssidref: [0, 4], handle: [4, 16], flags: [20, 4] } as const satisfies Record<string, Field>;
const limits = {
  ...created,
  iommu_opts: [24, 4],
  max_vcpus: [28, 4],
  max_evtchn_port: [32, 4],
  max_grant_frames: [36, 4],
  max_maptrack_frames: [40, 4],
} as const satisfies Record<string, Field>;

export const xen_domctl_createdomain = versionedStruct('xen_domctl_createdomain', H, [
  ['4.14', 48, { ...limits, 'arch.emulation_flags': [44, 4] }],
  ['4.15', 56, { ...limits, vmtrace_size: [44, 4], 'arch.emulation_flags': [48, 4], 'arch.misc_flags': [52, 4] }],
  [
    '4.16',
    60,
    {
      ...limits,
      grant_opts: [44, 4],
      vmtrace_size: [48, 4],
      'arch.emulation_flags': [52, 4],
      'arch.misc_flags': [56, 4],
    },
  ],
  [
    '4.17',
    64,
    {
      ...limits,
      grant_opts: [44, 4],
      vmtrace_size: [48, 4],
      cpupool_id: [52, 4],
      'arch.emulation_flags': [56, 4],
      'arch.misc_flags': [60, 4],
    },
  ],
  [
    '4.19',
    68,
    {
      ...limits,
      grant_opts: [44, 4],
      altp2m_opts: [48, 4],
      vmtrace_size: [52, 4],
      cpupool_id: [56, 4],
      'arch.emulation_flags': [60, 4],
      'arch.misc_flags': [64, 4],
    },
  ],
  [
    '4.21',
    68,
    {
      ...limits,
      grant_opts: [44, 4],
      'altp2m.opts': [48, 2],
      'altp2m.nr': [50, 2],
      vmtrace_size: [52, 4],
      cpupool_id: [56, 4],
      'arch.emulation_flags': [60, 4],
      'arch.misc_flags': [64, 4],
    },
  ],
]);

const info = {
  domain: [0, 2],
  flags: [4, 4],
  tot_pages: [8, 8],
  max_pages: [16, 8],
  outstanding_pages: [24, 8],
  shr_pages: [32, 8],
  paged_pages: [40, 8],
  shared_info_frame: [48, 8],
  cpu_time: [56, 8],
  nr_online_vcpus: [64, 4],
  max_vcpu_id: [68, 4],
  ssidref: [72, 4],
  handle: [76, 16],
  cpupool: [92, 4],
} as const satisfies Record<string, Field>;

/** Also the element of sysctl getdomaininfolist's array, whose stride is therefore 104 bytes up to 4.15 and 112 after. */
export const xen_domctl_getdomaininfo = versionedStruct('xen_domctl_getdomaininfo', H, [
  ['4.14', 104, { ...info, 'arch_config.emulation_flags': [96, 4] }],
  ['4.15', 104, { ...info, 'arch_config.emulation_flags': [96, 4], 'arch_config.misc_flags': [100, 4] }],
  [
    '4.16',
    112,
    { ...info, gpaddr_bits: [96, 1], 'arch_config.emulation_flags': [104, 4], 'arch_config.misc_flags': [108, 4] },
  ],
]);

export const xen_domctl_setdomainhandle = struct('xen_domctl_setdomainhandle', H, 16, { handle: [0, 16] });
export const xen_domctl_max_mem = struct('xen_domctl_max_mem', H, 8, { max_memkb: [0, 8] });
export const xen_domctl_max_vcpus = struct('xen_domctl_max_vcpus', H, 4, { max: [0, 4] });
/** Since 4.17. */
export const xen_domctl_paging_mempool = versionedStruct('xen_domctl_paging_mempool', H, [
  ['4.17', 8, { size: [0, 8] }],
]);
export const xen_domctl_hvmcontext = struct('xen_domctl_hvmcontext', H, 16, { size: [0, 4], buffer: [8, 8] });
export const xen_domctl_set_access_required = struct('xen_domctl_set_access_required', H, 1, {
  access_required: [0, 1],
});
export const xen_domctl_vm_event_op = struct('xen_domctl_vm_event_op', H, 12, {
  op: [0, 4],
  mode: [4, 4],
  'u.enable.port': [8, 4],
  'u.version': [8, 4],
});
/** `u.vmexit.sync`, since 4.17, lies where `u.debug_exception.sync` does. */
export const xen_domctl_monitor_op = struct('xen_domctl_monitor_op', H, 24, {
  op: [0, 4],
  event: [4, 4],
  'u.mov_to_cr.index': [8, 1],
  'u.mov_to_cr.sync': [9, 1],
  'u.mov_to_cr.onchangeonly': [10, 1],
  'u.mov_to_cr.pad1': [11, 1],
  'u.mov_to_cr.pad2': [12, 4],
  'u.mov_to_cr.bitmask': [16, 8],
  'u.mov_to_msr.msr': [8, 4],
  'u.mov_to_msr.onchangeonly': [12, 1],
  'u.guest_request.sync': [8, 1],
  'u.guest_request.allow_userspace': [9, 1],
  'u.debug_exception.sync': [8, 1],
});
/** `array` points to `num` 64-bit frame numbers; Xen writes the types over them. */
export const xen_domctl_getpageframeinfo3 = struct('xen_domctl_getpageframeinfo3', H, 16, {
  num: [0, 8],
  array: [8, 8],
});
/** `ctxt` points to a `vcpu_guest_context`. */
export const xen_domctl_vcpucontext = struct('xen_domctl_vcpucontext', H, 16, { vcpu: [0, 4], ctxt: [8, 8] });
export const xen_domctl_getvcpuinfo = struct('xen_domctl_getvcpuinfo', H, 24, {
  vcpu: [0, 4],
  online: [4, 1],
  blocked: [5, 1],
  running: [6, 1],
  cpu_time: [8, 8],
  cpu: [16, 4],
});
/** In bits. */
export const xen_domctl_address_size = struct('xen_domctl_address_size', H, 4, { size: [0, 4] });
export const xen_domctl_setdebugging = struct('xen_domctl_setdebugging', H, 1, { enable: [0, 1] });
export const xen_domctl_debug_op = struct('xen_domctl_debug_op', H, 8, { op: [0, 4], vcpu: [4, 4] });
export const xen_domctl_hvmcontext_partial = struct('xen_domctl_hvmcontext_partial', H, 24, {
  type: [0, 4],
  instance: [4, 4],
  bufsz: [8, 8],
  buffer: [16, 8],
});
export const xen_domctl_vcpuextstate = struct('xen_domctl_vcpuextstate', H, 32, {
  vcpu: [0, 4],
  xfeature_mask: [8, 8],
  size: [16, 8],
  buffer: [24, 8],
});
export const xen_domctl_mem_sharing_op = struct('xen_domctl_mem_sharing_op', H, 2, { op: [0, 1], 'u.enable': [1, 1] });
export const xen_domctl_set_virq_handler = struct('xen_domctl_set_virq_handler', H, 4, { virq: [0, 4] });
/** Since 4.15. */
export const xen_domctl_vmtrace_op = versionedStruct('xen_domctl_vmtrace_op', H, [
  ['4.15', 24, { cmd: [0, 4], vcpu: [4, 4], key: [8, 8], value: [16, 8] }],
]);
