/**
 * domctl: which domain a device does its DMA for, and what its interrupts are bound to (`drivers/passthrough/pci.c`,
 * `drivers/passthrough/x86/hvm.c`).
 */

import { errno } from '../../abi/errno.js';
import {
  xen_domctl_assign_device as ASSIGN,
  xen_domctl_get_device_group as GROUP,
  xen_domctl_bind_pt_irq as PT,
  PT_IRQ_TYPE_ISA,
  PT_IRQ_TYPE_MSI,
  PT_IRQ_TYPE_MSI_TRANSLATE,
  PT_IRQ_TYPE_PCI,
  XEN_DOMCTL_assign_device,
  XEN_DOMCTL_bind_pt_irq,
  XEN_DOMCTL_DEV_PCI,
  XEN_DOMCTL_DEV_RDM_RELAXED,
  XEN_DOMCTL_deassign_device,
  XEN_DOMCTL_get_device_group,
  XEN_DOMCTL_test_assign_device,
  XEN_DOMCTL_unbind_pt_irq,
} from '../../abi/passthrough.js';
import { readConfig } from '../../abi/pci/config.js';
import { PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL } from '../../abi/pci/msix.js';
import { sbdfBus, sbdfDevfn, sbdfSegment } from '../../abi/pci/sbdf.js';
import { atLeast } from '../../abi/release.js';
import { DOMID_INVALID, DOMID_IO } from '../../abi/xen.js';
import { getU64 } from '../../hypervisor/check.js';
import type { Domain } from '../domain.js';
import type { Pirq } from '../pci/domain_io.js';
import { MsixTable } from '../pci/msix_table.js';
import type { Pdev } from '../pci/pdev.js';
import type { Domctl } from './domctl.js';

/** Vectors below are exceptions. */
const FIRST_VECTOR = 16;

/** Whether a command may name an id that is no domain's: quarantine, or for a test none at all. */
export function namesNoDomain(cmd: number, domid: number): boolean {
  if (cmd === XEN_DOMCTL_test_assign_device) return domid === DOMID_INVALID;
  return domid === DOMID_IO && (cmd === XEN_DOMCTL_assign_device || cmd === XEN_DOMCTL_deassign_device);
}

/**
 * @param domain null: {@link namesNoDomain}
 * @returns null: the command is none of these
 */
export function assignDeviceOp(call: Domctl, cmd: number, domain: Domain | null): number | null {
  switch (cmd) {
    case XEN_DOMCTL_assign_device:
    case XEN_DOMCTL_test_assign_device:
    case XEN_DOMCTL_deassign_device:
      return onDevice(call, cmd, domain);
    case XEN_DOMCTL_get_device_group:
      return domain && getGroup(call, domain);
    case XEN_DOMCTL_bind_pt_irq:
    case XEN_DOMCTL_unbind_pt_irq:
      return domain && bindIrq(call, domain, cmd === XEN_DOMCTL_bind_pt_irq);
    default:
      return null;
  }
}

function onDevice({ host, caller, view, u }: Domctl, cmd: number, domain: Domain | null): number {
  const { pci } = host;
  if (!pci.iommu || (domain && domain !== caller.domain && !domain.config.iommu)) return -errno.EOPNOTSUPP;
  if (domain === caller.domain) return -errno.EINVAL;
  if (view.getUint32(u + ASSIGN.at.dev, true) !== XEN_DOMCTL_DEV_PCI) return -errno.ENODEV;
  const flags = view.getUint32(u + ASSIGN.at.flags, true);
  const assigns = cmd === XEN_DOMCTL_assign_device;
  if (assigns ? domain?.dying || (flags & ~XEN_DOMCTL_DEV_RDM_RELAXED) !== 0 : flags !== 0) return -errno.EINVAL;
  const pdev = pci.pdevs.get(view.getUint32(u + ASSIGN.at['u.pci.machine_sbdf'], true));
  if (cmd === XEN_DOMCTL_deassign_device) return deassign(pdev, domain?.domid ?? DOMID_IO);
  const free = !pdev ? -errno.ENODEV : pdev.owner !== 0 && pdev.owner !== DOMID_IO ? -errno.EBUSY : 0;
  if (!assigns) return free && -errno.EINVAL;
  return free || (pdev ? assign(pdev, domain) : 0);
}

