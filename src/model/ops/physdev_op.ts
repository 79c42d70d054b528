/** The physdev_op hypercall (`arch/x86/physdev.c`): interrupts of devices, and what dom0 tells Xen of its PCI devices. */

import { errno } from '../../abi/errno.js';
import { sbdfOf } from '../../abi/pci/sbdf.js';
import {
  physdev_pci_device_add as ADD,
  physdev_pci_device as DEVICE,
  physdev_map_pirq as MAP,
  MAP_PIRQ_TYPE_GSI,
  MAP_PIRQ_TYPE_MSI,
  MAP_PIRQ_TYPE_MSI_SEG,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_pci_device_add,
  PHYSDEVOP_pci_device_remove,
  PHYSDEVOP_prepare_msix,
  PHYSDEVOP_release_msix,
  PHYSDEVOP_unmap_pirq,
  physdev_unmap_pirq as UNMAP,
  XEN_PCI_DEV_VIRTFN,
} from '../../abi/physdev.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Host } from '../host.js';
import { type DomainIo, NR_IRQS_GSI } from '../pci/domain_io.js';
import { enableVector } from '../pci/msix.js';
import type { Pci } from '../pci/pci.js';

export function physdevOp({ pci }: Host, caller: Caller, cmd: number, address: number): number {
  // of HVM domains only those with event channels for interrupts have any of it (`hvm_physdev_op`)
  if (caller.domain.isHvm) return -errno.ENOSYS;
  switch (cmd) {
    case PHYSDEVOP_map_pirq:
      return mapPirq(pci, caller, address);
    case PHYSDEVOP_unmap_pirq:
      return unmapPirq(pci, caller, address);
    case PHYSDEVOP_pci_device_add:
      return addDevice(pci, caller, address);
    case PHYSDEVOP_pci_device_remove:
      return onDevice(caller, address, (sbdf) => pci.remove(sbdf));
    case PHYSDEVOP_prepare_msix:
    case PHYSDEVOP_release_msix:
      return onDevice(caller, address, (sbdf) => pci.prepare(sbdf, cmd === PHYSDEVOP_release_msix));
    default:
      return -errno.ENOSYS;
  }
}

function readSbdf({ memory: { view, at } }: Caller): number {
  const devfn = view.getUint8(at + DEVICE.at.devfn);
  return sbdfOf(view.getUint16(at + DEVICE.at.seg, true), view.getUint8(at + DEVICE.at.bus), devfn);
}

function onDevice(caller: Caller, address: number, act: (sbdf: number) => number): number {
  if (!caller.memory.copyIn(address, DEVICE.size)) return -errno.EFAULT;
  return xsmPriv(caller) || act(readSbdf(caller));
}

function addDevice(pci: Pci, caller: Caller, address: number): number {
  if (!caller.memory.copyIn(address, ADD.size)) return -errno.EFAULT;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  const { view, at } = caller.memory;
  const sbdf = readSbdf(caller); // the first members are the same
  if ((view.getUint32(at + ADD.at.flags, true) & XEN_PCI_DEV_VIRTFN) === 0) return pci.add(sbdf, null);
  const physical = sbdfOf(
    view.getUint16(at + ADD.at.seg, true),
    view.getUint8(at + ADD.at['physfn.bus']),
    view.getUint8(at + ADD.at['physfn.devfn']),
  );
  return pci.add(sbdf, physical);
}

/** The number for an interrupt that the caller leaves to Xen (`get_free_pirq`). */
function freePirq(io: DomainIo, line: boolean): number {
  for (let pirq = line ? 16 : io.nrPirqs - 1; line ? pirq < NR_IRQS_GSI : pirq >= NR_IRQS_GSI; pirq += line ? 1 : -1) {
    if (!io.pirqs.has(pirq)) return pirq;
  }
  return -errno.ENOSPC;
}

/** `allocate_pirq`: the number under which an interrupt is to be mapped, or a negative errno. */
function allocatePirq(io: DomainIo, irq: number, wanted: number, line: boolean): number {
  const current = io.pirqOf(irq);
  if (wanted < 0) return current || freePirq(io, line);
  return current && current !== wanted ? -errno.EEXIST : wanted;
}

function mapPirq(pci: Pci, caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, MAP.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + MAP.at.domid, true));
  if (!domain) return -errno.ESRCH;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  const type = view.getInt32(at + MAP.at.type, true);
  const index = view.getInt32(at + MAP.at.index, true);
  const wanted = view.getInt32(at + MAP.at.pirq, true);
  const { io } = domain;
  const line = type === MAP_PIRQ_TYPE_GSI;
  if (!line && type !== MAP_PIRQ_TYPE_MSI && type !== MAP_PIRQ_TYPE_MSI_SEG) return -errno.EINVAL;
  if (line ? index < 0 || index >= NR_IRQS_GSI : index < -1) return -errno.EINVAL;
  const irq = line ? index : index === -1 ? pci.createIrq() : index;
  const pirq = allocatePirq(io, irq, wanted, line);
  if (pirq < 0) return pirq;
  if (pirq >= io.nrPirqs || irq <= 0) return -errno.EINVAL;
  const other = io.irqOf(pirq);
  if (other > 0 && other !== irq) return -errno.EBUSY;
  let device: number | null = null;
  if (!line) {
    const bus = view.getInt32(at + MAP.at.bus, true);
    const segment = type === MAP_PIRQ_TYPE_MSI_SEG ? bus >>> 16 : 0;
    device = sbdfOf(segment, bus & 0xff, view.getInt32(at + MAP.at.devfn, true) & 0xff);
    const rc = enable(pci, device, irq, view.getInt32(at + MAP.at.entry_nr, true), tableBaseOf(view, at));
    if (rc) return rc;
  }
  io.pirqs.set(pirq, { irq, device, bound: null });
  io.irqs.add(irq);
  view.setInt32(at + MAP.at.pirq, pirq, true);
  return memory.copyOut(address, MAP.size) ? 0 : -errno.EFAULT;
}

function tableBaseOf(view: DataView, at: number): bigint {
  return view.getBigUint64(at + MAP.at.table_base, true);
}

/** `pci_enable_msi`: of MSI-X, which a table selects. Devices with plain MSI are not modelled. */
function enable(pci: Pci, sbdf: number, irq: number, entry: number, tableBase: bigint): number {
  const pdev = pci.pdevs.get(sbdf);
  if (!pdev || tableBase === 0n) return -errno.ENODEV;
  return enableVector(pci, pdev, { irq, entry, tableBase });
}

function unmapPirq(pci: Pci, caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, UNMAP.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + UNMAP.at.domid, true));
  if (!domain) return -errno.ESRCH;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  const pirq = view.getInt32(at + UNMAP.at.pirq, true);
  if (!domain.io.pirqs.has(pirq)) return -errno.EINVAL;
  pci.dropPirq(domain.io, pirq);
  return 0;
}
