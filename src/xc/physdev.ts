/**
 * Interrupts of devices as a domain's own, as libxc's `xc_physdev.c`. `pirq` is the number that the domain knows the
 * interrupt by; -1 lets Xen choose.
 *
 * Source of the behaviour: Xen's `do_physdev_op`, in `arch/x86/physdev.c`, and `map_domain_pirq` in `arch/x86/irq.c`.
 */

import {
  physdev_map_pirq as MAP,
  MAP_PIRQ_TYPE_GSI,
  MAP_PIRQ_TYPE_MSI_SEG,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_unmap_pirq,
  physdev_unmap_pirq as UNMAP,
} from '../abi/physdev.js';
import { __HYPERVISOR_physdev_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid, checkS32, checkU8, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/** Of a device's MSI or MSI-X vector: which. */
interface Vector {
  readonly bus: number;
  readonly devfn: number;
  readonly entry_nr: number;
  readonly table_base: number | bigint;
}

function begin(xch: XcInterface, size: number): DataView {
  const { bytes, view } = requireOpen(xch).arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + size);
  return view;
}

function issue(xch: XcInterface, syscall: string, cmd: number, domid: number): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_physdev_op, cmd, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal(syscall, rc, domid);
}

function map(
  xch: XcInterface,
  syscall: string,
  domid: number,
  type: number,
  index: number,
  pirq: number,
  vector?: Vector,
): number {
  const view = begin(xch, MAP.size);
  view.setUint16(OPERAND_OFFSET + MAP.at.domid, domid, true);
  view.setInt32(OPERAND_OFFSET + MAP.at.type, type, true);
  view.setInt32(OPERAND_OFFSET + MAP.at.index, index, true);
  view.setInt32(OPERAND_OFFSET + MAP.at.pirq, pirq, true);
  if (vector) {
    view.setInt32(OPERAND_OFFSET + MAP.at.bus, vector.bus, true);
    view.setInt32(OPERAND_OFFSET + MAP.at.devfn, vector.devfn, true);
    view.setInt32(OPERAND_OFFSET + MAP.at.entry_nr, vector.entry_nr, true);
    putU64(view, OPERAND_OFFSET + MAP.at.table_base, vector.table_base);
  }
  issue(xch, syscall, PHYSDEVOP_map_pirq, domid);
  return view.getInt32(OPERAND_OFFSET + MAP.at.pirq, true);
}

/**
 * Maps a global system interrupt for a domain.
 *
 * @param index the interrupt
 * @param pirq negative: the same number
 * @returns the number that the domain has it by
 * @throws XenError `EINVAL`: there is no such interrupt. `EEXIST`, `EBUSY`: the number or the interrupt is taken.
 *   `EPERM`: the domain has no permission (`xc_domain_irq_permission`). `ESRCH`.
 */
export function xc_physdev_map_pirq(xch: XcInterface, domid: number, index: number, pirq: number): number {
  checkDomid(domid);
  checkS32(index, 'index');
  checkS32(pirq, 'pirq');
  return map(xch, 'xc_physdev_map_pirq', domid, MAP_PIRQ_TYPE_GSI, index, pirq < 0 ? index : pirq);
}

/**
 * {@link xc_physdev_map_pirq} where Xen chooses the number: for a PVH dom0. libxc has it since 4.20.
 *
 * @param gsi the interrupt
 * @throws XenError as {@link xc_physdev_map_pirq}
 */
export function xc_physdev_map_pirq_gsi(xch: XcInterface, domid: number, gsi: number, pirq: number): number {
  checkDomid(domid);
  checkS32(gsi, 'gsi');
  checkS32(pirq, 'pirq');
  return map(xch, 'xc_physdev_map_pirq_gsi', domid, MAP_PIRQ_TYPE_GSI, gsi, pirq);
}

/**
 * Maps a device's MSI or MSI-X vector for a domain. With the first vector of an MSI-X table Xen protects the table's
 * pages, unless they are by `xc_physdev_prepare_msix`: then, a domain that has memory and no right to set interrupts up
 * itself is crashed.
 *
 * @param index the interrupt to use; -1: a new one
 * @param devfn device << 3 | function
 * @param bus the segment in the upper 16 bits
 * @param entry_nr entry of the MSI-X table; of plain MSI 0
 * @param table_base address of the BAR that the MSI-X table is in; 0 selects plain MSI
 * @returns the number that the domain has it by
 * @throws XenError `ENODEV`: Xen knows no such device, or it has no such capability. `EINVAL`: it has no such entry, or
 *   Xen no interrupt. `EEXIST`: the vector is mapped. `ENXIO`: the device does not decode memory. `ENODATA`: where its
 *   table is Xen has not been told. `EPERM`, `ESRCH`.
 */
export function xc_physdev_map_pirq_msi(
  xch: XcInterface,
  domid: number,
  index: number,
  pirq: number,
  devfn: number,
  bus: number,
  entry_nr: number,
  table_base: number | bigint,
): number {
  checkDomid(domid);
  checkS32(index, 'index');
  checkS32(pirq, 'pirq');
  checkU8(devfn, 'devfn');
  checkS32(bus, 'bus');
  checkS32(entry_nr, 'entry_nr');
  checkU64(table_base, 'table_base');
  const vector = { bus, devfn, entry_nr, table_base };
  return map(xch, 'xc_physdev_map_pirq_msi', domid, MAP_PIRQ_TYPE_MSI_SEG, index, pirq, vector);
}

/**
 * Takes an interrupt from a domain. With the last vector of a device's MSI-X table the protection of its pages ends.
 *
 * @throws XenError `EINVAL`: the domain has no such interrupt. `EPERM`, `ESRCH`.
 */
export function xc_physdev_unmap_pirq(xch: XcInterface, domid: number, pirq: number): void {
  checkDomid(domid);
  checkS32(pirq, 'pirq');
  const view = begin(xch, UNMAP.size);
  view.setUint16(OPERAND_OFFSET + UNMAP.at.domid, domid, true);
  view.setInt32(OPERAND_OFFSET + UNMAP.at.pirq, pirq, true);
  issue(xch, 'xc_physdev_unmap_pirq', PHYSDEVOP_unmap_pirq, domid);
}
