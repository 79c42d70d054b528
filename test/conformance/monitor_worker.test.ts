/** An agent in a Worker, whose thread blocks until there is an event. The model's guests run in one thread: not there. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { openTarget } from './target.js';
import { endGuest, watchable } from './watched.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const skip = target.kind === 'model' ? "the model's guests run in the thread that a Worker is not" : false;
/** Answers CPUID with what it was given; throws at leaf 13. */
const AGENT = `data:text/javascript,
  export default ({ data }) => (event) => {
    if (event.leaf === 13) throw new Error('unlucky');
    event.respond({ registers: { rip: event.regs.rip + BigInt(event.insnLength), rax: data } });
  };`;

test('it answers while the main thread does something else, and its end lets the guest go', { skip }, async () => {
  const guest = watchable(target);
  using xen = xc.Xen.open({ backend: target.kind });
  try {
    const worker = await xen.domain(guest.domid).monitor.worker(AGENT, { cpuid: true, data: 0x1234 });
    for (let i = 0; i < 20; i++) assert.equal((await guest.cpuid(i === 13 ? 0 : i)).value, 0x1234);
    await worker[Symbol.asyncDispose]();
    const { end, counters } = await worker.ended;
    assert.equal(end.cause, 'closed');
    assert.deepEqual([counters.events, counters.answered, counters.automatic], [20, 20, 0]);
    assert.notEqual((await guest.cpuid(0)).value, 0x1234);
  } finally {
    endGuest(xch, guest);
  }
});

test('a handler that throws ends it, is told to who waits, and the guest goes on', { skip }, async () => {
  const guest = watchable(target);
  using xen = xc.Xen.open({ backend: target.kind });
  try {
    const worker = await xen.domain(guest.domid).monitor.worker(AGENT, { cpuid: true, data: 1 });
    const told = assert.rejects(worker.ended, /unlucky/);
    assert.equal((await guest.cpuid(13)).finished, true);
    await told;
    assert.equal((await guest.nop()).finished, true);
  } finally {
    endGuest(xch, guest);
  }
});
