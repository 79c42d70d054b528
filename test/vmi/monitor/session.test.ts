/** A session: set up, consumed in each way, ended in each way, with nothing left behind. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { errno } from '#dist/abi/errno.js';
import { type MonitorOptions, MonitorSession, XENMEM_access, xc_interface_open } from '#dist/index.js';
import { DOMID, FakeMonitorXen } from './fake_xen.js';

function setup(options: ConstructorParameters<typeof FakeMonitorXen>[0] = {}) {
  const xen = new FakeMonitorXen(options);
  const xch = xc_interface_open({ hypervisor: xen });
  return { xen, xch, open: (more: MonitorOptions = {}) => MonitorSession.open(xch, DOMID, more) };
}

/** Nothing is left of a session: no ring, nobody waits, nothing is mapped. */
function assertClean(xen: FakeMonitorXen): void {
  assert.equal(xen.front, null, 'Xen has no ring');
  assert.deepEqual([...xen.paused], [], 'no vCPU waits');
  assert.equal(xen.pauses, 0, 'the domain is not paused');
  assert.deepEqual([...xen.on], []);
  assert.ok(
    xen.mappings.every(({ closed }) => closed),
    'nothing is mapped',
  );
  assert.ok(xen.channels === null || xen.channels.closed, 'no port is bound');
}

test('for await gives the events, back pressure holds the others, and leaving the loop closes the session', async () => {
  const { xen, open } = setup();
  const session = open({ singlestep: true });
  for (let vcpu = 0; vcpu < 8; vcpu++) xen.raise({ vcpu });
  assert.equal(xen.raise(), false, 'the ring is full');
  const seen: number[] = [];
  for await (const event of session.events()) {
    assert.equal(xen.paused.size, 8 - seen.length, 'one is let go at a time');
    seen.push(event.vcpu);
    event.respond();
    await turn();
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  assert.deepEqual(session.end, { cause: 'closed' });
  assert.deepEqual(session.counters, { events: 5, answered: 5, automatic: 3, thrown: 0, refused: 0, malformed: 0 });
  assertClean(xen);
});

test('an error in the body of for await closes the session', async () => {
  const { xen, open } = setup();
  const session = open();
  xen.raise();
  xen.raise({ vcpu: 1 });
  await assert.rejects(async () => {
    for await (const event of session.events()) throw new Error(`at ${event.vcpu}`);
  }, /at 0/);
  assertClean(xen);
});

test('events that come later wake the loop, in order', async () => {
  const { xen, open } = setup();
  const session = open();
  const seen: number[] = [];
  const consumer = (async () => {
    for await (const event of session.events()) {
      seen.push(event.vcpu);
      if (seen.length === 20) break;
    }
  })();
  for (let i = 0; i < 20; i++) {
    await turn();
    while (!xen.raise({ vcpu: i })) await turn();
  }
  await consumer;
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, i) => i),
  );
  assertClean(xen);
});

test('serve calls the handler, and what it throws ends the loop with everything answered', async () => {
  const { xen, open } = setup();
  const session = open();
  for (let vcpu = 0; vcpu < 4; vcpu++) xen.raise({ vcpu });
  let seen = 0;
  await assert.rejects(
    session.serve((event) => {
      seen++;
      if (event.vcpu === 2) throw new Error('oops');
    }),
    /oops/,
  );
  assert.equal(seen, 3);
  assert.equal(session.end?.cause, 'failed');
  assertClean(xen);
});

test('serve goes on after an error that somebody takes', async () => {
  const { xen, open } = setup();
  const session = open();
  const errors: unknown[] = [];
  const served = session.serve(
    (event) => {
      if (event.vcpu === 1) session.close();
      else throw new Error('oops');
    },
    (error) => errors.push(error),
  );
  xen.raise({ vcpu: 0 });
  await turn();
  xen.raise({ vcpu: 1 });
  assert.deepEqual(await served, { cause: 'closed' });
  assert.equal(errors.length, 1);
  assert.equal(session.counters.thrown, 1);
  assertClean(xen);
});

test('serve with async handlers has several events under way, and closing answers them', async () => {
  const { xen, open } = setup();
  const session = open();
  const served = session.serve(() => new Promise<void>(() => {}));
  for (let vcpu = 0; vcpu < 3; vcpu++) xen.raise({ vcpu });
  await turn();
  await turn();
  assert.equal(session.unanswered, 3);
  session.close();
  assert.deepEqual(await served, { cause: 'closed' });
  assertClean(xen);
});

