// Watches a function of a guest, which cannot find out: the breakpoint is in a hidden view that shows it to nobody.
//   node examples/hidden-hook.mjs

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';
import { StealthHooks } from 'xenctrl/vmi';

// A guest of a software Xen with a function at 0x400010. On a dom0: `Xen.open()`, and a guest of yours.
const FUNCTION = 0x400010;
const model = new ModelXen();
const guest = model.createGuest({ memoryPages: 256, altp2m: 'external' });
guest.pageTables().map(0x400000, 0x60).enter(guest.vcpus[0]);
guest.vcpus[0].write(FUNCTION, Uint8Array.of(0x55, 0x48, 0x89, 0xe5)); // push rbp; mov rbp, rsp
const xen = Xen.open({ hypervisor: model });

const hooks = StealthHooks.open(xen.xch, guest.domid); // makes the view, moves the vCPUs into it, hides it
hooks.add({ space: hooks.vmi.spaceOf(0), address: FUNCTION }, ({ vcpu, regs }) => {
  console.log(`agent: vCPU ${vcpu} calls 0x${regs.rip.toString(16)}`);
});
const served = hooks.serve();
xen.domain(guest.domid).altp2m.enableNotify(0, 0x50); // the vCPU can do VMFUNC

const hex = ({ bytes }) => Buffer.from(bytes).toString('hex');
const run = guest.vcpus[0].run(function* (cpu) {
  console.log(`guest: reads ${hex(yield cpu.read(FUNCTION, 4))}`);
  console.log(`guest: executes ${hex(yield cpu.execute(FUNCTION, 1))}`);
  yield cpu.write(FUNCTION + 3, Uint8Array.of(0xe4));
  console.log(`guest: has changed it to ${hex(yield cpu.read(FUNCTION, 4))}`);
  console.log(`guest: executes ${hex(yield cpu.execute(FUNCTION, 1))}`);
  const { exception } = yield cpu.vmfunc(0, hooks.view);
  console.log(`guest: VMFUNC into the view gives exception ${exception}, #UD`);
});
await run.finished;

hooks.close(); // Ctrl-C, or the end of the guest, would do as well
console.log(`monitoring ended: ${(await served).cause}; events: ${hooks.session.counters.events}`);
xen.close();
