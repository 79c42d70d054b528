/** What a software Xen and its guests can be made like. */

import type { Release } from '../abi/release.js';
import type { ArgoMode } from './argo/argo.js';
import type { PciOptions } from './pci/options.js';
import type { V4v, V4vOptions } from './v4v/v4v.js';

/** What the processor can do; it decides what Xen offers. Missing members take the default. */
export interface CpuOptions {
  /** Default `'intel'`. AMD has no altp2m at all. */
  readonly vendor?: 'intel' | 'amd';
  /** Hardware assisted paging (EPT or NPT). Default true. */
  readonly hap?: boolean;
  /** The VMFUNC instruction. Default: true on Intel. */
  readonly vmfunc?: boolean;
  /** Virtualisation exceptions (#VE, vector 20). Default: true on Intel. */
  readonly ve?: boolean;
  /** Monitor trap flag: single-stepping through Xen. Default: true on Intel. */
  readonly mtf?: boolean;
  /** Intel Processor Trace, for `vmtrace`. Default false, as few processors let a guest be traced. */
  readonly pt?: boolean;
  /** Physical address bits. Default 46. */
  readonly maxphysaddr?: number;
}

export interface ModelOptions {
  /** Release to behave as. Default `'4.17'`. */
  readonly release?: Release;
  /** `altp2m=1` on Xen's command line. Default true. */
  readonly altp2m?: boolean;
  /** Argo (hypercall 39): see {@link ArgoMode}. Default `'not-compiled-in'`, as distributions build it. */
  readonly argo?: ArgoMode;
  /** V4V, Argo's forerunner, in the place of Argo. No real Xen has it. Default false. */
  readonly v4v?: boolean | V4vOptions | V4v;
  readonly cpu?: CpuOptions;
  /** PCI devices, and whether there is an IOMMU. Default: neither. */
  readonly pci?: PciOptions;
  /** Built with shadow paging, so that HVM guests without HAP can exist. Default false, as distributions build it. */
  readonly shadow?: boolean;
  /** Built with memory sharing, so that domains can be forked. Default false, as distributions build it. */
  readonly memSharing?: boolean;
  /** The machine's memory in 4 KiB pages. Default 2^30 (4 TiB): it costs nothing until it is touched. */
  readonly memoryPages?: number;
  /** Fixes the order in which vCPUs that run scripts take their turns: a 32-bit number. Default 0. */
  readonly seed?: number;
  /** Pages in the hypercall arena. Default 64. */
  readonly arenaPages?: number;
}

export type Altp2mMode = 'disabled' | 'mixed' | 'external' | 'limited';

export const ALTP2M_MODES: readonly Altp2mMode[] = ['disabled', 'mixed', 'external', 'limited'];

export interface GuestOptions {
  /** Default `'hvm'`. */
  readonly type?: 'hvm' | 'pv';
  /** Hardware assisted paging. Default: true for HVM. */
  readonly hap?: boolean;
  /** Default 1. */
  readonly vcpus?: number;
  /** 4 KiB pages at frames 0 and up, in the largest pages that fit. Default 0. */
  readonly memoryPages?: number;
  /**
   * Order of the pages that back the memory. Default: `'best'`, 1 GiB and 2 MiB pages where they fit, as the toolstack
   * makes them; `'4K'` for single frames only.
   */
  readonly pages?: 'best' | '4K';
  /** Default `'disabled'`. From 4.19 on it is an option of the domain's creation, before that HVM_PARAM_ALTP2M. */
  readonly altp2m?: Altp2mMode;
  /** Views the domain can have, from 4.21 on. Default 10. */
  readonly nrAltp2m?: number;
  readonly nestedVirt?: boolean;
  /** Devices may be given to it (`passthrough=1` in its xl.cfg): needs a machine with an IOMMU. Default false. */
  readonly iommu?: boolean;
  /** Bytes of each vCPU's trace buffer, a power of 2 from 4096 on; needs `cpu: { pt: true }`. Default 0: none. */
  readonly vmtraceSize?: number;
  /** Width of the pointers in the guest's hypercalls. Default 64. Only argo_op has a layout of its own for 32. */
  readonly abi?: 32 | 64;
  /** Default: a random one. */
  readonly uuid?: string;
}

/** The processor with its defaults filled in. */
export type Cpu = Required<CpuOptions>;

export function completeCpu(options: CpuOptions = {}): Cpu {
  const vendor = options.vendor ?? 'intel';
  const intel = vendor === 'intel';
  return {
    vendor,
    hap: options.hap ?? true,
    vmfunc: options.vmfunc ?? intel,
    ve: options.ve ?? intel,
    mtf: options.mtf ?? intel,
    pt: options.pt ?? false,
    maxphysaddr: options.maxphysaddr ?? 46,
  };
}