test('run blocks between events, and ends when the handler closes the session', () => {
  const { xen, open } = setup();
  const session = open();
  const { channels } = xen;
  assert.ok(channels);
  channels.waits = [() => xen.raise({ vcpu: 1 }), () => {}, () => xen.raise({ vcpu: 2 })];
  const seen: number[] = [];
  const end = session.run((event) => {
    seen.push(event.vcpu);
    if (event.vcpu === 2) session.close();
  });
  assert.deepEqual(end, { cause: 'closed' });
  assert.deepEqual(seen, [1, 2]);
  assertClean(xen);
});

test('run ends when it is asked to, when the domain dies, and when the handler throws or is async', () => {
  const asked = setup();
  let requested = false;
  const session = asked.open();
  if (asked.xen.channels) {
    asked.xen.channels.waits = [
      () => {
        requested = true;
      },
    ];
  }
  assert.deepEqual(
    session.run(() => {}, { requested: () => requested }),
    { cause: 'closed' },
  );
  assertClean(asked.xen);

  const dead = setup();
  const dying = dead.open();
  if (dead.xen.channels) dead.xen.channels.waits = [() => dead.xen.become(3)];
  assert.deepEqual(
    dying.run(() => {}),
    { cause: 'shutdown', reason: 'crash' },
  );
  assertClean(dead.xen);

  const thrown = setup();
  const throwing = thrown.open();
  thrown.xen.raise();
  assert.throws(() => throwing.run(() => assert.fail('no')), /no/);
  assertClean(thrown.xen);

  const late = setup();
  const asynchronous = late.open();
  late.xen.raise();
  assert.throws(() => asynchronous.run((async () => {}) as () => void), /cannot be async/);
  assertClean(late.xen);

  assert.throws(
    () =>
      setup({ kind: 'model' })
        .open()
        .run(() => {}),
    /cannot block/,
  );
});

for (const virqTaken of [false, true]) {
  test(`the domain's end ends the loop with the reason${virqTaken ? ', by looking where VIRQ_DOM_EXC is taken' : ''}`, async (t) => {
    for (const [state, end] of [
      [0, { cause: 'shutdown', reason: 'poweroff' }],
      [1, { cause: 'shutdown', reason: 'reboot' }],
      [9, { cause: 'shutdown', reason: '9' }],
      ['gone', { cause: 'gone' }],
    ] as const) {
      t.mock.timers.enable({ apis: ['setInterval'] });
      const { xen, open } = setup();
      xen.virqTaken = virqTaken;
      const session = open({ cpuid: true });
      xen.raise();
      const events = session.events();
      assert.equal((await events.next()).done, false);
      xen.become(state);
      if (virqTaken) t.mock.timers.tick(1000);
      assert.equal((await events.next()).done, true);
      assert.deepEqual(session.end, end);
      if (state !== 'gone') assertClean(xen);
      t.mock.timers.reset();
    }
  });
}

test('a signal ends the loop; one that has fired already refuses to begin', async () => {
  const { xen, open } = setup();
  const abort = new AbortController();
  const session = open({ signal: abort.signal });
  xen.raise();
  xen.raise({ vcpu: 1 });
  const events = session.events();
  await events.next();
  abort.abort('enough');
  assert.equal((await events.next()).done, true);
  assert.deepEqual(session.end, { cause: 'aborted', reason: 'enough' });
  assertClean(xen);
  assert.throws(
    () => open({ signal: abort.signal }),
    (error) => error === 'enough',
  );
});

test('what the options name is switched on, and off again when the session closes, the newest first', () => {
  const { xen, open } = setup();
  const session = open({
    cr: { cr3: true, cr4: { sync: false, bitmask: 0x80n }, cr0: false },
    msr: [0x174, { msr: 0xc000_0082, onChangeOnly: true }],
    singlestep: true,
    breakpoints: true,
    debug: { sync: false },
    cpuid: true,
    descriptor: true,
    guestRequest: { userspace: true },
    emulUnimplemented: true,
    vmexit: true,
    inguestPagefault: false,
  });
  const on = xen.log.filter((line) => line.endsWith(' on'));
  assert.deepEqual(
    on.map((line) => line.replace(/ on$/, '')).sort(),
    [
      'cpuid',
      'debug_exception',
      'desc_access',
      'emul_unimplemented',
      'guest_request',
      'inguest_pagefault',
      'mov_to_msr 3221225602',
      'mov_to_msr 372',
      'singlestep',
      'software_breakpoint',
      'vmexit',
      'write_ctrlreg 1',
      'write_ctrlreg 2',
    ].sort(),
  );
  session.onClose(() => xen.log.push('mine'));
  session.close();
  session.close();
  const off = xen.log.filter((line) => line.endsWith(' off') || line === 'mine');
  assert.deepEqual(off, ['mine', ...on.toReversed().map((line) => line.replace(/on$/, 'off'))]);
  assertClean(xen);
});

