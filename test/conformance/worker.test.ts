/** Several threads at once, and threads that are ended in the middle of a call. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import * as xc from '#dist/index.js';
import { hvmDomain } from './domains.js';
import { leakOf } from './resources.js';
import { openTarget, outcome } from './target.js';
import type { WorkerTask } from './worker_program.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const PROGRAM = new URL('worker_program.js', import.meta.url);

function start(task: WorkerTask): Worker {
  return new Worker(PROGRAM, { workerData: task });
}

async function answer(worker: Worker): Promise<unknown> {
  const [message] = await once(worker, 'message');
  return message;
}

test('two threads and the main one make and use domains at once', async () => {
  const answers = Promise.all([1, 2].map((mark) => answer(start({ task: 'check', rounds: 4, mark }))));
  const over = { is: false };
  answers.then(
    () => (over.is = true),
    () => (over.is = true),
  );
  let calls = 0;
  while (!over.is) {
    using domain = hvmDomain(target, { pages: 8 });
    assert.equal(domain.info.tot_pages, 8);
    calls++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await answers, [600, 600]);
  assert.ok(calls > 0);
});

const CANNOT_END: Readonly<Record<string, string>> = {
  model: 'each thread has a model of its own',
  // through FFI there is nobody to undo it: Node runs no JavaScript at the end of a thread
  libxen: 'what an ended thread had mapped through the libraries stays mapped until the process ends',
};
const skip = CANNOT_END[target.kind] ?? false;

test('a thread that is ended leaves neither pages mapped nor descriptors open', { skip }, async () => {
  const end = async (): Promise<void> => {
    using domain = hvmDomain(target, { pages: 64 });
    const worker = start({ task: 'hold', domid: domain.domid });
    assert.equal(await answer(worker), 'under way');
    await worker.terminate();
    assert.equal(domain.info.dying, false);
    domain.destroy();
    assert.equal(
      outcome(() => domain.info),
      'ESRCH',
      'no page is held',
    );
    assert.ok(xc.xc_physinfo(xch).total_pages > 0);
  };
  await end();
  assert.deepEqual(await leakOf(end), {});
});
