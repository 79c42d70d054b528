/**
 * Frames and ports of devices in a domain's memory and port space, as libxc's `xc_domain.c`.
 *
 * Source of the behaviour: XEN_DOMCTL_memory_mapping in Xen's `common/domctl.c`, `map_mmio_regions` in
 * `arch/x86/mm/p2m.c`, XEN_DOMCTL_ioport_mapping in `arch/x86/domctl.c`.
 */

import { errno } from '../abi/errno.js';
import {
  DPCI_ADD_MAPPING,
  DPCI_REMOVE_MAPPING,
  XEN_DOMCTL_ioport_mapping,
  XEN_DOMCTL_memory_mapping,
  xen_domctl_ioport_mapping,
  xen_domctl_memory_mapping,
} from '../abi/passthrough.js';
import { checkBoolean, checkCount, checkU32, putU64 } from '../hypervisor/check.js';
import { xc_domain_getinfo_single } from './domain_info.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, domctl, issueDomctl, privilegedError } from './privileged.js';

const CALL = 'xc_domain_memory_mapping';

/** One piece. @returns how many of its frames are done, or a negative errno */
function mapPiece(xch: XcInterface, domid: number, gfn: number, mfn: number, count: number, add: boolean): number {
  const view = beginDomctl(xch, CALL, XEN_DOMCTL_memory_mapping, domid, 'writes');
  const { at } = xen_domctl_memory_mapping;
  putU64(view, DOMCTL_U + at.first_gfn, gfn);
  putU64(view, DOMCTL_U + at.first_mfn, mfn);
  putU64(view, DOMCTL_U + at.nr_mfns, count);
  view.setUint32(DOMCTL_U + at.add_mapping, add ? DPCI_ADD_MAPPING : DPCI_REMOVE_MAPPING, true);
  const rc = domctl(xch);
  return rc === 0 ? count : rc;
}

/**
 * Maps a run of frames, piece by piece: as far as Xen came with a piece the next one goes on, and a piece that is too
 * large for Xen (E2BIG) is halved.
 *
 * @returns 0, or the first negative errno; removal goes on behind it
 */
function mapRun(xch: XcInterface, domid: number, gfn: number, mfn: number, count: number, add: boolean): number {
  let first = 0;
  let most = count;
  for (let done = 0; done < count; ) {
    const piece = Math.min(count - done, most);
    const rc = mapPiece(xch, domid, gfn + done, mfn + done, piece, add);
    if (rc === -errno.E2BIG && most > 1) {
      most = Math.floor(most / 2);
      continue;
    }
    if (rc < 0) {
      first ||= rc;
      if (add) return first;
    }
    done += rc > 0 ? rc : piece;
  }
  return first;
}

/**
 * Maps frames of devices in a domain's memory, or takes them out. What a failed call has mapped it takes out again; a
 * removal goes on over errors and then throws the first. For a PV domain, which makes its own mappings, nothing is done.
 * Pages of MSI-X tables and pending-bit arrays that Xen knows of are mapped so that they cannot be written.
 *
 * @param nr_mfns 0: nothing is done
 * @throws XenError `EPERM`: the caller or the domain has no permission for the frames (`xc_domain_iomem_permission`).
 *   `EINVAL`: beyond the machine's addresses; a removal: the frames show something else. `ESRCH`.
 */
export function xc_domain_memory_mapping(
  xch: XcInterface,
  domid: number,
  first_gfn: number,
  first_mfn: number,
  nr_mfns: number,
  add_mapping: boolean,
): void {
  checkCount(first_gfn, 'first_gfn');
  checkCount(first_mfn, 'first_mfn');
  checkCount(nr_mfns, 'nr_mfns');
  checkBoolean(add_mapping, 'add_mapping');
  const { hvm_guest } = xc_domain_getinfo_single(xch, domid);
  if (!hvm_guest || nr_mfns === 0) return;
  const rc = mapRun(xch, domid, first_gfn, first_mfn, nr_mfns, add_mapping);
  if (rc === 0) return;
  if (add_mapping) mapRun(xch, domid, first_gfn, first_mfn, nr_mfns, false);
  throw privilegedError(xch, 'domctl', CALL, rc, domid);
}

/**
 * Shows machine I/O ports at ports of an HVM domain, and lets it use them, or takes both back.
 *
 * @throws XenError `EINVAL`: no ports, or some beyond 65535. `EPERM`: the caller may not use them itself.
 *   `EOPNOTSUPP`: a PV domain. `ESRCH`.
 */
export function xc_domain_ioport_mapping(
  xch: XcInterface,
  domid: number,
  first_gport: number,
  first_mport: number,
  nr_ports: number,
  add_mapping: boolean,
): void {
  checkU32(first_gport, 'first_gport');
  checkU32(first_mport, 'first_mport');
  checkU32(nr_ports, 'nr_ports');
  checkBoolean(add_mapping, 'add_mapping');
  const call = 'xc_domain_ioport_mapping';
  const view = beginDomctl(xch, call, XEN_DOMCTL_ioport_mapping, domid, 'writes');
  const { at } = xen_domctl_ioport_mapping;
  view.setUint32(DOMCTL_U + at.first_gport, first_gport, true);
  view.setUint32(DOMCTL_U + at.first_mport, first_mport, true);
  view.setUint32(DOMCTL_U + at.nr_ports, nr_ports, true);
  view.setUint32(DOMCTL_U + at.add_mapping, add_mapping ? DPCI_ADD_MAPPING : DPCI_REMOVE_MAPPING, true);
  issueDomctl(xch, call, domid);
}
