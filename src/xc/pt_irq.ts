/**
 * Interrupts of passed-through devices, bound to what an HVM domain sees of them, as libxc's `xc_domain.c`.
 *
 * Source of the behaviour: Xen's XEN_DOMCTL_bind_pt_irq, in `arch/x86/domctl.c`, and `pt_irq_create_bind` in
 * `drivers/passthrough/x86/hvm.c`.
 */

import {
  xen_domctl_bind_pt_irq as PT,
  PT_IRQ_TYPE_ISA,
  PT_IRQ_TYPE_MSI,
  PT_IRQ_TYPE_MSI_TRANSLATE,
  PT_IRQ_TYPE_PCI,
  XEN_DOMCTL_bind_pt_irq,
  XEN_DOMCTL_unbind_pt_irq,
} from '../abi/passthrough.js';
import { checkU8, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl } from './privileged.js';

function begin(xch: XcInterface, call: string, cmd: number, domid: number, irq: number, type: number): DataView {
  const view = beginDomctl(xch, call, cmd, domid, 'writes');
  view.setUint32(DOMCTL_U + PT.at.machine_irq, irq, true);
  view.setUint32(DOMCTL_U + PT.at.irq_type, type, true);
  return view;
}

/**
 * Binds an MSI or MSI-X interrupt that the domain has mapped to a vector of its own, or changes what it is bound to.
 *
 * @param gvec the vector, from 16 on
 * @param pirq as `xc_physdev_map_pirq_msi` gave it
 * @param gflags `XEN_DOMCTL_VMSI_X86_*`
 * @param gtable guest-physical address of the MSI-X table as the domain sees it; 0: none, or plain MSI. Writes to
 *   entries of the table at this address mask and unmask vectors
 * @throws XenError `EPERM`: the domain has not mapped it, or the caller may not use it. `EBUSY`: it is bound as something
 *   else. `EINVAL`: a PV domain, or `gvec` is below 16. `ESRCH`: no such domain, or it was created without
 *   `XEN_DOMCTL_CDF_iommu`.
 */
export function xc_domain_update_msi_irq(
  xch: XcInterface,
  domid: number,
  gvec: number,
  pirq: number,
  gflags: number,
  gtable: number | bigint,
): void {
  const call = 'xc_domain_update_msi_irq';
  checkU8(gvec, 'gvec');
  checkU32(pirq, 'pirq');
  checkU32(gflags, 'gflags');
  checkU64(gtable, 'gtable');
  const view = begin(xch, call, XEN_DOMCTL_bind_pt_irq, domid, pirq, PT_IRQ_TYPE_MSI);
  view.setUint8(DOMCTL_U + PT.at['u.msi.gvec'], gvec);
  view.setUint32(DOMCTL_U + PT.at['u.msi.gflags'], gflags, true);
  putU64(view, DOMCTL_U + PT.at['u.msi.gtable'], gtable);
  issueDomctl(xch, call, domid);
}

/**
 * Takes {@link xc_domain_update_msi_irq} back.
 *
 * @throws XenError `EINVAL`: it is not bound. `EPERM`, `ESRCH`: as there.
 */
export function xc_domain_unbind_msi_irq(
  xch: XcInterface,
  domid: number,
  gvec: number,
  pirq: number,
  gflags: number,
): void {
  const call = 'xc_domain_unbind_msi_irq';
  checkU8(gvec, 'gvec');
  checkU32(pirq, 'pirq');
  checkU32(gflags, 'gflags');
  const view = begin(xch, call, XEN_DOMCTL_unbind_pt_irq, domid, pirq, PT_IRQ_TYPE_MSI);
  view.setUint8(DOMCTL_U + PT.at['u.msi.gvec'], gvec);
  view.setUint32(DOMCTL_U + PT.at['u.msi.gflags'], gflags, true);
  issueDomctl(xch, call, domid);
}

