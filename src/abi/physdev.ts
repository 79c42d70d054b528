/** `physdev.h`: commands of the physdev_op hypercall that are about PCI devices and their interrupts. */

import { struct } from './layout.js';

export const PHYSDEVOP_map_pirq = 13;
export const PHYSDEVOP_unmap_pirq = 14;
export const PHYSDEVOP_pci_device_add = 25;
export const PHYSDEVOP_pci_device_remove = 26;
export const PHYSDEVOP_prepare_msix = 30;
export const PHYSDEVOP_release_msix = 31;
/** Since 4.20. It resets what Xen has of the device's state for vPCI, not the device. */
export const PHYSDEVOP_pci_device_reset = 32;

/** `map_pirq.type`. */
export const MAP_PIRQ_TYPE_MSI = 0;
export const MAP_PIRQ_TYPE_GSI = 1;
/** MSI, with the device's segment in the upper half of `bus`. */
export const MAP_PIRQ_TYPE_MSI_SEG = 3;
/** Several MSI vectors at once: `entry_nr` says how many. */
export const MAP_PIRQ_TYPE_MULTI_MSI = 4;

/** `pci_device_add.flags`. */
export const XEN_PCI_DEV_EXTFN = 0x1;
/** A virtual function, of the physical one in `physfn`. */
export const XEN_PCI_DEV_VIRTFN = 0x2;
export const XEN_PCI_DEV_PXM = 0x4;

const H = 'physdev.h';

/** `index` and `pirq`: -1 lets Xen choose. `table_base`: address of the MSI-X table's BAR, 0 for plain MSI. */
export const physdev_map_pirq = struct('physdev_map_pirq', H, 40, {
  domid: [0, 2],
  type: [4, 4],
  index: [8, 4],
  pirq: [12, 4],
  bus: [16, 4],
  devfn: [20, 4],
  entry_nr: [24, 4],
  table_base: [32, 8],
});
export const physdev_unmap_pirq = struct('physdev_unmap_pirq', H, 8, { domid: [0, 2], pirq: [4, 4] });
/** What pci_device_remove, prepare_msix and release_msix take. */
export const physdev_pci_device = struct('physdev_pci_device', H, 4, { seg: [0, 2], bus: [2, 1], devfn: [3, 1] });
/** With {@link XEN_PCI_DEV_PXM} the proximity domain follows, in 4 bytes. */
export const physdev_pci_device_add = struct('physdev_pci_device_add', H, 12, {
  seg: [0, 2],
  bus: [2, 1],
  devfn: [3, 1],
  flags: [4, 4],
  'physfn.bus': [8, 1],
  'physfn.devfn': [9, 1],
});
