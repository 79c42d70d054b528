/** A worker thread that opens a device and mappings, says so, and is then terminated with all of it open. */

import { parentPort } from 'node:worker_threads';
import { PROT_READ } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';

const hypervisor = new PrivcmdHypervisor();
const mappings = [1, 2, 3].map((gfn) => hypervisor.mapForeign(1, [gfn], PROT_READ));
const sleeping = hypervisor.hypercallAsync(1001, 200, hypervisor.arena.operandAddress);
const sum = mappings.reduce((total, mapping) => total + (mapping.bytes[0] ?? 0), 0);
parentPort?.postMessage({ sum, echo: hypervisor.hypercall(1000, 42) });
setInterval(() => mappings, 1000);
await sleeping;