function assign(pdev: Pdev, domain: Domain | null): number {
  if (domain?.memSharing) return -errno.EXDEV;
  const { msix } = pdev;
  if (msix) {
    const control = readConfig(pdev.hardware.readConfig(), msix.offset + PCI_MSIX_FLAGS, 2) ?? 0;
    if (control & PCI_MSIX_FLAGS_MASKALL) return -errno.EBUSY;
    msix.guestMaskAll = false;
  }
  pdev.owner = domain?.domid ?? DOMID_IO;
  return 0;
}

/** A guest's device goes into quarantine, and from there back to dom0. */
function deassign(pdev: Pdev | undefined, owner: number): number {
  if (pdev?.owner !== owner) return -errno.ENODEV;
  pdev.owner = owner === DOMID_IO ? 0 : DOMID_IO;
  return 0;
}

function getGroup(call: Domctl, domain: Domain): number {
  const { host, caller, view, u } = call;
  const { pci } = host;
  if (!pci.iommu || (domain !== caller.domain && !domain.config.iommu)) return -errno.EOPNOTSUPP;
  const sbdf = view.getUint32(u + GROUP.at.machine_sbdf, true);
  const list = getU64(view, u + GROUP.at.sdev_array);
  const most = view.getUint32(u + GROUP.at.max_sdevs, true);
  const group = pci.functions.get(sbdf)?.group;
  const others = [...pci.pdevs.values()].filter(
    (one) =>
      one.owner === domain.domid &&
      one.sbdf !== sbdf &&
      sbdfSegment(one.sbdf) === sbdfSegment(sbdf) &&
      one.hardware.group === group,
  );
  const told = others.slice(0, most).map((one) => (sbdfBus(one.sbdf) << 16) | (sbdfDevfn(one.sbdf) << 8));
  const written = caller.memory.write(list, new Uint8Array(Uint32Array.from(told).buffer));
  view.setUint32(u + GROUP.at.num_sdevs, written ? told.length : 0, true);
  const rc = call.reply();
  return rc || (written ? 0 : -errno.EFAULT);
}

function bindIrq({ host, view, u }: Domctl, domain: Domain, bind: boolean): number {
  if (!domain.isHvm) return -errno.EINVAL;
  const pirq = view.getUint32(u + PT.at.machine_irq, true);
  const mapped = domain.io.pirqs.get(pirq);
  if (!mapped) return -errno.EPERM;
  if (!domain.config.iommu) return -errno.ESRCH;
  const type = view.getUint32(u + PT.at.irq_type, true);
  const gvec = type === PT_IRQ_TYPE_MSI ? view.getUint8(u + PT.at['u.msi.gvec']) : 0;
  if (!bind) return unbind(domain, mapped);
  if (type === PT_IRQ_TYPE_MSI) {
    if (gvec < FIRST_VECTOR) return -errno.EINVAL;
  } else if (type !== PT_IRQ_TYPE_PCI && type !== PT_IRQ_TYPE_ISA && type !== PT_IRQ_TYPE_MSI_TRANSLATE) {
    return -errno.EOPNOTSUPP;
  }
  if (mapped.bound) {
    if (mapped.bound.type !== type) return -errno.EBUSY;
  } else if (type === PT_IRQ_TYPE_MSI) {
    const rc = registerTable(host, domain, mapped, getU64(view, u + PT.at['u.msi.gtable']));
    if (rc) return rc;
  }
  mapped.bound = { type, gvec };
  return 0;
}

/** `msixtbl_pt_register`: from now on the domain's writes to the table are Xen's to carry out. */
function registerTable({ pci, release }: Domctl['host'], { io }: Domain, mapped: Pirq, address: number): number {
  if (address === 0) return 0;
  const pdev = mapped.device === null ? undefined : pci.pdevs.get(mapped.device);
  if (!pdev?.msix) return -errno.EINVAL;
  let table = io.tables.find((one) => one.pdev === pdev);
  if (!table) {
    table = new MsixTable(pci, pdev, pdev.msix, address, atLeast(release, '4.19'));
    io.tables.push(table);
  }
  table.users++;
  return 0;
}

function unbind({ io }: Domain, mapped: Pirq): number {
  if (!mapped.bound) return -errno.EINVAL;
  mapped.bound = null;
  const at = io.tables.findIndex(({ pdev }) => pdev.sbdf === mapped.device);
  const table = io.tables[at];
  if (table && --table.users === 0) io.tables.splice(at, 1);
  return 0;
}
