/**
 * Which interrupts, ports and frames of devices a domain may use, as libxc's `xc_domain.c`. A permission maps nothing:
 * `xc_domain_memory_mapping` and `xc_physdev_map_pirq` do, and need it. All need privilege and an existing domain
 * (`ESRCH`), and the caller must have what it gives.
 *
 * Source of the behaviour: Xen's `do_domctl` and `arch_do_domctl`, in `common/domctl.c` and `arch/x86/domctl.c`.
 */

import {
  XEN_DOMCTL_gsi_permission,
  XEN_DOMCTL_iomem_permission,
  XEN_DOMCTL_ioport_permission,
  XEN_DOMCTL_irq_permission,
  xen_domctl_gsi_permission,
  xen_domctl_iomem_permission,
  xen_domctl_ioport_permission,
  xen_domctl_irq_permission,
} from '../abi/passthrough.js';
import { checkBoolean, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, needRelease, requireOpen } from './privileged.js';

/**
 * Lets a domain use I/O ports, or forbids it to.
 *
 * @throws XenError `EINVAL`: no ports, or some beyond 65535. `EPERM`: the caller may not use them itself. `ESRCH`.
 */
export function xc_domain_ioport_permission(
  xch: XcInterface,
  domid: number,
  first_port: number,
  nr_ports: number,
  allow_access: boolean,
): void {
  checkU32(first_port, 'first_port');
  checkU32(nr_ports, 'nr_ports');
  checkBoolean(allow_access, 'allow_access');
  const call = 'xc_domain_ioport_permission';
  const view = beginDomctl(xch, call, XEN_DOMCTL_ioport_permission, domid, 'writes');
  const { at } = xen_domctl_ioport_permission;
  view.setUint32(DOMCTL_U + at.first_port, first_port, true);
  view.setUint32(DOMCTL_U + at.nr_ports, nr_ports, true);
  view.setUint8(DOMCTL_U + at.allow_access, allow_access ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Lets a domain use an interrupt, or forbids it to.
 *
 * @param pirq as the caller knows it. Up to Xen 4.15 a number of 8 bits: a higher one is a RangeError
 * @throws XenError `EINVAL`: there is no such interrupt. `EPERM`: the caller has not mapped it. `ESRCH`.
 */
export function xc_domain_irq_permission(xch: XcInterface, domid: number, pirq: number, allow_access: boolean): void {
  checkU32(pirq, 'pirq');
  checkBoolean(allow_access, 'allow_access');
  requireOpen(xch);
  const call = 'xc_domain_irq_permission';
  const { release } = xch.abi;
  const { at, fields } = xen_domctl_irq_permission.for(release);
  const wide = fields['pirq']?.[1] === 4;
  if (!wide && pirq > 0xff) throw new RangeError(`pirq must be at most 255 on Xen ${release}, not ${pirq}`);
  const view = beginDomctl(xch, call, XEN_DOMCTL_irq_permission, domid, 'writes');
  if (wide) view.setUint32(DOMCTL_U + (at.pirq ?? 0), pirq, true);
  else view.setUint8(DOMCTL_U + (at.pirq ?? 0), pirq);
  view.setUint8(DOMCTL_U + (at.allow_access ?? 0), allow_access ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Lets a domain use a global system interrupt, or forbids it to: for callers whose interrupts Xen does not number, as
 * those of a PVH dom0. Since Xen 4.20.
 *
 * @param flags `XEN_DOMCTL_GSI_GRANT` or `XEN_DOMCTL_GSI_REVOKE`
 * @throws XenError `EINVAL`: there is no such interrupt, or other flags. `EPERM`: it is not the caller's. `ESRCH`.
 *   `EOPNOTSUPP`: an older Xen.
 */
export function xc_domain_gsi_permission(xch: XcInterface, domid: number, gsi: number, flags: number): void {
  checkU32(gsi, 'gsi');
  checkU32(flags, 'flags');
  const call = 'xc_domain_gsi_permission';
  needRelease(xch, call, '4.20', domid);
  const view = beginDomctl(xch, call, XEN_DOMCTL_gsi_permission, domid, 'writes');
  const { at } = xen_domctl_gsi_permission.for(xch.abi.release);
  view.setUint32(DOMCTL_U + (at.gsi ?? 0), gsi, true);
  view.setUint32(DOMCTL_U + (at.flags ?? 0), flags, true);
  issueDomctl(xch, call, domid);
}

/**
 * Lets a domain use frames of devices, or forbids it to. Frames of an MSI-X table or pending-bit array may be among
 * them: Xen lets nobody write those while it knows of them (`xc_physdev_prepare_msix`).
 *
 * @throws XenError `EINVAL`: no frames, or they go beyond 64 bits. `EPERM`: the caller may not use them itself. `ESRCH`.
 */
export function xc_domain_iomem_permission(
  xch: XcInterface,
  domid: number,
  first_mfn: number | bigint,
  nr_mfns: number | bigint,
  allow_access: boolean,
): void {
  checkU64(first_mfn, 'first_mfn');
  checkU64(nr_mfns, 'nr_mfns');
  checkBoolean(allow_access, 'allow_access');
  const call = 'xc_domain_iomem_permission';
  const view = beginDomctl(xch, call, XEN_DOMCTL_iomem_permission, domid, 'writes');
  const { at } = xen_domctl_iomem_permission;
  putU64(view, DOMCTL_U + at.first_mfn, first_mfn);
  putU64(view, DOMCTL_U + at.nr_mfns, nr_mfns);
  view.setUint8(DOMCTL_U + at.allow_access, allow_access ? 1 : 0);
  issueDomctl(xch, call, domid);
}
