/** Calls on PCI devices, which recordings name as sysfs does, and what domains may do with them. */

import { msixBar, readMsix } from '../abi/pci/msix.js';
import { formatSbdf, parseSbdf, sbdfBus, sbdfDevfn, sbdfSegment } from '../abi/pci/sbdf.js';
import { xc_assign_device, xc_deassign_device, xc_test_assign_device } from '../xc/assign_device.js';
import { xc_domain_memory_mapping } from '../xc/device_mapping.js';
import type { XcInterface } from '../xc/interface.js';
import { xc_domain_iomem_permission } from '../xc/io_permission.js';
import { xc_physdev_prepare_msix, xc_physdev_release_msix } from '../xc/msix.js';
import { xc_physdev_map_pirq_msi, xc_physdev_unmap_pirq } from '../xc/physdev.js';
import type { CallSpec, CallTable } from './call.js';
import { RecordingError } from './error.js';
import type { Fields } from './fields.js';
import type { Session } from './session.js';

function readSbdf(args: Fields): number {
  const text = args.string('sbdf');
  const sbdf = parseSbdf(text);
  if (sbdf === undefined) throw new RecordingError(`${args.place('sbdf')}: ${text} is no address of a PCI device`);
  return sbdf;
}

/** A call on a device, and on nothing else. */
function onDevice(call: (xch: XcInterface, sbdf: number) => void): CallSpec {
  return {
    needsNoGuest: true,
    prepare: (args) => {
      const sbdf = readSbdf(args);
      return ({ xch }) => call(xch, sbdf);
    },
  };
}

function assigning(call: (xch: XcInterface, domid: number, sbdf: number) => void): CallSpec {
  return {
    prepare: (args) => {
      const sbdf = readSbdf(args);
      return ({ xch }, domid) => call(xch, domid, sbdf);
    },
  };
}

/** Where the BAR is that a device's MSI-X table is in; 4096 where the device cannot be seen. */
function tableBase(xch: XcInterface, sbdf: number): bigint {
  const config = xch.hypervisor.pciConfig?.(sbdf);
  const reading = config && readMsix(config);
  if (!config || reading?.kind !== 'present') return 4096n;
  const bar = msixBar(config, reading.capability.table);
  return 'problem' in bar ? 4096n : bar.address;
}

/** Numbers that Xen gave to vectors, which differ from one machine to the next: rows name the vector. */
const pirqs = new WeakMap<Session, Map<string, number>>();

function pirqsOf(session: Session): Map<string, number> {
  const known = pirqs.get(session) ?? new Map<string, number>();
  pirqs.set(session, known);
  return known;
}

/** A vector of a device, and the name of it. */
function readVector(args: Fields): { readonly sbdf: number; readonly entry: number; readonly name: string } {
  const sbdf = readSbdf(args);
  const entry = args.integer('entry', 0, 0xffff);
  return { sbdf, entry, name: `${formatSbdf(sbdf)} ${entry}` };
}

export const PCI_CALLS: CallTable = {
  xc_physdev_prepare_msix: onDevice(xc_physdev_prepare_msix),
  xc_physdev_release_msix: onDevice(xc_physdev_release_msix),
  xc_physdev_map_pirq_msi: {
    needsNoGuest: true,
    prepare: (args) => {
      const { sbdf, entry, name } = readVector(args);
      return (session, domid) => {
        const { xch } = session;
        const bus = (sbdfSegment(sbdf) << 16) | sbdfBus(sbdf);
        const base = tableBase(xch, sbdf);
        const pirq = xc_physdev_map_pirq_msi(xch, domid, -1, -1, sbdfDevfn(sbdf), bus, entry, base);
        pirqsOf(session).set(`${domid} ${name}`, pirq);
      };
    },
  },
  xc_physdev_unmap_pirq: {
    needsNoGuest: true,
    prepare: (args) => {
      const { name } = readVector(args);
      return (session, domid) =>
        xc_physdev_unmap_pirq(session.xch, domid, pirqsOf(session).get(`${domid} ${name}`) ?? -1);
    },
  },
  xc_assign_device: assigning((xch, domid, sbdf) => xc_assign_device(xch, domid, sbdf, 0)),
  xc_test_assign_device: assigning(xc_test_assign_device),
  xc_deassign_device: assigning(xc_deassign_device),
  xc_domain_iomem_permission: {
    prepare: (args) => {
      const first = args.u64('first_mfn');
      const count = args.u64('nr_mfns');
      const allow = args.flag('allow_access');
      return ({ xch }, domid) => xc_domain_iomem_permission(xch, domid, first, count, allow);
    },
  },
  xc_domain_memory_mapping: {
    prepare: (args) => {
      const gfn = args.integer('first_gfn', 0, 2 ** 40);
      const mfn = args.integer('first_mfn', 0, 2 ** 40);
      const count = args.integer('nr_mfns', 0, 2 ** 40);
      const add = args.flag('add_mapping');
      return ({ xch }, domid) => xc_domain_memory_mapping(xch, domid, gfn, mfn, count, add);
    },
  },
};
