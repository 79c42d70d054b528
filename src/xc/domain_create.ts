/** Creating domains, as libxc's `xc_domain.c`: an empty domain, without memory and vCPUs, paused once. */

import {
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_CDF_vpmu,
  XEN_DOMCTL_createdomain,
  XEN_X86_EMU_LAPIC,
  xen_domctl,
  xen_domctl_createdomain,
} from '../abi/domctl.js';
import { atLeast, type Release } from '../abi/release.js';
import { checkDomid, checkObject, checkS32, checkU16, checkU32 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, PRIVILEGED_OPERAND } from './privileged.js';
import { checkUuid, NO_UUID, parseUuid } from './uuid.js';

/** Views of a domain with an altp2m mode when nothing is said, as in libxl; the only number up to Xen 4.20. */
const DEFAULT_VIEWS = 10;

/** The settings of a new domain: C's `struct xen_domctl_createdomain`, with defaults for what may be left out. */
export interface DomainConfig {
  /** `XEN_DOMCTL_CDF_*`. */
  readonly flags: number;
  readonly max_vcpus: number;
  /** Security label. Default 0. */
  readonly ssidref?: number | undefined;
  /** UUID. Default: all zeros. */
  readonly handle?: string | undefined;
  /** `XEN_DOMCTL_IOMMU_*`. Default 0. */
  readonly iommu_opts?: number | undefined;
  /** Highest event channel. Default 1023. */
  readonly max_evtchn_port?: number | undefined;
  /** -1 (the default): Xen's own default. */
  readonly max_grant_frames?: number | undefined;
  /** -1 (the default): Xen's own default. */
  readonly max_maptrack_frames?: number | undefined;
  /** Highest grant table version, in the low four bits. Default 1. Since Xen 4.16; before, Xen decides. */
  readonly grant_opts?: number | undefined;
  /**
   * Use of altp2m. Since Xen 4.19; before, `xc_hvm_param_set(xch, domid, HVM_PARAM_ALTP2M, mode)` does it.
   * Default: none.
   */
  readonly altp2m?:
    | {
        /** `XEN_ALTP2M_*`. */
        readonly opts: number;
        /** Views, view 0 included. Default 10 with a mode, 0 without. Another number: since Xen 4.21, 512 at most. */
        readonly nr?: number | undefined;
      }
    | undefined;
  /** Bytes of each vCPU's processor trace buffer, a power of two; default 0: none. Since Xen 4.15. */
  readonly vmtrace_size?: number | undefined;
  /** Default 0, the pool that always exists. Since Xen 4.17. */
  readonly cpupool_id?: number | undefined;
  readonly arch?:
    | {
        /** `XEN_X86_EMU_*`. Default: the local APIC for HVM (that is a PVH guest), none for PV. */
        readonly emulation_flags?: number | undefined;
        /** `XEN_X86_*`. Default 0. Since Xen 4.15. */
        readonly misc_flags?: number | undefined;
      }
    | undefined;
}

interface Setting {
  /** C's path of the field. */
  readonly field: string;
  readonly value: number;
  /** The value that a release without the field has anyway. */
  readonly neutral: number;
  readonly since: Release;
  /** What to do instead on an older release. */
  readonly instead?: string;
}

/**
 * Creates a domain.
 *
 * @param domid the id it shall have; 0: the next that is free
 * @returns its id
 * @throws RangeError for a setting that the running release cannot express; the message names the release
 * @throws XenError `EEXIST`: the id is taken (`EINVAL` on older releases). `EINVAL`: Xen does not take the settings:
 *   unknown flags, HAP where the host has none, an altp2m mode without HAP, with nested virtualisation or where the host
 *   has no altp2m. `ENOMEM`: not enough free memory, or no free id. `EPERM`: the caller is not privileged.
 */
export function xc_domain_create(xch: XcInterface, domid: number, config: DomainConfig): number {
  checkDomid(domid);
  const settings = checkConfig(config);
  const { release } = xch.abi;
  refuseUnknown(release, config, settings);
  const layout = xen_domctl_createdomain.for(release);
  const view = beginDomctl(xch, 'xc_domain_create', XEN_DOMCTL_createdomain, domid, 'writes');
  for (const { field, value } of settings) {
    const place = layout.fields[field];
    if (!place) continue;
    const [offset, size] = place;
    if (size === 2) view.setUint16(DOMCTL_U + offset, value, true);
    else view.setInt32(DOMCTL_U + offset, value, true);
  }
  xch.hypervisor.arena.bytes.set(parseUuid(config.handle ?? NO_UUID), DOMCTL_U + (layout.at.handle as number));
  issueDomctl(xch, 'xc_domain_create', domid === 0 ? undefined : domid);
  return view.getUint16(PRIVILEGED_OPERAND + xen_domctl.at.domain, true);
}