function line(
  xch: XcInterface,
  call: string,
  cmd: number,
  domid: number,
  machine_irq: number,
  irq_type: number,
  bus: number,
  device: number,
  intx: number,
  isa_irq: number,
): void {
  checkU8(machine_irq, 'machine_irq');
  checkU8(bus, 'bus');
  checkU8(device, 'device');
  checkU8(intx, 'intx');
  checkU8(isa_irq, 'isa_irq');
  if (irq_type !== PT_IRQ_TYPE_PCI && irq_type !== PT_IRQ_TYPE_ISA && irq_type !== PT_IRQ_TYPE_MSI_TRANSLATE) {
    const wanted = 'PT_IRQ_TYPE_PCI, PT_IRQ_TYPE_ISA or PT_IRQ_TYPE_MSI_TRANSLATE';
    throw new RangeError(`irq_type must be ${wanted} (MSI: xc_domain_update_msi_irq), not ${String(irq_type)}`);
  }
  const view = begin(xch, call, cmd, domid, machine_irq, irq_type);
  if (irq_type === PT_IRQ_TYPE_ISA) {
    view.setUint8(DOMCTL_U + PT.at['u.isa.isa_irq'], isa_irq);
  } else {
    view.setUint8(DOMCTL_U + PT.at['u.pci.bus'], bus);
    view.setUint8(DOMCTL_U + PT.at['u.pci.device'], device);
    view.setUint8(DOMCTL_U + PT.at['u.pci.intx'], intx);
  }
  issueDomctl(xch, call, domid);
}

/**
 * Binds an interrupt line.
 *
 * @param machine_irq as `xc_physdev_map_pirq` gave it
 * @param irq_type `PT_IRQ_TYPE_PCI`, `PT_IRQ_TYPE_ISA` or `PT_IRQ_TYPE_MSI_TRANSLATE`
 * @param bus with `device` and `intx` (0 to 3): where the domain sees the device and its pin. Not for ISA
 * @param isa_irq the domain's ISA interrupt. For ISA only
 * @throws XenError as {@link xc_domain_update_msi_irq}; `EINVAL`: there is no such pin
 */
export function xc_domain_bind_pt_irq(
  xch: XcInterface,
  domid: number,
  machine_irq: number,
  irq_type: number,
  bus: number,
  device: number,
  intx: number,
  isa_irq: number,
): void {
  const call = 'xc_domain_bind_pt_irq';
  line(xch, call, XEN_DOMCTL_bind_pt_irq, domid, machine_irq, irq_type, bus, device, intx, isa_irq);
}

/**
 * Takes {@link xc_domain_bind_pt_irq} back.
 *
 * @throws XenError `EINVAL`: it is not bound. `EPERM`, `ESRCH`.
 */
export function xc_domain_unbind_pt_irq(
  xch: XcInterface,
  domid: number,
  machine_irq: number,
  irq_type: number,
  bus: number,
  device: number,
  intx: number,
  isa_irq: number,
): void {
  const call = 'xc_domain_unbind_pt_irq';
  line(xch, call, XEN_DOMCTL_unbind_pt_irq, domid, machine_irq, irq_type, bus, device, intx, isa_irq);
}

/** {@link xc_domain_bind_pt_irq} of a PCI device's line. */
export function xc_domain_bind_pt_pci_irq(
  xch: XcInterface,
  domid: number,
  machine_irq: number,
  bus: number,
  device: number,
  intx: number,
): void {
  xc_domain_bind_pt_irq(xch, domid, machine_irq, PT_IRQ_TYPE_PCI, bus, device, intx, 0);
}

/** {@link xc_domain_bind_pt_irq} of an ISA interrupt, under the same number. */
export function xc_domain_bind_pt_isa_irq(xch: XcInterface, domid: number, machine_irq: number): void {
  xc_domain_bind_pt_irq(xch, domid, machine_irq, PT_IRQ_TYPE_ISA, 0, 0, 0, machine_irq);
}
