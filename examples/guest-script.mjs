// Two vCPUs of a software Xen's guest run a script, and an agent on the same event loop is told what they do.
//   node examples/guest-script.mjs

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

const model = new ModelXen({ seed: 3 }); // the seed fixes whose turn it is
const guest = model.createGuest({ vcpus: 2, memoryPages: 1024 });
const tables = guest.pageTables().map(0xffff_8000_0000_0000n, 0x200, { pages: 4 });

function* program(cpu) {
  tables.enter(cpu); // control registers as a kernel sets them, without events
  yield cpu.write(0xffff_8000_0000_1000n + BigInt(cpu.id), Uint8Array.of(7));
  yield cpu.writeCr(3, tables.cr3 | 8n); // waits for the agent
  const { exception } = yield cpu.read(0x1234n, 8); // not mapped
  return `vCPU ${cpu.id} ended with exception ${exception} at 0x${cpu.registers.get('cr2').toString(16)}`;
}

const session = Xen.open({ hypervisor: model })
  .domain(guest.domid)
  .monitor.open({ cr: { cr3: true } });
const served = session.serve((event) => console.log(`vCPU ${event.vcpu}: ${event.reason}`));

const runs = guest.vcpus.map((vcpu) => vcpu.run(program));
for (const { finished } of runs) console.log((await finished).value);
session.close();
await served;
