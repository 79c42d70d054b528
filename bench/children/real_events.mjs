// Our monitor session on a real Xen's domain: `real_events.mjs worker|loop DOMID`. As real_events.c.

import { createInterface } from 'node:readline';
import '#dist/adapters.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';
import { MonitorWorker } from '#dist/vmi/monitor/worker.js';
import { xc_domain_pause, xc_domain_unpause } from '#dist/xc/domain.js';
import { xc_map_foreign_pages } from '#dist/xc/foreign_memory.js';
import { xc_interface_open } from '#dist/xc/interface.js';

const CASE_GFN = 0x20;
const READ_WRITE = 3;
const SOURCES = { guestRequest: true, cpuid: true, cr: { cr3: { sync: false } } };

const [, , pump, domain] = process.argv;
const domid = Number(domain);
const xch = xc_interface_open({ backend: 'privcmd' });
const page = xc_map_foreign_pages(xch, domid, READ_WRITE, [CASE_GFN]);
const word = new Uint32Array(page.bytes.buffer, page.bytes.byteOffset, 1);
xc_domain_pause(xch, domid);

/** Each has the guest run until so many events are answered. */
const PUMPS = {
  async loop() {
    let left = 0;
    let done;
    void MonitorSession.open(xch, domid, SOURCES).serve((event) => {
      event.respond();
      if (--left !== 0) return;
      xc_domain_pause(xch, domid);
      done();
    });
    return (count) =>
      new Promise((resolve) => {
        left = count;
        done = resolve;
        xc_domain_unpause(xch, domid);
      });
  },

  async worker() {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const module = new URL('./real_events_agent.mjs', import.meta.url);
    const worker = await MonitorWorker.start(xch, domid, module, { ...SOURCES, data: words });
    worker.ended.catch((error) => {
      throw error;
    });
    return async (count) => {
      Atomics.store(words, 1, 0);
      Atomics.store(words, 0, count);
      xc_domain_unpause(xch, domid);
      await Atomics.waitAsync(words, 1, 0).value;
    };
  },
};

const run = await PUMPS[pump]();
for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(' ').map(Number);
  word[0] = what;
  const start = process.hrtime.bigint();
  await run(count);
  console.log(Number(process.hrtime.bigint() - start) / count);
}
process.exit(0);
