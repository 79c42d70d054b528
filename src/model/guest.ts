/** Guests of the software Xen: what their domains are made with, and what callers get of them. */

import { randomUUID } from 'node:crypto';
import { errno } from '../abi/errno.js';
import { atLeast } from '../abi/release.js';
import { XenError } from '../hypervisor/error.js';
import type { Domain, DomainConfig } from './domain.js';
import type { CreateHost } from './ops/createdomain.js';
import { ALTP2M_MODES, type GuestOptions } from './options.js';
import { PageTables, type PageTablesOptions } from './paging/page_tables.js';
import type { Vcpu } from './vcpu.js';
import { isTraceSize } from './vmtrace.js';

/** A guest of the software Xen. */
export interface Guest {
  readonly domid: number;
  /** At least one. */
  readonly vcpus: readonly [Vcpu, ...Vcpu[]];
  readonly domain: Domain;
  /** Makes page tables in its memory. */
  pageTables(options?: PageTablesOptions): PageTables;
}

/** The configuration of a guest that a toolstack would make. @throws XenError, RangeError as {@link ModelXen.createGuest} */
export function guestConfig(xen: CreateHost, options: GuestOptions): DomainConfig {
  const { type = 'hvm', vcpus = 1, altp2m = 'disabled', nestedVirt = false } = options;
  const hap = options.hap ?? type === 'hvm';
  const mode = ALTP2M_MODES.indexOf(altp2m);
  if (mode < 0) throw new RangeError(`altp2m must be ${ALTP2M_MODES.join(', ')}, not ${String(altp2m)}`);
  if (!Number.isInteger(vcpus) || vcpus < 1) throw new RangeError(`vcpus must be at least 1, not ${vcpus}`);
  const refuse = (code: number): never => {
    throw new XenError('createGuest', -code);
  };
  if ((hap && (type === 'pv' || !xen.cpu.hap)) || (nestedVirt && !hap)) refuse(errno.EINVAL);
  // up to 4.18 the mode is a parameter, and up to 4.20 any host can have a domain with a mode
  const counted = atLeast(xen.release, '4.21');
  if (mode !== 0 && (!hap || nestedVirt || (counted && !xen.altp2mSupported))) refuse(errno.EINVAL);
  const { vmtraceSize = 0 } = options;
  if (vmtraceSize !== 0 && (!xen.cpu.pt || type !== 'hvm' || !isTraceSize(vmtraceSize))) refuse(errno.EINVAL);
  if (type === 'hvm' && !hap && !xen.shadow) refuse(errno.EOPNOTSUPP);
  const { iommu = false } = options;
  if (iommu && !xen.pci.iommu) refuse(errno.EINVAL);
  const nrAltp2m = counted ? (mode === 0 ? 0 : (options.nrAltp2m ?? 10)) : 10;
  if (nrAltp2m > 512) refuse(errno.EINVAL);
  const domid = xen.freeDomid() ?? refuse(errno.ENOMEM);
  const handle = new Uint8Array(Buffer.from((options.uuid ?? randomUUID()).replaceAll('-', ''), 'hex'));
  return {
    domid,
    type,
    hap,
    nestedVirt,
    maxVcpus: vcpus,
    handle,
    altp2mMode: mode,
    nrAltp2m,
    ssidref: 0,
    emulationFlags: type === 'hvm' ? 1 : 0,
    maxEvtchnPort: 1023,
    maxGrantFrames: 64,
    vmtraceSize,
    iommu,
    abi: options.abi ?? 64,
  };
}

export function asGuest(domain: Domain): Guest {
  const [first, ...rest] = domain.vcpus;
  if (!first) throw new RangeError(`domain ${domain.domid} has no vCPU`);
  return {
    domid: domain.domid,
    vcpus: [first, ...rest],
    domain,
    pageTables: (options) => new PageTables(domain, options),
  };
}
