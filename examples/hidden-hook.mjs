// Watches a function of a guest, which cannot find out: the breakpoint is in a hidden view that shows it to nobody.
//   node examples/hidden-hook.mjs [DOMID ADDRESS]       ADDRESS: guest-physical; without DOMID, a software Xen

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';
import { StealthHooks } from 'xenctrl/vmi';

const [domid, address] = process.argv.slice(2).map(Number);
const model = domid === undefined ? new ModelXen() : null;
const guest = model?.createGuest({ memoryPages: 256, altp2m: 'external' });
const vcpu0 = guest?.vcpus[0];
guest?.pageTables().map(0x400000, 0x60).enter(vcpu0);
vcpu0?.write(0x400010, Uint8Array.of(0x55, 0x48, 0x89, 0xe5)); // push rbp; mov rbp, rsp
const xen = Xen.open(model ? { hypervisor: model } : {});

const hooks = StealthHooks.open(xen.xch, guest?.domid ?? domid); // makes the view, moves the vCPUs into it, hides it
const place = guest ? { space: hooks.vmi.spaceOf(0), address: 0x400010 } : { physical: address };
const hook = hooks.add(place, ({ vcpu, regs }) => {
  console.log(`agent: vCPU ${vcpu} calls 0x${regs.rip.toString(16)}`);
  if (!guest && hook.hits >= 3) setImmediate(() => hooks.close()); // enough of it
});
const served = hooks.serve();

const hex = ({ bytes }) => Buffer.from(bytes).toString('hex');
const run = vcpu0?.run(function* (cpu) {
  console.log(`guest: reads ${hex(yield cpu.read(0x400010, 4))}`);
  console.log(`guest: executes ${hex(yield cpu.execute(0x400010, 1))}`);
  yield cpu.write(0x400013, Uint8Array.of(0xe4));
  console.log(`guest: has changed it to ${hex(yield cpu.read(0x400010, 4))}`);
  console.log(`guest: executes ${hex(yield cpu.execute(0x400010, 1))}`);
  xen.domain(guest.domid).altp2m.enableNotify(0, 0x50); // it can do VMFUNC
  console.log(`guest: VMFUNC into the view gives exception ${(yield cpu.vmfunc(0, hooks.view)).exception}, #UD`);
});
await run?.finished.then(() => hooks.close()); // Ctrl-C, or the end of the guest, would do as well
console.log(`monitoring ended: ${(await served).cause}; events: ${hooks.session.counters.events}`);
xen.close();
