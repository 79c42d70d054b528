/** domctl: what a domain may use of devices, and what of it is mapped (`common/domctl.c`, `arch/x86/domctl.c`). */

import { errno } from '../../abi/errno.js';
import {
  DPCI_REMOVE_MAPPING,
  xen_domctl_gsi_permission as GSI,
  xen_domctl_iomem_permission as IOMEM,
  xen_domctl_irq_permission as IRQ,
  xen_domctl_memory_mapping as MEMORY,
  xen_domctl_ioport_mapping as PORT_MAPPING,
  xen_domctl_ioport_permission as PORTS,
  XEN_DOMCTL_GSI_GRANT,
  XEN_DOMCTL_gsi_permission,
  XEN_DOMCTL_iomem_permission,
  XEN_DOMCTL_ioport_mapping,
  XEN_DOMCTL_ioport_permission,
  XEN_DOMCTL_irq_permission,
  XEN_DOMCTL_memory_mapping,
} from '../../abi/passthrough.js';
import { atLeast } from '../../abi/release.js';
import type { Domain } from '../domain.js';
import { NR_IRQS_GSI } from '../pci/domain_io.js';
import type { Domctl } from './domctl.js';

const MAX_IOPORTS = 0x1_0000;
/** Frames that one call maps before it lets others have a turn. */
const MAP_MMIO_MAX_ITER = 64;

/** @returns null: the command is none of these */
export function ioPermissionOp(call: Domctl, cmd: number, domain: Domain): number | null {
  switch (cmd) {
    case XEN_DOMCTL_irq_permission:
      return irqPermission(call, domain);
    case XEN_DOMCTL_gsi_permission:
      return atLeast(call.host.release, '4.20') ? gsiPermission(call, domain) : -errno.ENOSYS;
    case XEN_DOMCTL_iomem_permission:
      return iomemPermission(call, domain);
    case XEN_DOMCTL_ioport_permission:
      return ioportPermission(call, domain);
    case XEN_DOMCTL_memory_mapping:
      return memoryMapping(call, domain);
    case XEN_DOMCTL_ioport_mapping:
      return ioportMapping(call, domain);
    default:
      return null;
  }
}

function setIrq(domain: Domain, irq: number, allow: boolean): number {
  if (allow) domain.io.irqs.add(irq);
  else domain.io.irqs.delete(irq);
  return 0;
}

function irqPermission({ host, caller, view, u }: Domctl, domain: Domain): number {
  const { at, fields } = IRQ.for(host.release);
  const pirq = fields['pirq']?.[1] === 4 ? view.getUint32(u, true) : view.getUint8(u);
  const { io } = caller.domain;
  if (pirq >= io.nrPirqs) return -errno.EINVAL;
  const irq = io.irqOf(pirq);
  if (irq === 0 || !io.mayUse(irq)) return -errno.EPERM;
  return setIrq(domain, irq, view.getUint8(u + (at.allow_access ?? 0)) !== 0);
}

function gsiPermission({ host, caller, view, u }: Domctl, domain: Domain): number {
  const { at } = GSI.for(host.release);
  const flags = view.getUint32(u + (at.flags ?? 0), true);
  const gsi = view.getUint32(u + (at.gsi ?? 0), true);
  if (flags > XEN_DOMCTL_GSI_GRANT || gsi === 0 || gsi >= NR_IRQS_GSI) return -errno.EINVAL;
  if (!caller.domain.io.mayUse(gsi)) return -errno.EPERM;
  return setIrq(domain, gsi, flags === XEN_DOMCTL_GSI_GRANT);
}

/** A run of frames as 64-bit words; null: it is none, or goes beyond 64 bits. */
function runOf(view: DataView, first: number, count: number): readonly [first: number, last: number] | null {
  const from = view.getBigUint64(first, true);
  const frames = view.getBigUint64(count, true);
  const to = BigInt.asUintN(64, from + frames - 1n);
  return to < from ? null : [Number(from), Number(to)];
}

function iomemPermission({ caller, view, u }: Domctl, domain: Domain): number {
  const run = runOf(view, u + IOMEM.at.first_mfn, u + IOMEM.at.nr_mfns);
  if (!run) return -errno.EINVAL;
  if (!caller.domain.io.frames.permits(...run)) return -errno.EPERM;
  const { frames } = domain.io;
  if (view.getUint8(u + IOMEM.at.allow_access) !== 0) frames.permit(...run);
  else frames.deny(...run);
  return 0;
}

function ioportPermission({ caller, view, u }: Domctl, domain: Domain): number {
  const first = view.getUint32(u + PORTS.at.first_port, true);
  const count = view.getUint32(u + PORTS.at.nr_ports, true);
  if (count === 0 || first + count > MAX_IOPORTS) return -errno.EINVAL;
  if (!caller.domain.io.ports.permits(first, first + count - 1)) return -errno.EPERM;
  const { ports } = domain.io;
  if (view.getUint8(u + PORTS.at.allow_access) !== 0) ports.permit(first, first + count - 1);
  else ports.deny(first, first + count - 1);
  return 0;
}

/** @returns 0, a negative errno, or how many frames were done: the caller calls again for the rest */
function memoryMapping({ host, caller, view, u }: Domctl, domain: Domain): number {
  const gfns = runOf(view, u + MEMORY.at.first_gfn, u + MEMORY.at.nr_mfns);
  const mfns = runOf(view, u + MEMORY.at.first_mfn, u + MEMORY.at.nr_mfns);
  if (!gfns || !mfns || mfns[1] >= 2 ** (host.cpu.maxphysaddr - 12)) return -errno.EINVAL;
  if (!caller.domain.io.frames.permits(...mfns) || !domain.io.frames.permits(...mfns)) return -errno.EPERM;
  if (!domain.isHvm) return 0;
  const remove = view.getUint32(u + MEMORY.at.add_mapping, true) === DPCI_REMOVE_MAPPING;
  const count = mfns[1] - mfns[0] + 1;
  const now = Math.min(count, MAP_MMIO_MAX_ITER);
  for (let i = 0; i < now; i++) {
    const gfn = gfns[0] + i;
    const done = remove ? domain.unmapDevice(gfn) : domain.mapDevice(gfn, mfns[0] + i);
    if (!done) return i || -errno.EINVAL;
  }
  return now === count ? 0 : now;
}

function ioportMapping({ caller, view, u }: Domctl, domain: Domain): number {
  const guest = view.getUint32(u + PORT_MAPPING.at.first_gport, true);
  const machine = view.getUint32(u + PORT_MAPPING.at.first_mport, true);
  const count = view.getUint32(u + PORT_MAPPING.at.nr_ports, true);
  if (!domain.isHvm) return -errno.EOPNOTSUPP;
  if (count === 0 || guest + count > MAX_IOPORTS || machine + count > MAX_IOPORTS) return -errno.EINVAL;
  if (!caller.domain.io.ports.permits(machine, machine + count - 1)) return -errno.EPERM;
  const { ports, portMappings } = domain.io;
  const known = portMappings.findIndex((mapping) => mapping.machine === machine);
  if (view.getUint32(u + PORT_MAPPING.at.add_mapping, true) === DPCI_REMOVE_MAPPING) {
    if (known >= 0) portMappings.splice(known, 1);
    ports.deny(machine, machine + count - 1);
    return 0;
  }
  if (known >= 0) portMappings.splice(known, 1);
  portMappings.push({ guest, machine, count });
  ports.permit(machine, machine + count - 1);
  return 0;
}
