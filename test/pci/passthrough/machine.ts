/** A software machine with devices, a guest for them, dom0's sysfs, and a look at all that giving a device away changes. */

import { existsSync } from 'node:fs';
import { xc_interface_open } from '#dist/index.js';
import { e1000e, type Guest, ModelSysfs, ModelXen, nvme, type PciDeviceOptions } from '#dist/model/index.js';
import type { Dom0 } from '#dist/pci/passthrough/action.js';
import { Journal } from '#dist/pci/passthrough/journal.js';
import { scratchFolder } from '../../scratch.js';

export const NIC = 0x80;
export const NIC_NAME = '0000:00:10.0';

/** Of memory where there is a file system of it: each line of a journal is brought to the disk. */
export function journalFolder(): string {
  return scratchFolder(existsSync('/dev/shm') ? '/dev/shm' : undefined);
}

export interface TestMachine {
  readonly xen: ModelXen;
  readonly guest: Guest;
  readonly dom0: Dom0 & { readonly sysfs: ModelSysfs };
  readonly journal: Journal;
  /** All that giving a device away changes, as text. */
  snapshot(): string;
}

export interface TestMachineOptions {
  readonly devices?: readonly PciDeviceOptions[];
  readonly drivers?: Readonly<Record<string, string>>;
  /** The machine has an IOMMU. */
  readonly iommu?: boolean;
}

export function testMachine(options: TestMachineOptions = {}): TestMachine {
  const {
    devices = [e1000e(NIC_NAME), nvme()],
    drivers = { [NIC_NAME]: 'e1000e', '0000:00:11.0': 'nvme' },
    iommu = true,
  } = options;
  const xen = new ModelXen({ release: '4.17', pci: { devices, iommu } });
  const guest = xen.createGuest({ memoryPages: 16, iommu });
  const sysfs = new ModelSysfs(xen.pci, { drivers, irqs: { [NIC_NAME]: 11 } });
  const dom0 = { sysfs, xch: xc_interface_open({ hypervisor: xen }) };
  const folder = journalFolder();
  const snapshot = (): string => {
    const io = xen.domains.get(guest.domid)?.io;
    const lines = [...xen.pci.pdevs.values()].map(({ sbdf, owner, msix }) => {
      const name = xen.pci.functions.get(sbdf)?.name ?? '';
      const driver = sysfs.link(`/sys/bus/pci/devices/${name}/driver`);
      return `${name}: owner ${owner}, driver ${driver}, ${msix?.used} users of MSI-X`;
    });
    return [
      ...lines,
      `slots: ${new TextDecoder().decode(sysfs.read('/sys/bus/pci/drivers/pciback/slots')).replaceAll('\n', ' ')}`,
      `read-only: ${JSON.stringify([...xen.pci.readOnly.ranges()])}`,
      `frames: ${JSON.stringify([...(io?.frames.runs ?? [])])}`,
      `ports: ${JSON.stringify([...(io?.ports.runs ?? [])])}`,
      `interrupts: ${[...(io?.irqs ?? [])]}; ${[...(io?.pirqs.keys() ?? [])]}`,
    ].join('\n');
  };
  return { xen, guest, dom0, journal: new Journal(folder), snapshot };
}