/** Checks a configuration and lists what it sets. */
function checkConfig(config: DomainConfig): Setting[] {
  checkObject(config, 'config');
  const { altp2m = { opts: 0 }, arch = {} } = config;
  checkObject(altp2m, 'config.altp2m');
  checkObject(arch, 'config.arch');
  checkUuid(config.handle ?? NO_UUID, 'config.handle');
  const hvm = (config.flags & XEN_DOMCTL_CDF_hvm) !== 0;
  const views = altp2m.nr ?? (altp2m.opts === 0 ? 0 : DEFAULT_VIEWS);
  checkU16(altp2m.opts, 'config.altp2m.opts');
  checkU16(views, 'config.altp2m.nr');
  const always = (field: string, value: number): Setting => ({ field, value, neutral: value, since: '4.14' });
  const settings = [
    always('ssidref', u32(config.ssidref ?? 0, 'ssidref')),
    always('flags', u32(config.flags, 'flags')),
    always('iommu_opts', u32(config.iommu_opts ?? 0, 'iommu_opts')),
    always('max_vcpus', u32(config.max_vcpus, 'max_vcpus')),
    always('max_evtchn_port', u32(config.max_evtchn_port ?? 1023, 'max_evtchn_port')),
    always('max_grant_frames', s32(config.max_grant_frames ?? -1, 'max_grant_frames')),
    always('max_maptrack_frames', s32(config.max_maptrack_frames ?? -1, 'max_maptrack_frames')),
    always('arch.emulation_flags', u32(arch.emulation_flags ?? (hvm ? XEN_X86_EMU_LAPIC : 0), 'arch.emulation_flags')),
  ];
  const later = (field: string, value: number, since: Release, neutral: number, instead?: string): void => {
    settings.push(instead === undefined ? { field, value, neutral, since } : { field, value, neutral, since, instead });
  };
  const grants = u32(config.grant_opts ?? 1, 'grant_opts');
  later('grant_opts', grants, '4.16', config.grant_opts === undefined ? grants : 0);
  later('vmtrace_size', u32(config.vmtrace_size ?? 0, 'vmtrace_size'), '4.15', 0);
  later('cpupool_id', u32(config.cpupool_id ?? 0, 'cpupool_id'), '4.17', 0);
  later('arch.misc_flags', u32(arch.misc_flags ?? 0, 'arch.misc_flags'), '4.15', 0);
  const instead = 'create the domain without, then xc_hvm_param_set(xch, domid, HVM_PARAM_ALTP2M, mode)';
  later('altp2m_opts', altp2m.opts, '4.19', 0, instead);
  later('altp2m.opts', altp2m.opts, '4.19', 0, instead);
  later('altp2m.nr', views, '4.21', altp2m.opts === 0 ? 0 : DEFAULT_VIEWS, `it is always ${DEFAULT_VIEWS} before`);
  return settings;
}

function u32(value: number, name: string): number {
  checkU32(value, `config.${name}`);
  return value;
}

function s32(value: number, name: string): number {
  checkS32(value, `config.${name}`);
  return value;
}

/** Refuses what the release has no field for. */
function refuseUnknown(release: Release, config: DomainConfig, settings: readonly Setting[]): void {
  for (const { field, value, neutral, since, instead } of settings) {
    if (atLeast(release, since) || value === neutral) continue;
    refuse(release, field.replace('altp2m_opts', 'altp2m.opts'), since, instead);
  }
  if (config.flags & XEN_DOMCTL_CDF_vpmu && !atLeast(release, '4.16')) {
    refuse(release, 'flags: XEN_DOMCTL_CDF_vpmu', '4.16');
  }
}

function refuse(release: Release, setting: string, since: Release, instead?: string): never {
  const way = instead === undefined ? '' : `: ${instead}`;
  throw new RangeError(`config.${setting} can be set since Xen ${since}; this is ${release}${way}`);
}
