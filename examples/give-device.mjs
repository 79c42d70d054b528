// Gives a network card to a guest, all or nothing: its MSI-X table cannot be written then.   node examples/give-device.mjs
// In a real dom0 it is `{ sysfs: new HostSysfs(), xch: xc_interface_open() }`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { xc_interface_open } from 'xenctrl';
import { e1000e, ModelSysfs, ModelXen } from 'xenctrl/model';
import { attach, detach, inspectAll, Journal, planAttach, readSysfs } from 'xenctrl/pci';

const xen = new ModelXen({ pci: { devices: [e1000e('0000:00:10.0')] } });
const { domid } = xen.createGuest({ iommu: true });
const sysfs = new ModelSysfs(xen.pci, { drivers: { '0000:00:10.0': 'e1000e' }, irqs: { '0000:00:10.0': 10 } });
const dom0 = { sysfs, xch: xc_interface_open({ hypervisor: xen }) };
const folder = mkdtempSync(`${tmpdir()}/give-device-`);
const journal = new Journal(folder);
const look = () => inspectAll(readSysfs(sysfs))[0];

const { firstFrame } = look().msix.table;
console.log(`its table is in frame 0x${firstFrame.toString(16)}`);

const plan = planAttach(dom0, 0x80, domid);
const wrong = plan.steps.map((step) =>
  step.action.do === 'map-pirq' ? { ...step, action: { ...step.action, irq: 4000 } } : step,
);
try {
  attach(dom0, { ...plan, steps: wrong }, { journal });
} catch (error) {
  console.log(`${error.code}: ${error.message}; its driver is ${look().driver}`);
}

attach(dom0, plan, { journal });
console.log(`domain ${domid} has it; can the table be written? ${xen.pci.isReadOnly(firstFrame) ? 'no' : 'yes'}`);
detach(dom0, 0x80, { journal });
console.log(`dom0 has it; its driver is ${look().driver}`);
rmSync(folder, { recursive: true });
