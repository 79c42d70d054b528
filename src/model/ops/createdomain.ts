/** domctl createdomain: the checks of `sanitise_domain_config` in `common/domain.c` and `arch/x86/domain.c`. */

import {
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_iommu,
  XEN_DOMCTL_CDF_nested_virt,
  XEN_DOMCTL_CDF_s3_integrity,
  XEN_DOMCTL_CDF_vpmu,
  XEN_DOMCTL_GRANT_version_mask,
  XEN_X86_EMU_LAPIC,
  XEN_X86_EMU_PIT,
  XEN_X86_EMU_VPCI,
  XEN_X86_MSR_RELAXED,
  xen_domctl,
  xen_domctl_createdomain,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { XEN_ALTP2M_limited } from '../../abi/hvm/params.js';
import { atLeast, releaseIndex } from '../../abi/release.js';
import { DOMID_FIRST_RESERVED } from '../../abi/xen.js';
import type { Domain, DomainConfig } from '../domain.js';
import { isTraceSize } from '../vmtrace.js';
import type { Domctl } from './domctl.js';
import type { SysctlHost } from './sysctl.js';

const MAX_VCPUS_HVM = 128;
const MAX_VCPUS_PV = 8192;
/** Views of a domain up to 4.20, and the most since. */
const MAX_ALTP2M = 10;
const MAX_NR_ALTP2M = 512;
/** The machine has no performance counters for guests, and was not started by a measuring loader. */
const NEEDS_WHAT_IS_NOT_MODELLED = XEN_DOMCTL_CDF_vpmu | XEN_DOMCTL_CDF_s3_integrity;
const MAX_GRANT_VERSION = 2;
/** Xen's defaults: more than these a domain cannot ask for. */
const MAX_GRANT_FRAMES = 64;
const MAX_MAPTRACK_FRAMES = 1024;
const ALL_DEVICES = 0x7ff;
/** How many `XEN_DOMCTL_CDF_*` flags each release knows, from 4.14 on. */
const KNOWN_FLAGS: readonly number[] = [7, 7, 8, 8, 8, 8, 8, 9, 9];

/** What creation needs of the machine. */
export interface CreateHost extends SysctlHost {
  readonly altp2mSupported: boolean;
  /** A free id after the one given out last, or null. */
  freeDomid(): number | null;
  add(config: DomainConfig): Domain;
  destroy(domain: Domain): void;
}

export function createDomain(call: Domctl): number {
  const { host, view, at, u } = call;
  const layout = xen_domctl_createdomain.for(host.release);
  const read = (field: string): number => {
    const place = layout.fields[field];
    if (!place) return 0;
    return place[1] === 2 ? view.getUint16(u + place[0], true) : view.getUint32(u + place[0], true);
  };
  const wanted = view.getUint16(at + xen_domctl.at.domain, true);
  const named = wanted > 0 && wanted < DOMID_FIRST_RESERVED;
  if (named && host.domains.has(wanted)) return -errno.EEXIST;
  const domid = named ? wanted : host.freeDomid();
  if (domid === null) return -errno.ENOMEM;
  const flags = read('flags');
  const maxVcpus = read('max_vcpus');
  const altp2m = readAltp2m(host, read);
  const refused =
    checkFlags(host, flags, maxVcpus) ||
    checkAltp2m(host, flags, altp2m) ||
    checkLimits(host, read) ||
    checkTrace(host, flags, read('vmtrace_size')) ||
    checkEmulation(flags, read('arch.emulation_flags')) ||
    checkPaging(host, flags);
  if (refused) return refused;
  const handle = new Uint8Array(16).map((_, i) => view.getUint8(u + (layout.at['handle'] ?? 0) + i));
  host.add({
    domid,
    type: flags & XEN_DOMCTL_CDF_hvm ? 'hvm' : 'pv',
    hap: (flags & XEN_DOMCTL_CDF_hap) !== 0,
    iommu: (flags & XEN_DOMCTL_CDF_iommu) !== 0,
    nestedVirt: (flags & XEN_DOMCTL_CDF_nested_virt) !== 0,
    maxVcpus,
    handle,
    altp2mMode: altp2m.mode,
    nrAltp2m: altp2m.nr,
    ssidref: read('ssidref'),
    emulationFlags: read('arch.emulation_flags'),
    vmtraceSize: read('vmtrace_size'),
    // what is negative means Xen's own
    maxGrantFrames: Math.min(read('max_grant_frames'), MAX_GRANT_FRAMES),
    maxEvtchnPort: Math.min(read('max_evtchn_port'), 2 ** 31 - 1),
  });
  view.setUint16(at + xen_domctl.at.domain, domid, true);
  return call.reply();
}

interface Altp2mRequest {
  readonly mode: number;
  readonly nr: number;
  /** Bits that have no meaning. */
  readonly unknown: boolean;
}

function readAltp2m(host: CreateHost, read: (field: string) => number): Altp2mRequest {
  if (atLeast(host.release, '4.21')) {
    const opts = read('altp2m.opts');
    return { mode: opts & 3, nr: read('altp2m.nr'), unknown: opts > XEN_ALTP2M_limited };
  }
  const opts = read('altp2m_opts');
  return { mode: opts & 3, nr: MAX_ALTP2M, unknown: opts > XEN_ALTP2M_limited };
}

function checkFlags(host: CreateHost, flags: number, maxVcpus: number): number {
  const hvm = (flags & XEN_DOMCTL_CDF_hvm) !== 0;
  const hap = (flags & XEN_DOMCTL_CDF_hap) !== 0;
  const nested = (flags & XEN_DOMCTL_CDF_nested_virt) !== 0;
  const known = 2 ** (KNOWN_FLAGS[releaseIndex(host.release)] ?? 0) - 1;
  if (flags > known || (hap && !hvm) || maxVcpus < 1) return -errno.EINVAL;
  if (maxVcpus > (hvm ? MAX_VCPUS_HVM : MAX_VCPUS_PV)) return -errno.EINVAL;
  if (flags & NEEDS_WHAT_IS_NOT_MODELLED) return -errno.EINVAL;
  if (flags & XEN_DOMCTL_CDF_iommu && !host.pci.iommu) return -errno.EINVAL;
  return (hap && !host.cpu.hap) || (nested && !hap) ? -errno.EINVAL : 0;
}

/** The settings that are numbers. A field that the release has not reads as 0. */
function checkLimits(host: CreateHost, read: (field: string) => number): number {
  const grants = read('grant_opts');
  const version = grants & XEN_DOMCTL_GRANT_version_mask;
  const badGrants = grants !== version || version < 1 || version > MAX_GRANT_VERSION;
  if (atLeast(host.release, '4.16') && badGrants) return -errno.EINVAL;
  const frames = read('max_grant_frames');
  if (frames === 0 || exceeds(frames, MAX_GRANT_FRAMES)) return -errno.EINVAL;
  if (exceeds(read('max_maptrack_frames'), MAX_MAPTRACK_FRAMES)) return -errno.EINVAL;
  if (read('iommu_opts') !== 0) return -errno.EINVAL;
  if (read('arch.misc_flags') & ~XEN_X86_MSR_RELAXED) return -errno.EINVAL;
  return read('cpupool_id') === 0 ? 0 : -errno.ESRCH;
}

/** The processor must have Processor Trace, and the domain must be HVM. */
function checkTrace(host: CreateHost, flags: number, size: number): number {
  if (size === 0) return 0;
  if (!host.cpu.pt || !(flags & XEN_DOMCTL_CDF_hvm)) return -errno.EINVAL;
  return isTraceSize(size) ? 0 : -errno.EINVAL;
}

/** Any negative number means Xen's own. */
function exceeds(frames: number, most: number): boolean {
  return frames > most && frames < 2 ** 31;
}

/** Xen emulates all devices of a PC, or the local APIC alone; for a PV domain a timer, or nothing. */
function checkEmulation(flags: number, devices: number): number {
  if (devices & ~ALL_DEVICES) return -errno.EINVAL;
  const possible =
    flags & XEN_DOMCTL_CDF_hvm ? [XEN_X86_EMU_LAPIC, ALL_DEVICES & ~XEN_X86_EMU_VPCI] : [0, XEN_X86_EMU_PIT];
  return possible.includes(devices) ? 0 : -errno.EOPNOTSUPP;
}

/** Comes last: the settings were found good, and the domain's page tables cannot be made. */
function checkPaging(host: CreateHost, flags: number): number {
  const shadow = (flags & XEN_DOMCTL_CDF_hvm) !== 0 && !(flags & XEN_DOMCTL_CDF_hap);
  return shadow && !host.shadow ? -errno.EOPNOTSUPP : 0;
}

function checkAltp2m(host: CreateHost, flags: number, { mode, nr, unknown }: Altp2mRequest): number {
  const countGiven = atLeast(host.release, '4.21');
  if (unknown) return -errno.EINVAL;
  if (mode === 0) return countGiven && nr !== 0 ? -errno.EINVAL : 0;
  // 4.19 and 4.20 give a domain a mode on any host, where it is of no use
  const supported = host.altp2mSupported || !countGiven;
  if (!supported || !(flags & XEN_DOMCTL_CDF_hap) || flags & XEN_DOMCTL_CDF_nested_virt) return -errno.EINVAL;
  return nr === 0 || nr > MAX_NR_ALTP2M ? -errno.EINVAL : 0;
}
