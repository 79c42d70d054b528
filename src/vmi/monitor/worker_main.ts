/** The Worker of {@link MonitorWorker}: opens a session of its own and blocks in it. */

import '../../adapters.js';
import { parentPort, workerData } from 'node:worker_threads';
import type { BackendName } from '../../hypervisor/open.js';
import { xc_interface_open } from '../../xc/interface.js';
import { MonitorSession } from './session.js';
import { DONE, type MonitorAgent, STOP, type WorkerMessage, type WorkerStart } from './worker.js';

const { backend, domid, module, options, flags } = workerData as WorkerStart;
const shared = new Int32Array(flags);
const { data, ...sessionOptions } = options;

function post(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

try {
  const agent = ((await import(module)) as { default?: MonitorAgent }).default;
  if (typeof agent !== 'function') throw new TypeError(`${module} has no function as its default export`);
  const xch = xc_interface_open({ backend: backend as BackendName });
  const session = MonitorSession.open(xch, domid, sessionOptions);
  try {
    const handler = await agent({ session, xch, domid, data });
    post({ type: 'ready', ...session.channels });
    const end = session.run(handler, { requested: () => Atomics.load(shared, STOP) !== 0 });
    post({ type: 'end', end, counters: session.counters });
  } finally {
    session.close();
    xch.close();
  }
} finally {
  Atomics.store(shared, DONE, 1);
  Atomics.notify(shared, DONE);
}
