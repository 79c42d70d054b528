/** A worker thread that opens another thread's event channels and waits for ports, without end, telling what it gets. */

import { parentPort, workerData } from 'node:worker_threads';
import { openAdapter } from '../hypervisor/adapters.js';

const channels = openAdapter().eventChannels(workerData);
parentPort?.postMessage('waiting');
for (;;) {
  const waited = channels.wait(-1);
  if (waited === 0) {
    parentPort?.postMessage({ waited });
    continue;
  }
  const port = channels.pending();
  channels.unmask(port);
  parentPort?.postMessage({ waited, port });
}
