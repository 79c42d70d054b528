// Our monitor session on the stub kernel's domain 1: in a Worker that blocks (`worker`), or by the event loop (`loop`).
// Answers lines "events rounds" with the nanoseconds that one round took.

import { createInterface } from 'node:readline';
import '#dist/adapters.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';
import { MonitorWorker } from '#dist/vmi/monitor/worker.js';
import { xc_interface_open } from '#dist/xc/interface.js';

const DOMID = 1;
/** A hypercall of the stub's (event_source.c): plays Xen's end of the ring, and returns when all is answered. */
const PLAY_XEN = 1004;

const xch = xc_interface_open({ backend: 'privcmd' });
const { hypervisor } = xch;
if (process.argv[2] === 'worker') {
  const worker = await MonitorWorker.start(xch, DOMID, new URL('./events_agent.mjs', import.meta.url), {});
  worker.ended.catch((error) => {
    throw error;
  });
} else {
  void MonitorSession.open(xch, DOMID).serve((event) => {
    event.respond({ emulate: true });
  });
}
for await (const line of createInterface({ input: process.stdin })) {
  const [events, rounds] = line.split(' ').map(Number);
  const start = process.hrtime.bigint();
  const rc = await hypervisor.hypercallAsync(PLAY_XEN, events, rounds); // by a thread of Node's pool
  if (rc !== 0) throw new Error(`the stub answered ${rc}`);
  console.log(Number(process.hrtime.bigint() - start) / rounds);
}
process.exit(0);
