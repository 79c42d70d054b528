// What goes wrong when altp2m is set up, and what the errors say about it.
//   node examples/watch-altp2m-errors.mjs

import { diagnoseAltp2m, Xen, XenError } from 'xenctrl';
import { ModelXen } from 'xenctrl/model';

const hosts = [
  ['a Xen without altp2m=1', { altp2m: false }, { altp2m: 'external' }],
  ['an AMD processor', { cpu: { vendor: 'amd' } }, {}],
  ['a guest without an altp2m mode', { release: '4.20' }, {}],
  ['a PV guest', {}, { type: 'pv' }],
];

for (const [what, host, options] of hosts) {
  const model = new ModelXen(host);
  const { domid } = model.createGuest({ memoryPages: 256, ...options });
  const xen = Xen.open({ hypervisor: model });
  try {
    xen.domain(domid).altp2m.enable();
    console.log(`${what}: works`);
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    console.log(`${what}: ${error.code}\n  ${error.hint}`);
  }
  const missing = diagnoseAltp2m(xen.xch, domid).prerequisites.filter(({ ok }) => ok === false);
  console.log(`  the doctor names: ${missing.map(({ name }) => name).join(', ')}`);
  xen.close();
}
