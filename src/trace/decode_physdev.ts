/**
 * physdev_op, and the domctls about devices: what they ask for, with devices named as sysfs does. What names a device is
 * not exact: a recorder cannot tell what devices the machine has.
 */

import type { Field, Struct } from '../abi/layout.js';
import * as pt from '../abi/passthrough.js';
import { formatSbdf, sbdfOf } from '../abi/pci/sbdf.js';
import * as phys from '../abi/physdev.js';
import type { Arena } from '../hypervisor/arena.js';
import type { Decoded, DecodedValues } from './decoded.js';
import { Operand } from './operand.js';

function deviceOf(operand: Operand): string {
  const F = phys.physdev_pci_device.fields;
  return formatSbdf(sbdfOf(operand.u32(F.seg), operand.u32(F.bus), operand.u32(F.devfn)));
}

/** Null: another command, or a structure that cannot be read. */
export function decodePhysdev(arena: Arena, cmd: number, address: number): Decoded | null {
  switch (cmd) {
    case phys.PHYSDEVOP_prepare_msix:
    case phys.PHYSDEVOP_release_msix: {
      const operand = Operand.at(arena, address, phys.physdev_pci_device.size);
      const name = cmd === phys.PHYSDEVOP_prepare_msix ? 'xc_physdev_prepare_msix' : 'xc_physdev_release_msix';
      return operand && { name, args: { sbdf: deviceOf(operand) }, exact: false };
    }
    case phys.PHYSDEVOP_map_pirq:
      return decodeMap(Operand.at(arena, address, phys.physdev_map_pirq.size));
    case phys.PHYSDEVOP_unmap_pirq: {
      const F = phys.physdev_unmap_pirq.fields;
      const operand = Operand.at(arena, address, phys.physdev_unmap_pirq.size);
      if (!operand) return null;
      const args = { pirq: operand.s32(F.pirq) };
      return { name: 'xc_physdev_unmap_pirq', domid: operand.u32(F.domid), args, exact: false };
    }
    default:
      return null;
  }
}

function decodeMap(operand: Operand | null): Decoded | null {
  if (!operand) return null;
  const F = phys.physdev_map_pirq.fields;
  const type = operand.s32(F.type);
  const domid = operand.u32(F.domid);
  const numbers = { index: operand.s32(F.index), pirq: operand.s32(F.pirq) };
  const out = (): DecodedValues => ({ pirq: operand.s32(F.pirq) });
  if (type === phys.MAP_PIRQ_TYPE_GSI) return { name: 'xc_physdev_map_pirq', domid, args: numbers, exact: false, out };
  const bus = operand.s32(F.bus);
  const segment = type === phys.MAP_PIRQ_TYPE_MSI_SEG ? bus >>> 16 : 0;
  const sbdf = formatSbdf(sbdfOf(segment, bus & 0xff, operand.u32(F.devfn) & 0xff));
  const vector = { sbdf, entry: operand.u32(F.entry_nr), table_base: operand.value(F.table_base) };
  return { name: 'xc_physdev_map_pirq_msi', domid, args: { ...numbers, ...vector }, exact: false, out };
}

/** Fields of a domctl's union, by their names. */
function named({ fields }: Struct, ...names: readonly string[]): Readonly<Record<string, Field>> {
  return Object.fromEntries(names.map((name) => [name, fields[name] ?? [0, 0]]));
}

const MEMORY = named(pt.xen_domctl_memory_mapping, 'first_gfn', 'first_mfn', 'nr_mfns', 'add_mapping');
const IOMEM = named(pt.xen_domctl_iomem_permission, 'first_mfn', 'nr_mfns', 'allow_access');
const PORTS = named(pt.xen_domctl_ioport_permission, 'first_port', 'nr_ports', 'allow_access');
const PORT_MAPPING = named(pt.xen_domctl_ioport_mapping, 'first_gport', 'first_mport', 'nr_ports', 'add_mapping');
const BIND = named(pt.xen_domctl_bind_pt_irq, 'machine_irq', 'irq_type');

/** What is told of a domctl. `exact`: a recording can make it again. */
interface Told {
  readonly args: DecodedValues;
  readonly exact: boolean;
}

const plain =
  (fields: Readonly<Record<string, Field>>, exact = false) =>
  ({ u }: { readonly u: Operand }): Told => ({
    args: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, u.value(field)])),
    exact,
  });

function assigned({ u }: { readonly u: Operand }): Told {
  const F = pt.xen_domctl_assign_device.fields;
  const flags = u.u32(F.flags);
  const sbdf = formatSbdf(u.u32(F['u.pci.machine_sbdf']));
  return { args: { sbdf, ...(flags !== 0 && { flags }) }, exact: false };
}

export const DEVICE_DOMCTLS: Readonly<
  Record<number, readonly [name: string, tell: (call: { readonly u: Operand }) => Told]>
> = {
  [pt.XEN_DOMCTL_iomem_permission]: ['xc_domain_iomem_permission', plain(IOMEM, true)],
  [pt.XEN_DOMCTL_ioport_permission]: ['xc_domain_ioport_permission', plain(PORTS)],
  [pt.XEN_DOMCTL_memory_mapping]: ['xc_domain_memory_mapping', plain(MEMORY)],
  [pt.XEN_DOMCTL_ioport_mapping]: ['xc_domain_ioport_mapping', plain(PORT_MAPPING)],
  [pt.XEN_DOMCTL_assign_device]: ['xc_assign_device', assigned],
  [pt.XEN_DOMCTL_test_assign_device]: ['xc_test_assign_device', assigned],
  [pt.XEN_DOMCTL_deassign_device]: ['xc_deassign_device', assigned],
  [pt.XEN_DOMCTL_bind_pt_irq]: ['xc_domain_bind_pt_irq', plain(BIND)],
  [pt.XEN_DOMCTL_unbind_pt_irq]: ['xc_domain_unbind_pt_irq', plain(BIND)],
};
