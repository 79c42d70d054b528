/** The xen_version hypercall (`common/kernel.c`): who this hypervisor is. Open to every caller, at any version. */

import { errno } from '../../abi/errno.js';
import { releaseIndex } from '../../abi/release.js';
import {
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_COMMANDLINE_LEN,
  XEN_EXTRAVERSION_LEN,
  XENVER_build_id,
  XENVER_capabilities,
  XENVER_changeset,
  XENVER_commandline,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
  xen_build_id,
  xen_compile_info,
  xen_feature_info,
} from '../../abi/version.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import type { Caller } from '../caller.js';
import type { Host } from '../domain.js';

/** What xen_version tells about the machine. */
export interface VersionHost extends Host {
  readonly commandLine: string;
  readonly shadow: boolean;
}

/** Where a PV guest's own address space begins; HVM callers are told it, too. */
const HYPERVISOR_VIRT_START = 0xffff_8000_0000_0000n;

export function xenVersion(host: VersionHost, caller: Caller, cmd: number, address: number): number {
  const minor = 14 + releaseIndex(host.release);
  switch (cmd) {
    case XENVER_version:
      return (4 << 16) | minor;
    case XENVER_extraversion:
      return text(caller, address, '.0-model', XEN_EXTRAVERSION_LEN);
    case XENVER_capabilities:
      return text(caller, address, capabilities(host), XEN_CAPABILITIES_INFO_LEN);
    case XENVER_changeset:
      return text(caller, address, 'software model', XEN_CHANGESET_INFO_LEN);
    case XENVER_commandline:
      return text(caller, address, host.commandLine, XEN_COMMANDLINE_LEN);
    case XENVER_compile_info:
      return compileInfo(caller, address);
    case XENVER_platform_parameters:
      return bytes(caller, address, u64(HYPERVISOR_VIRT_START));
    case XENVER_get_features:
      return features(caller, address);
    case XENVER_pagesize:
      return address === 0 ? PAGE_SIZE : -errno.EINVAL;
    case XENVER_guest_handle:
      return bytes(caller, address, caller.domain.handle);
    case XENVER_build_id:
      return buildId(caller, address);
    default:
      return -errno.ENOSYS;
  }
}

/** What a linker would have put in. */
const BUILD_ID = new TextEncoder().encode('xenctrl software Xen');

/** `XENFEAT_*` (`features.h`) by the type of the caller: what the memory of such a domain is like. */
const FEATURES = {
  /** Page tables: bits 4 to 7; 13: reservations know nodes; 17: frame numbers are machine frame numbers. */
  pv: 0x2_20f0,
  /** Bits 0 and 2: translated, and its page tables are its own; 8 and 9: vector callback, clock; 13; 16: not 17. */
  hvm: 0x1_2305,
} as const;
const XENFEAT_dom0 = 1 << 11;

/** Guest ABIs; `3.0` is the ABI's version, the same in every Xen 4. */
function capabilities(host: VersionHost): string {
  const hvm = host.cpu.hap || host.shadow ? 'hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ' : '';
  return `xen-3.0-x86_64 ${hvm}`;
}

function compileInfo(caller: Caller, address: number): number {
  const info = new Uint8Array(xen_compile_info.size);
  const put = (offset: number, value: string): void => info.set(new TextEncoder().encode(value), offset);
  put(xen_compile_info.at.compiler, 'TypeScript');
  put(xen_compile_info.at.compile_by, 'xenctrl');
  put(xen_compile_info.at.compile_domain, 'model');
  put(xen_compile_info.at.compile_date, 'never');
  return bytes(caller, address, info);
}

function features(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_feature_info.size)) return -errno.EFAULT;
  if (memory.view.getUint32(memory.at + xen_feature_info.at.submap_idx, true) > 0) return -errno.EINVAL;
  memory.view.setUint32(
    memory.at + xen_feature_info.at.submap,
    FEATURES[caller.domain.config.type] | (caller.privileged ? XENFEAT_dom0 : 0),
    true,
  );
  return memory.copyOut(address, xen_feature_info.size) ? 0 : -errno.EFAULT;
}

/** Tells the length where there is no address; else fills as much as there is room for. */
function buildId(caller: Caller, address: number): number {
  if (address === 0) return BUILD_ID.length;
  const { memory } = caller;
  if (!memory.copyIn(address, xen_build_id.size)) return -errno.EFAULT;
  const room = memory.view.getUint32(memory.at + xen_build_id.at.len, true);
  if (room === 0) return -errno.EINVAL;
  if (room < BUILD_ID.length) return -errno.ENOBUFS;
  const rc = bytes(caller, address + xen_build_id.size, BUILD_ID);
  return rc < 0 ? rc : BUILD_ID.length;
}

function text(caller: Caller, address: number, value: string, length: number): number {
  const array = new Uint8Array(length);
  array.set(new TextEncoder().encode(value).subarray(0, length - 1));
  return bytes(caller, address, array);
}

function bytes(caller: Caller, address: number, value: Uint8Array): number {
  return caller.memory.write(address, value) ? 0 : -errno.EFAULT;
}

function u64(value: bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([value]).buffer);
}
