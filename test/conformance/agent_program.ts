/**
 * A process that listens to a domain and answers nothing, until it is killed: `agent_program.js BACKEND DOMID [guard]`.
 * It says `listens`, and `has an event` when it has one.
 */

import type { BackendName } from '#dist/hypervisor/open.js';
import * as xc from '#dist/index.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';

const [, , backend, domid, guard] = process.argv;
const xch = xc.xc_interface_open({ backend: backend as BackendName });
const session = MonitorSession.open(xch, Number(domid), { guestRequest: true, guard: guard === 'guard' });
void session.serve(() => {
  console.log('has an event');
  return new Promise(() => {});
});
console.log('listens');
