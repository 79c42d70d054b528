/** A worker thread that opens, calls, maps and closes without end, leaving some of it open. */

import { parentPort } from 'node:worker_threads';
import { PROT_READ } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';

const DOMID_SELF = 0x7ff0;

for (let round = 0; ; round++) {
  const hypervisor = new PrivcmdHypervisor();
  const mappings = Array.from({ length: 20 }, (_, i) => hypervisor.mapForeign(1, [i, i + 1], PROT_READ));
  void hypervisor.hypercallAsync(1000, round);
  for (let i = 0; i < 100; i++) hypervisor.hypercall(1000, i);
  mappings[3]?.close();
  const channels = hypervisor.eventChannels();
  const far = channels.bindUnbound(DOMID_SELF);
  const near = channels.bindInterdomain(DOMID_SELF, far);
  channels.onPending(() => channels.unmask(channels.pending()));
  for (let i = 0; i < 10; i++) channels.notify(near);
  if (round % 2 === 0) channels.close();
  const grants = hypervisor.grantTable();
  grants.map(1, [1, 2], PROT_READ);
  grants.share(1, 2, true).close();
  hypervisor.mapResource(1, 1, 0, 0, 2, PROT_READ);
  if (round % 3 !== 0) hypervisor.close();
  if (round === 0) parentPort?.postMessage('busy');
  if (round % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
}
