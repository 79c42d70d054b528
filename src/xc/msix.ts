/**
 * Protection of a device's MSI-X table and pending-bit array before anybody uses it. libxc has no such calls: only the
 * dom0 kernel's pciback makes them, when it seizes a device and when it lets it go.
 *
 * Xen takes a device without the MSI-X capability for one with it here, and that ends the whole machine. So the device's
 * configuration space is read first, and a device whose capability cannot be seen in it never gets as far as Xen. There
 * is no way to leave that out.
 *
 * Source of the behaviour: PHYSDEVOP_prepare_msix in Xen's `arch/x86/physdev.c`, `pci_prepare_msix` and
 * `msix_capability_init` in `arch/x86/msi.c`.
 */

import { errno } from '../abi/errno.js';
import { readMsix } from '../abi/pci/msix.js';
import { formatSbdf, sbdfBus, sbdfDevfn, sbdfSegment } from '../abi/pci/sbdf.js';
import { PHYSDEVOP_prepare_msix, PHYSDEVOP_release_msix, physdev_pci_device } from '../abi/physdev.js';
import { __HYPERVISOR_physdev_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkU32 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/** Throws unless the device's configuration space shows the MSI-X capability. */
function needMsix(xch: XcInterface, syscall: string, sbdf: number): void {
  const device = formatSbdf(sbdf);
  const config = requireOpen(xch).pciConfig?.(sbdf) ?? null;
  if (config === null) throw refusal(syscall, -errno.ENODEV, undefined, `there is no device ${device} here`);
  const reading = readMsix(config);
  if (reading.kind === 'present') return;
  if (reading.kind === 'absent') {
    const hint = `${device} has no MSI-X capability: Xen was not asked, because it does not survive the question`;
    throw refusal(syscall, -errno.EOPNOTSUPP, undefined, hint);
  }
  const hint = `whether ${device} has MSI-X cannot be seen, and Xen does not survive being asked about a device without it: ${reading.problem}`;
  throw refusal(syscall, -errno.EIO, undefined, hint);
}

function issue(xch: XcInterface, syscall: string, cmd: number, sbdf: number): void {
  checkU32(sbdf, 'machine_sbdf');
  needMsix(xch, syscall, sbdf);
  const { hypervisor } = xch;
  const { view, operandAddress } = hypervisor.arena;
  const { at } = physdev_pci_device;
  view.setUint16(OPERAND_OFFSET + at.seg, sbdfSegment(sbdf), true);
  view.setUint8(OPERAND_OFFSET + at.bus, sbdfBus(sbdf));
  view.setUint8(OPERAND_OFFSET + at.devfn, sbdfDevfn(sbdf));
  const rc = hypervisor.hypercall(__HYPERVISOR_physdev_op, cmd, operandAddress);
  if (rc < 0) throw refusal(syscall, rc);
}

/**
 * Has Xen take the pages of a device's MSI-X table and pending-bit array from everybody's writing, and remember where
 * they are, before the device is given to a guest. A device that is bound to pciback is prepared already.
 *
 * @param machine_sbdf segment << 16 | bus << 8 | device << 3 | function
 * @throws XenError before Xen is asked: `ENODEV`: there is no such device. `EOPNOTSUPP`: it has no MSI-X capability.
 *   `EIO`: its configuration space cannot be read, or makes no sense. Xen's: `EBUSY`: it is prepared, or a driver uses
 *   its vectors. `ENODEV`: Xen does not know it. `ENXIO`: it does not decode memory, or its BARs have no address.
 *   `ENOSYS`: a PVH dom0. `EPERM`.
 */
export function xc_physdev_prepare_msix(xch: XcInterface, machine_sbdf: number): void {
  issue(xch, 'xc_physdev_prepare_msix', PHYSDEVOP_prepare_msix, machine_sbdf);
}

/**
 * Takes {@link xc_physdev_prepare_msix} back.
 *
 * @param machine_sbdf segment << 16 | bus << 8 | device << 3 | function
 * @throws XenError as {@link xc_physdev_prepare_msix}; `EBUSY`: it is not prepared, or vectors are in use.
 */
export function xc_physdev_release_msix(xch: XcInterface, machine_sbdf: number): void {
  issue(xch, 'xc_physdev_release_msix', PHYSDEVOP_release_msix, machine_sbdf);
}
