/**
 * Which domain a PCI device does its DMA for, as libxc's `xc_domain.c`. A device is named by its `machine_sbdf`:
 * segment << 16 | bus << 8 | device << 3 | function.
 *
 * Source of the behaviour: Xen's `iommu_do_pci_domctl`, in `drivers/passthrough/pci.c`.
 */

import {
  XEN_DOMCTL_assign_device,
  XEN_DOMCTL_DEV_PCI,
  XEN_DOMCTL_deassign_device,
  XEN_DOMCTL_get_device_group,
  XEN_DOMCTL_test_assign_device,
  xen_domctl_assign_device,
  xen_domctl_get_device_group,
} from '../abi/passthrough.js';
import { checkU32, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, requireOpen } from './privileged.js';

function assign(xch: XcInterface, call: string, cmd: number, domid: number, machine_sbdf: number, flags: number): void {
  checkU32(machine_sbdf, 'machine_sbdf');
  checkU32(flags, 'flags');
  const view = beginDomctl(xch, call, cmd, domid, 'writes');
  const { at } = xen_domctl_assign_device;
  view.setUint32(DOMCTL_U + at.dev, XEN_DOMCTL_DEV_PCI, true);
  view.setUint32(DOMCTL_U + at.flags, flags, true);
  view.setUint32(DOMCTL_U + at['u.pci.machine_sbdf'], machine_sbdf, true);
  issueDomctl(xch, call, domid);
}

/**
 * Has the IOMMU let a device reach a domain's memory, and no other. `DOMID_IO` puts it into quarantine.
 *
 * @param flags `XEN_DOMCTL_DEV_RDM_RELAXED`: a conflict of its reserved memory with the domain's is no error; or 0
 * @throws XenError `ENODEV`: Xen knows no such device. `EBUSY`: it is another guest's, or its MSI-X interrupts are all
 *   masked: it was not reset. `EINVAL`: the domain is the caller or dying, or other flags. `EXDEV`: the domain's memory
 *   is shared, paged, or watched for writes. `EOPNOTSUPP`: the domain was created without `XEN_DOMCTL_CDF_iommu`.
 *   `ESRCH`.
 */
export function xc_assign_device(xch: XcInterface, domid: number, machine_sbdf: number, flags: number): void {
  assign(xch, 'xc_assign_device', XEN_DOMCTL_assign_device, domid, machine_sbdf, flags);
}

/**
 * Asks whether a device could be assigned: it exists, and no guest has it.
 *
 * @param domid `DOMID_INVALID` (0x7ff4): no domain in particular
 * @throws XenError `EINVAL`: it could not, or the domain is the caller. `EOPNOTSUPP`: the machine has no IOMMU, or the
 *   domain none. `ESRCH`.
 */
export function xc_test_assign_device(xch: XcInterface, domid: number, machine_sbdf: number): void {
  assign(xch, 'xc_test_assign_device', XEN_DOMCTL_test_assign_device, domid, machine_sbdf, 0);
}

/**
 * Takes a device back from a domain: it is quarantined, or dom0's again (`iommu=quarantine=` on Xen's command line).
 *
 * @throws XenError `ENODEV`: the domain does not have it. `EINVAL`: the domain is the caller. `EOPNOTSUPP`: the domain
 *   was created without `XEN_DOMCTL_CDF_iommu`. `ESRCH`.
 */
export function xc_deassign_device(xch: XcInterface, domid: number, machine_sbdf: number): void {
  assign(xch, 'xc_deassign_device', XEN_DOMCTL_deassign_device, domid, machine_sbdf, 0);
}

/**
 * The other devices of a domain that the IOMMU cannot tell from one of the same segment.
 *
 * @param domid the domain that has the others, 0 say
 * @param max_sdevs tell so many at most, up to 65536
 * @returns as Xen tells them: bus << 16 | device << 11 | function << 8, without the segment
 * @throws XenError `ESRCH`
 */
export function xc_get_device_group(
  xch: XcInterface,
  domid: number,
  machine_sbdf: number,
  max_sdevs: number,
): number[] {
  checkU32(machine_sbdf, 'machine_sbdf');
  checkU32(max_sdevs, 'max_sdevs');
  if (max_sdevs > MOST_DEVICES) throw new RangeError(`max_sdevs must be at most ${MOST_DEVICES}, not ${max_sdevs}`);
  const call = 'xc_get_device_group';
  const { arena } = requireOpen(xch);
  using list = arena.alloc(Math.max(max_sdevs, 1) * 4);
  const view = beginDomctl(xch, call, XEN_DOMCTL_get_device_group, domid, 'writes');
  const { at } = xen_domctl_get_device_group;
  view.setUint32(DOMCTL_U + at.machine_sbdf, machine_sbdf, true);
  view.setUint32(DOMCTL_U + at.max_sdevs, max_sdevs, true);
  putU64(view, DOMCTL_U + at.sdev_array, list.address);
  issueDomctl(xch, call, domid);
  const count = Math.min(view.getUint32(DOMCTL_U + at.num_sdevs, true), max_sdevs);
  return Array.from({ length: count }, (_, i) => view.getUint32(list.offset + i * 4, true));
}

/** As many as a segment can have. */
const MOST_DEVICES = 65536;
