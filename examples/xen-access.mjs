// What Xen's xen-access does: stops a guest at each write to its memory (or execution of it), tells, and lets it go on.
//   node examples/xen-access.mjs [DOMID [write|exec [EVENTS]]]        without DOMID, a software Xen

import { Xen } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

const [domid, what = 'write', most = domid === undefined ? 8 : Infinity] = process.argv.slice(2);
const model = domid === undefined ? new ModelXen({ release: '4.17' }) : null;
const guest = model?.createGuest({ vcpus: 2, memoryPages: 64, altp2m: 'external' });
const xen = Xen.open(model ? { hypervisor: model } : {});
const domain = xen.domain(guest ? guest.domid : Number(domid));

// A view in which that is forbidden, and the guest in it. The original memory stays as it is.
domain.altp2m.enable();
const view = domain.altp2m.createView();
const frames = Array.from({ length: domain.maximumGfn + 1 }, (_, gfn) => gfn);
await view.setAccessOfAsync(frames, what === 'exec' ? 'rw' : 'rx');
const singlestep = domain.monitor.capabilities.includes('singlestep'); // if not, Xen's emulator does the instruction
const session = domain.monitor.open({ singlestep });
session.onClose(() => view.destroy({ evict: true })); // on Ctrl-C, too
view.switchTo();

const work = guest && setInterval(() => guest.vcpus.forEach(write), 1);
for await (const event of session.events()) {
  if (event.reason === 'mem_access') {
    const { vcpu, access, gfn, offset, regs } = event;
    console.log(`vcpu ${vcpu}: ${access} of frame 0x${gfn.toString(16)}+${offset} at 0x${regs.rip.toString(16)}`);
    event.respond(singlestep ? { view: 0, toggleSinglestep: true } : { emulate: true }); // where it is allowed
  } else {
    event.respond({ view: view.index, toggleSinglestep: true }); // one instruction is done: come back
  }
  if (session.counters.events >= most && (event.reason === 'singlestep' || !singlestep)) break; // enough
}
clearInterval(work);
console.log(`${session.counters.answered} events were answered; the guest is free`);

function write(cpu) {
  if (cpu.canRun) cpu.write(0x8000 + cpu.id * 0x1008, Uint8Array.of(1));
}