test('the access of frames goes back to what it was', () => {
  const { xen, open } = setup();
  xen.access.set(5, 4);
  const session = open({ access: [{ gfns: [5, 6], access: XENMEM_access.n }] });
  assert.deepEqual([xen.access.get(5), xen.access.get(6)], [0, 0]);
  session.close();
  assert.deepEqual([xen.access.get(5), xen.access.get(6)], [4, 7]);
  const all = open({ access: [{ gfns: 'all', access: 'rx' }] });
  assert.throws(() => open({ access: [{ gfns: 'all', access: 'rwxx' as 'rwx' }] }), {
    name: 'XenError',
    code: 'EBUSY',
  });
  all.close();
  const everything = xen.log.filter((line) => line.startsWith('access') && line.includes('+'));
  assert.deepEqual(
    everything.map((line) => line.replace(/of 1844\d+/, 'of all')),
    ['access 5 of all+0', 'access 5 of 0+257', 'access 7 of all+0', 'access 7 of 0+257'],
  );
  assertClean(xen);
});

test('a failure while opening undoes what was done', () => {
  for (const failing of ['singlestep on', 'bind', 'enable'] as const) {
    const { xen, open } = setup();
    xen.failing.set(failing, -errno.EOPNOTSUPP);
    assert.throws(() => open({ cpuid: true, guestRequest: true, cr: { cr3: true }, singlestep: true }), {
      name: 'XenError',
      code: 'EOPNOTSUPP',
    });
    assertClean(xen);
  }
});

test('bad options are refused before anything is done', () => {
  const { xen, open } = setup();
  const bad = [
    ...[null, 5, 'x', []],
    ...[{ cr3: true }, { recover: 1 }, { guard: 'yes' }, { closeAtExit: null }],
    ...[{ cr: true }, { msr: 0x174 }, { access: {} }, { debug: 1 }, { singlestep: 'on' }],
  ];
  for (const options of bad) {
    const refused = (error: unknown): boolean => error instanceof TypeError || error instanceof RangeError;
    assert.throws(() => open(options as MonitorOptions), refused);
  }
  assert.deepEqual(xen.log, []);
  assert.throws(() => open({ cr: { cr2: true } as never }), /there is no such register/);
  assertClean(xen);
});

test('an ABI that nobody knows is refused', () => {
  const { xen, open } = setup();
  xen.version = 8;
  assert.throws(() => open(), { code: 'EOPNOTSUPP', hint: /layout 8/ });
  assertClean(xen);
});

test('a ring whose counters make no sense ends the loop, and every vCPU is let go by another ring', async () => {
  const { xen, open } = setup();
  const session = open();
  xen.raise({ vcpu: 0 });
  xen.raise({ vcpu: 1 });
  xen.page.bytes[3] = 0x80;
  await assert.rejects(
    session.serve(() => {}),
    { name: 'MonitorRingError' },
  );
  assertClean(xen);
});

test('closing waits for vCPUs that queue for room', () => {
  const { xen, open } = setup();
  const session = open();
  xen.queued = 2;
  session.close();
  assert.equal(xen.log.filter((line) => line === 'disable').length, 3);
  assertClean(xen);
});

test('one consumer at a time, none after the end', async () => {
  const { open } = setup();
  const session = open();
  session.events();
  assert.throws(() => session.events(), /has a consumer/);
  await assert.rejects(
    session.serve(() => {}),
    /has a consumer/,
  );
  session.close();
  assert.throws(() => session.events(), /is closed/);
  assert.throws(() => session.enable({ cpuid: true }), /is closed/);
});

test('a listener that died is told, and recovered when asked: every vCPU goes on', () => {
  const { xen, open } = setup({ vcpus: 11 });
  xen.altp2m = { on: true, view: 3 };
  open({ closeAtExit: false });
  for (let vcpu = 0; vcpu < 8; vcpu++) xen.raise({ vcpu });
  xen.crash();
  assert.throws(() => open(), { code: 'EBUSY', hint: /monitor recover/ });
  assert.equal(xen.paused.size, 8);
  const session = open({ recover: true });
  assert.equal(xen.paused.size, 0);
  assert.equal(xen.altp2m.view, 0);
  assert.notEqual(xen.front, null);
  session.close();
  xen.mappings.shift(); // the dead agent's
  assertClean(xen);
});
