/** Makes HVM guests through the public calls, as a toolstack does: the same on every target. */

import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '#dist/abi/domctl.js';
import {
  HVM_FILE_MAGIC,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '#dist/abi/hvm/save.js';
import * as xc from '#dist/index.js';
import { xenAtLeast } from '#dist/xc/interface.js';

export interface HvmOptions {
  readonly vcpus?: number;
  /** Pages at frame 0 and up. */
  readonly pages?: number;
  /** `XEN_ALTP2M_*`. */
  readonly altp2mMode?: number;
}

/** HVM_PARAM_ALTP2M. */
const ALTP2M_PARAM = 35;
const MAX_MEMORY_KB = 16384;
const PAGING_POOL = 8 << 20;

/** A domain with memory, paused, its vCPUs not yet started. */
export function createHvm(xch: xc.XcInterface, options: HvmOptions = {}): number {
  const { vcpus = 2, pages = 256, altp2mMode = 0 } = options;
  const atCreation = xenAtLeast(xch, '4.19');
  const domid = xc.xc_domain_create(xch, 0, {
    flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    max_vcpus: vcpus,
    ...(atCreation && altp2mMode !== 0 ? { altp2m: { opts: altp2mMode } } : {}),
  });
  try {
    xc.xc_domain_max_vcpus(xch, domid, vcpus);
    xc.xc_domain_setmaxmem(xch, domid, MAX_MEMORY_KB);
    if (xenAtLeast(xch, '4.17')) xc.xc_set_paging_mempool_size(xch, domid, PAGING_POOL);
    if (!atCreation && altp2mMode !== 0) xc.xc_hvm_param_set(xch, domid, ALTP2M_PARAM, altp2mMode);
    if (pages > 0) {
      const gfns = Array.from({ length: pages }, (_, gfn) => gfn);
      xc.xc_domain_populate_physmap_exact(xch, domid, 0, 0, gfns);
    }
  } catch (error) {
    xc.xc_domain_destroy(xch, domid);
    throw error;
  }
  return domid;
}

const FLAT_CODE = 0xc9b;
const FLAT_DATA = 0xc93;
const BUSY_TSS = 0x8b;

/** A context for vCPU 0: 32-bit protected mode, flat segments, paging off, about to run at `entry`. */
export function flatContext(xch: xc.XcInterface, domid: number, entry: number): Uint8Array {
  const current = xc.xc_domain_hvm_getcontext(xch, domid);
  const D = hvm_save_descriptor;
  const headerEnd = D.size + hvm_save_header.size;
  const context = new Uint8Array(headerEnd + D.size + hvm_hw_cpu.size + D.size);
  // the header as this Xen writes it: it may check its own version there
  context.set(current.subarray(0, headerEnd));
  const view = new DataView(context.buffer);
  if (view.getUint16(D.at.typecode, true) !== HVM_SAVE_CODE_HEADER || view.getUint32(D.size, true) !== HVM_FILE_MAGIC) {
    throw new Error('the saved context does not begin with its header');
  }
  view.setUint16(headerEnd + D.at.typecode, HVM_SAVE_CODE_CPU, true);
  view.setUint32(headerEnd + D.at.length, hvm_hw_cpu.size, true);
  const cpu = headerEnd + D.size;
  const { at } = hvm_hw_cpu;
  for (const limit of [at.cs_limit, at.ds_limit, at.es_limit, at.ss_limit])
    view.setUint32(cpu + limit, 0xffff_ffff, true);
  view.setUint32(cpu + at.tr_limit, 0x67, true);
  view.setUint32(cpu + at.cs_arbytes, FLAT_CODE, true);
  for (const rights of [at.ds_arbytes, at.es_arbytes, at.ss_arbytes]) view.setUint32(cpu + rights, FLAT_DATA, true);
  view.setUint32(cpu + at.tr_arbytes, BUSY_TSS, true);
  view.setBigUint64(cpu + at.cr0, 0x11n, true);
  view.setBigUint64(cpu + at.rip, BigInt(entry), true);
  view.setBigUint64(cpu + at.dr6, 0xffff_0ff0n, true);
  view.setBigUint64(cpu + at.dr7, 0x400n, true);
  view.setUint16(context.length - D.size + D.at.typecode, HVM_SAVE_CODE_END, true);
  return context;
}

/** Writes bytes into a guest's memory through a foreign mapping. */
export function store(xch: xc.XcInterface, domid: number, gfn: number, bytes: Uint8Array, offset = 0): void {
  using page = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ | xc.PROT_WRITE, gfn);
  page.bytes.set(bytes, offset);
}

/** Reads bytes of a guest's memory through a foreign mapping. */
export function load(xch: xc.XcInterface, domid: number, gfn: number, length: number, offset = 0): Uint8Array {
  using page = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ, gfn);
  return page.bytes.slice(offset, offset + length);
}
