/** `domctl.h`: what domains may do with devices, and which devices are theirs. */

import { struct, versionedStruct } from './layout.js';

export const XEN_DOMCTL_irq_permission = 19;
export const XEN_DOMCTL_iomem_permission = 20;
export const XEN_DOMCTL_ioport_permission = 21;
export const XEN_DOMCTL_assign_device = 37;
export const XEN_DOMCTL_bind_pt_irq = 38;
export const XEN_DOMCTL_memory_mapping = 39;
export const XEN_DOMCTL_ioport_mapping = 40;
export const XEN_DOMCTL_test_assign_device = 45;
export const XEN_DOMCTL_deassign_device = 47;
export const XEN_DOMCTL_unbind_pt_irq = 48;
export const XEN_DOMCTL_get_device_group = 50;
/** Since 4.20. */
export const XEN_DOMCTL_gsi_permission = 88;

/** `assign_device.dev`. */
export const XEN_DOMCTL_DEV_PCI = 0;
/** `assign_device.flags`: conflicts of the device's reserved memory with the domain's are no error. */
export const XEN_DOMCTL_DEV_RDM_RELAXED = 1;

/** `memory_mapping.add_mapping` and `ioport_mapping.add_mapping`. */
export const DPCI_REMOVE_MAPPING = 0;
export const DPCI_ADD_MAPPING = 1;

/** `bind_pt_irq.irq_type`. */
export const PT_IRQ_TYPE_PCI = 0;
export const PT_IRQ_TYPE_ISA = 1;
export const PT_IRQ_TYPE_MSI = 2;
/** An interrupt line whose device uses MSI on the host. */
export const PT_IRQ_TYPE_MSI_TRANSLATE = 3;

/** `bind_pt_irq.u.msi.gflags`: bits 0-7 are the destination's APIC id. */
export const XEN_DOMCTL_VMSI_X86_DEST_ID_MASK = 0x0000ff;
export const XEN_DOMCTL_VMSI_X86_RH_MASK = 0x000100;
export const XEN_DOMCTL_VMSI_X86_DM_MASK = 0x000200;
export const XEN_DOMCTL_VMSI_X86_DELIV_MASK = 0x007000;
export const XEN_DOMCTL_VMSI_X86_TRIG_MASK = 0x008000;
export const XEN_DOMCTL_VMSI_X86_UNMASKED = 0x010000;

/** `gsi_permission.flags`. */
export const XEN_DOMCTL_GSI_REVOKE = 0;
export const XEN_DOMCTL_GSI_GRANT = 1;

const H = 'domctl.h';

/** The interrupt's number had 8 bits up to 4.15. */
export const xen_domctl_irq_permission = versionedStruct('xen_domctl_irq_permission', H, [
  ['4.14', 2, { pirq: [0, 1], allow_access: [1, 1] }],
  ['4.16', 8, { pirq: [0, 4], allow_access: [4, 1], pad: [5, 3] }],
]);
export const xen_domctl_iomem_permission = struct('xen_domctl_iomem_permission', H, 24, {
  first_mfn: [0, 8],
  nr_mfns: [8, 8],
  allow_access: [16, 1],
});
export const xen_domctl_ioport_permission = struct('xen_domctl_ioport_permission', H, 12, {
  first_port: [0, 4],
  nr_ports: [4, 4],
  allow_access: [8, 1],
});
/** Since 4.20. */
export const xen_domctl_gsi_permission = versionedStruct('xen_domctl_gsi_permission', H, [
  ['4.20', 8, { gsi: [0, 4], flags: [4, 4] }],
]);
/** Also test_assign_device's and deassign_device's. `u.pci.machine_sbdf`: segment << 16 | bus << 8 | devfn. */
export const xen_domctl_assign_device = struct('xen_domctl_assign_device', H, 24, {
  dev: [0, 4],
  flags: [4, 4],
  'u.pci.machine_sbdf': [8, 4],
});
/** Also unbind_pt_irq's. */
export const xen_domctl_bind_pt_irq = struct('xen_domctl_bind_pt_irq', H, 24, {
  machine_irq: [0, 4],
  irq_type: [4, 4],
  'u.isa.isa_irq': [8, 1],
  'u.pci.bus': [8, 1],
  'u.pci.device': [9, 1],
  'u.pci.intx': [10, 1],
  'u.msi.gvec': [8, 1],
  'u.msi.gflags': [12, 4],
  'u.msi.gtable': [16, 8],
});
export const xen_domctl_memory_mapping = struct('xen_domctl_memory_mapping', H, 32, {
  first_gfn: [0, 8],
  first_mfn: [8, 8],
  nr_mfns: [16, 8],
  add_mapping: [24, 4],
  padding: [28, 4],
});
export const xen_domctl_ioport_mapping = struct('xen_domctl_ioport_mapping', H, 16, {
  first_gport: [0, 4],
  first_mport: [4, 4],
  nr_ports: [8, 4],
  add_mapping: [12, 4],
});
/** `sdev_array` points to `max_sdevs` numbers of 32 bits: bus << 16 | devfn << 8. */
export const xen_domctl_get_device_group = struct('xen_domctl_get_device_group', H, 24, {
  machine_sbdf: [0, 4],
  max_sdevs: [4, 4],
  num_sdevs: [8, 4],
  sdev_array: [16, 8],
});
