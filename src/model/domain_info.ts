/** What domctl getdomaininfo and sysctl getdomaininfolist say about a domain (`getdomaininfo`, `common/domctl.c`). */

import {
  XEN_DOMINF_debugged,
  XEN_DOMINF_dying,
  XEN_DOMINF_hap,
  XEN_DOMINF_hvm_guest,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
  XEN_DOMINF_shutdownshift,
  XEN_INVALID_MAX_VCPU_ID,
  xen_domctl_getdomaininfo,
} from '../abi/domctl.js';
import { putU64 } from '../hypervisor/check.js';
import type { Domain } from './domain.js';

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
/** Frames of Xen itself, below all that the model hands out; only their being told apart matters. */
const SHARED_INFO_BASE = 0x100;

/** The structure in the release's layout. */
export function encodeDomainInfo(domain: Domain): Uint8Array {
  const { release, cpu } = domain.host;
  const layout = xen_domctl_getdomaininfo.for(release);
  const info = new Uint8Array(layout.size);
  const view = new DataView(info.buffer);
  const put = (field: string, value: number): void => {
    const place = layout.fields[field];
    if (!place) return;
    const [offset, size] = place;
    if (size === 8) putU64(view, offset, value);
    else if (size === 4) view.setUint32(offset, value, true);
    else if (size === 2) view.setUint16(offset, value, true);
    else view.setUint8(offset, value);
  };
  const online = domain.vcpus.filter((vcpu) => vcpu.online).length;
  put('domain', domain.domid);
  put('flags', flags(domain));
  put('tot_pages', domain.totPages);
  view.setBigUint64(layout.at['shared_info_frame'] ?? 0, sharedInfoFrame(domain), true);
  put('max_pages', domain.maxPages);
  put('nr_online_vcpus', online);
  put('max_vcpu_id', domain.vcpus.length === 0 ? XEN_INVALID_MAX_VCPU_ID : domain.vcpus.length - 1);
  put('ssidref', domain.config.ssidref);
  put('gpaddr_bits', cpu.maxphysaddr);
  put('arch_config.emulation_flags', domain.config.emulationFlags);
  info.set(domain.handle, layout.at['handle'] ?? 0);
  return info;
}

/** The machine frame where a PV domain finds it; an HVM domain puts it somewhere itself, which is not modelled. */
function sharedInfoFrame(domain: Domain): bigint {
  return domain.isHvm ? ALL_ONES : BigInt(SHARED_INFO_BASE + domain.domid);
}

function flags(domain: Domain): number {
  const bit = (on: boolean, flag: number): number => (on ? flag : 0);
  // a domain whose vCPUs are all down neither runs nor waits; the model's vCPUs never wait
  const up = domain.vcpus.some((vcpu) => vcpu.online);
  return (
    bit(domain.dying, XEN_DOMINF_dying) |
    bit(domain.isHvm, XEN_DOMINF_hvm_guest) |
    bit(domain.shutdownCode !== null, XEN_DOMINF_shutdown) |
    bit(domain.pauseCount > 0, XEN_DOMINF_paused) |
    bit(domain.runs && up, XEN_DOMINF_running) |
    bit(domain.config.hap, XEN_DOMINF_hap) |
    bit(domain.debugged, XEN_DOMINF_debugged) |
    ((domain.shutdownCode ?? 0) << XEN_DOMINF_shutdownshift)
  );
}
