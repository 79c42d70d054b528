/** What Xen tells about domains, as in libxc's `xc_domain.c`. Needs privilege: `EPERM` otherwise. */

import {
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMINF_blocked,
  XEN_DOMINF_debugged,
  XEN_DOMINF_dying,
  XEN_DOMINF_hap,
  XEN_DOMINF_hvm_guest,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownmask,
  XEN_DOMINF_shutdownshift,
  XEN_DOMINF_xs_domain,
  XEN_INVALID_MAX_VCPU_ID,
  xen_domctl_getdomaininfo,
} from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { xen_sysctl_getdomaininfolist as list, XEN_SYSCTL_getdomaininfolist } from '../abi/sysctl.js';
import { checkU16, checkU32, getU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, beginSysctl, DOMCTL_U, issueDomctl, issueSysctl, SYSCTL_U } from './privileged.js';
import { refusal } from './refusal.js';
import { formatUuid } from './uuid.js';

/** A domain as Xen sees it. Pages are of 4 KiB. */
export interface DomainInfo {
  readonly domain: number;
  /** It is dead; Xen keeps its id until the last reference to it is dropped. */
  readonly dying: boolean;
  /** HVM or PVH; false: PV. */
  readonly hvm_guest: boolean;
  /** It shut itself down (see `shutdown_reason`) and waits to be destroyed or resumed. */
  readonly shutdown: boolean;
  /** Paused by {@link xc_domain_pause}. */
  readonly paused: boolean;
  /** All its vCPUs wait for an event. */
  readonly blocked: boolean;
  /** A vCPU runs at this moment. */
  readonly running: boolean;
  readonly debugged: boolean;
  /** The xenstore domain. */
  readonly xs_domain: boolean;
  /** Its memory is translated by the processor (EPT, NPT), not by shadow tables. */
  readonly hap: boolean;
  /** `SHUTDOWN_*`, or null while it runs. */
  readonly shutdown_reason: number | null;
  readonly tot_pages: number;
  /** The limit that {@link xc_domain_setmaxmem} sets. */
  readonly max_pages: number;
  readonly outstanding_pages: number;
  readonly shr_pages: number;
  readonly paged_pages: number;
  /** Frame of the shared info page; null: it has no place in the domain's memory. */
  readonly shared_info_frame: number | null;
  /** Time that its vCPUs ran, in nanoseconds. */
  readonly cpu_time: bigint;
  readonly nr_online_vcpus: number;
  /** Null: no vCPU was made yet. */
  readonly max_vcpu_id: number | null;
  readonly ssidref: number;
  /** UUID. */
  readonly handle: string;
  readonly cpupool: number;
  /** Width of its physical addresses. Null before Xen 4.16, which does not tell. */
  readonly gpaddr_bits: number | null;
  readonly arch_config: {
    /** `XEN_X86_EMU_*`. */
    readonly emulation_flags: number;
    /** Null before Xen 4.15, which does not tell. */
    readonly misc_flags: number | null;
  };
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

function read(xch: XcInterface, offset: number): DomainInfo {
  const { bytes, view } = xch.hypervisor.arena;
  const { at } = xen_domctl_getdomaininfo.for(xch.abi.release);
  const place = (name: keyof typeof at): number => offset + (at[name] as number);
  const u32 = (name: keyof typeof at): number => view.getUint32(place(name), true);
  const u64 = (name: keyof typeof at): number => getU64(view, place(name));
  const flags = u32('flags');
  const is = (bit: number): boolean => (flags & bit) !== 0;
  const frame = view.getBigUint64(place('shared_info_frame'), true);
  const lastVcpu = u32('max_vcpu_id');
  return {
    domain: view.getUint16(place('domain'), true),
    dying: is(XEN_DOMINF_dying),
    hvm_guest: is(XEN_DOMINF_hvm_guest),
    shutdown: is(XEN_DOMINF_shutdown),
    paused: is(XEN_DOMINF_paused),
    blocked: is(XEN_DOMINF_blocked),
    running: is(XEN_DOMINF_running),
    debugged: is(XEN_DOMINF_debugged),
    xs_domain: is(XEN_DOMINF_xs_domain),
    hap: is(XEN_DOMINF_hap),
    shutdown_reason: is(XEN_DOMINF_shutdown) ? (flags >>> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask : null,
    tot_pages: u64('tot_pages'),
    max_pages: u64('max_pages'),
    outstanding_pages: u64('outstanding_pages'),
    shr_pages: u64('shr_pages'),
    paged_pages: u64('paged_pages'),
    shared_info_frame: frame === ALL_ONES ? null : Number(frame),
    cpu_time: view.getBigUint64(place('cpu_time'), true),
    nr_online_vcpus: u32('nr_online_vcpus'),
    max_vcpu_id: lastVcpu === XEN_INVALID_MAX_VCPU_ID ? null : lastVcpu,
    ssidref: u32('ssidref'),
    handle: formatUuid(bytes.subarray(place('handle'), place('handle') + 16)),
    cpupool: u32('cpupool'),
    gpaddr_bits: at.gpaddr_bits === undefined ? null : view.getUint8(place('gpaddr_bits')),
    arch_config: {
      emulation_flags: u32('arch_config.emulation_flags'),
      misc_flags: at['arch_config.misc_flags'] === undefined ? null : u32('arch_config.misc_flags'),
    },
  };
}

/**
 * Tells about one domain. Mirrors libxc's function of the same name (since its 4.18); works on every Xen from 4.14.
 *
 * @throws XenError `ESRCH`: no such domain, also where Xen itself answered with the next one (up to 4.17)
 */
export function xc_domain_getinfo_single(xch: XcInterface, domid: number): DomainInfo {
  beginDomctl(xch, 'xc_domain_getinfo_single', XEN_DOMCTL_getdomaininfo, domid, 'reads');
  issueDomctl(xch, 'xc_domain_getinfo_single', domid);
  const info = read(xch, DOMCTL_U);
  if (info.domain !== domid) throw refusal('xc_domain_getinfo_single', -errno.ESRCH, domid);
  return info;
}

/** Domains asked for in one hypercall: 112 bytes each, so that a piece always fits in the smallest arena. */
const PIECE = 256;

/**
 * Tells about all domains from `first_domain` on, in the order of their ids. Long lists come in pieces of 256, between
 * which domains may come and go.
 *
 * @param max_domains no more than so many
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_domain_getinfolist(xch: XcInterface, first_domain: number, max_domains: number): DomainInfo[] {
  checkU16(first_domain, 'first_domain');
  checkU32(max_domains, 'max_domains');
  const infos: DomainInfo[] = [];
  for (let first = first_domain; first <= 0xffff; ) {
    const wanted = Math.min(PIECE, max_domains - infos.length);
    const piece = getPiece(xch, first, wanted);
    infos.push(...piece);
    const last = piece.at(-1);
    if (!last || piece.length < wanted || infos.length >= max_domains) break;
    first = last.domain + 1;
  }
  return infos;
}

function getPiece(xch: XcInterface, first: number, wanted: number): DomainInfo[] {
  // Xen writes an array whose stride only the exact layout tells
  const view = beginSysctl(xch, 'xc_domain_getinfolist', XEN_SYSCTL_getdomaininfolist, 'writes');
  const stride = xen_domctl_getdomaininfo.for(xch.abi.release).size;
  using buffer = xch.hypervisor.arena.alloc(wanted * stride);
  view.setUint16(SYSCTL_U + list.at.first_domain, first, true);
  view.setUint32(SYSCTL_U + list.at.max_domains, wanted, true);
  putU64(view, SYSCTL_U + list.at.buffer, buffer.address);
  issueSysctl(xch, 'xc_domain_getinfolist');
  const count = view.getUint32(SYSCTL_U + list.at.num_domains, true);
  return Array.from({ length: Math.min(count, wanted) }, (_, i) => read(xch, buffer.offset + i * stride));
}
