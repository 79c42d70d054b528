/** A program with a hidden hook, ended in the way that its first argument says; tells when Xen has no view any more. */

import { writeSync } from 'node:fs';
import { ModelXen } from '#dist/model/index.js';
import { StealthHooks } from '#dist/vmi/stealth/stealth_hooks.js';
import { xc_interface_open } from '#dist/xc/interface.js';

const how = process.argv[2];
const xen = new ModelXen();
const { domain, domid } = xen.createGuest({ memoryPages: 64, pages: '4K', altp2m: 'external' });
const hooks = StealthHooks.open(xc_interface_open({ hypervisor: xen }), domid);
hooks.add({ physical: 0x1000 }, () => undefined);
const pages = domain.totPages;

// SIGTERM runs no exit listeners, so it is told as soon as it is so
const call = xen.hypercall.bind(xen);
let told = false;
xen.hypercall = (...args) => {
  const rc = call(...args);
  const undone = !domain.altp2m.active && domain.totPages < pages && domain.runs && domain.ring === null;
  if (undone && !told) writeSync(1, 'undone\n');
  told ||= undone;
  return rc;
};

const alive = setInterval(() => {}, 1000);
hooks.session.onClose(() => clearInterval(alive));
void hooks.serve();
if (how === 'exit') process.exit(3);
if (how === 'throw') setImmediate(() => Promise.reject(new Error('nobody catches this')));
if (how === 'SIGTERM' || how === 'SIGINT') process.kill(process.pid, how);
