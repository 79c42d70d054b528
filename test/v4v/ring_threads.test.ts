/** A ring between two threads: the codec's own synchronisation is all there is. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { formatRing, RingReader } from '#dist/v4v/index.js';

const COUNT = 50_000;

test('what one thread writes another reads, whole and in order', async () => {
  for (const length of [512, 16_384]) {
    const memory = new SharedArrayBuffer(64 + length);
    formatRing(memory, length, { port: 1 });
    const reader = new RingReader(memory, length);
    const worker = new Worker(new URL('./ring_writer.js', import.meta.url), {
      workerData: { memory, length, count: COUNT / (length === 512 ? 25 : 1) },
    });
    const ended = once(worker, 'exit');
    const count = COUNT / (length === 512 ? 25 : 1);
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
