/** A worker that writes numbered messages into a ring that another thread reads. */

import { workerData } from 'node:worker_threads';
import { RingWriter } from '#dist/v4v/index.js';

const { memory, length, count } = workerData as { memory: SharedArrayBuffer; length: number; count: number };
const writer = new RingWriter(memory, length);
const never = new Int32Array(new SharedArrayBuffer(4));
for (let n = 0; n < count; n++) {
  const payload = new Uint8Array(4 + (n % 200)).fill(n);
  new DataView(payload.buffer).setUint32(0, n, true);
  while (!writer.write(payload, { source: { port: n, domain: 7 } })) Atomics.wait(never, 0, 0, 1); // until there is room
}
