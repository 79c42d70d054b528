// Lists what runs in a guest, from outside: on a live one, and in its saved memory.
//   node examples/list-processes.mjs

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';
import { dumpMemory, Introspector, Linux, Profile, sampleLinux } from 'xenctrl/vmi';

// A guest of a software Xen that looks like a Linux. On a dom0: `Xen.open()`, a guest of yours, and Profile.open(FILE).
const model = new ModelXen();
const guest = model.createGuest({ memoryPages: 8192 });
const sample = sampleLinux((address, bytes) => guest.vcpus[0].write(address, bytes));
for (const [name, value] of Object.entries(sample.registers)) guest.vcpus[0].registers.set(name, value);
const profile = Profile.parse(sample.profile);
const xen = Xen.open({ hypervisor: model });

async function list(what, vmi) {
  const linux = await Linux.find(vmi, profile);
  console.log(`${what}: ${linux.banner.trim()}`);
  for (const process of linux.processes().processes) {
    const program = linux.space(process)?.string(0x400000) ?? 'a thread of the kernel';
    console.log(`${String(process.pid).padStart(6)}  ${process.comm.padEnd(10)}  ${program}`);
  }
}

const live = Introspector.open(xen.xch, guest.domid);
await list('live', live);

const folder = mkdtempSync(join(tmpdir(), 'list-processes-'));
await dumpMemory(live.source, join(folder, 'guest.lime')); // as `xenctrl mem dump` does
const saved = Introspector.image(join(folder, 'guest.lime'));
await list('saved', saved);
for (const vmi of [live, saved]) vmi.close();
rmSync(folder, { recursive: true });
