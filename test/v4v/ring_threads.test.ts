/** A ring between two threads: the codec's own synchronisation is all there is. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { formatRing, RingReader } from '#dist/v4v/index.js';

test('what one thread writes another reads, whole and in order', async () => {
  for (const [length, count] of [
    [512, 2000], // waits for room most of the time
    [16_384, 30_000],
  ] as const) {
    const memory = new SharedArrayBuffer(64 + length);
    formatRing(memory, length, { port: 1 });
    const reader = new RingReader(memory, length);
    const workerData = { memory, length, count };
    const worker = new Worker(new URL('./ring_writer.js', import.meta.url), { workerData });
    const ended = once(worker, 'exit');
    for (let n = 0; n < count; ) {
      const message = reader.read();
      if (!message) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const { payload, source } = message;
      const wanted = new Uint8Array(4 + (n % 200)).fill(n);
      new DataView(wanted.buffer).setUint32(0, n, true);
      if (source.port !== n || Buffer.compare(payload, wanted) !== 0) assert.fail(`message ${n} is ${payload}`);
      n++;
    }
    assert.deepEqual(await ended, [0]);
    assert.equal(reader.read(), null);
  }
});
