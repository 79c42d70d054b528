/** A listener that died, and left its guest frozen: who frees the guest, and what is mistaken for one. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import * as xc from '#dist/index.js';
import { recoverMonitor } from '#dist/vmi/monitor/recover.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';
import { hvmDomain } from './domains.js';
import { openTarget, outcome } from './target.js';
import { endGuest, RING_GFN, watchable } from './watched.js';
import type { WatchedGuest } from './watched_guest.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const skip = target.kind === 'model' ? "another process cannot listen to this one's model" : false;
const AGENT = fileURLToPath(new URL('./agent_program.js', import.meta.url));
const CLI = fileURLToPath(new URL('../../../bin/xenctrl.js', import.meta.url));

const GUARD_MS = 60_000;

/** Has another process listen, the guest cause an event, and the process killed while it has it. */
async function abandoned(guest: WatchedGuest, ...options: readonly string[]): Promise<void> {
  const agent = spawn(process.execPath, [AGENT, target.kind, String(guest.domid), ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const lines = createInterface({ input: agent.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'listens');
    const request = guest.request();
    assert.equal((await lines.next()).value, 'has an event');
    assert.equal((await request).finished, false, 'the guest waits for the answer');
  } finally {
    await killed(agent);
  }
}

async function killed(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  agent.kill('SIGKILL');
  await once(agent, 'exit');
}

async function withGuest(body: (guest: WatchedGuest) => Promise<void>): Promise<void> {
  const guest = watchable(target);
  try {
    await body(guest);
  } finally {
    endGuest(xch, guest);
  }
}

test('killed with an event in flight: the next listener is EBUSY, and with recover the guest goes on', { skip }, () =>
  withGuest(async (guest) => {
    await abandoned(guest);
    assert.equal(
      outcome(() => MonitorSession.open(xch, guest.domid)),
      'EBUSY',
    );
    assert.equal((await guest.nop()).finished, false);
    using session = MonitorSession.open(xch, guest.domid, { recover: true, guestRequest: true });
    assert.equal((await guest.nop()).finished, true);
    const served = session.serve(() => {});
    assert.equal((await guest.request()).finished, true);
    assert.equal(session.counters.events, 1);
    session.close();
    await served;
  }),
);

test('killed with an event in flight: `xenctrl monitor recover` frees the guest', { skip }, () =>
  withGuest(async (guest) => {
    await abandoned(guest);
    const args = ['monitor', 'recover', String(guest.domid), '--backend', target.kind, '--json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const { ring, vcpus } = JSON.parse(stdout);
    assert.deepEqual({ ring, vcpus }, { ring: true, vcpus: 2 });
    assert.equal((await guest.nop()).finished, true);
    assert.equal((await guest.request()).finished, true, 'nobody listens any more');
  }),
);

test('killed with an event in flight: the guard frees the guest at once', { skip }, () =>
  withGuest(async (guest) => {
    await abandoned(guest, 'guard');
    // the guard is a Node that an emulator may still be starting
    let finished = false;
    for (const end = Date.now() + GUARD_MS; !finished && Date.now() < end; ) finished = (await guest.nop()).finished;
    assert.equal(finished, true);
    MonitorSession.open(xch, guest.domid).close();
  }),
);

test('a domain with all the memory it may have has no listener that died, and its own is not taken', () => {
  using domain = hvmDomain(target, { pages: 64 });
  const { domid } = domain;
  xc.xc_hvm_param_set(xch, domid, HVM_PARAM_MONITOR_RING_PFN, RING_GFN);
  xc.xc_domain_setmaxmem(xch, domid, 64 * 4);
  assert.throws(() => MonitorSession.open(xch, domid, { recover: true }), {
    code: 'EBUSY',
    syscall: 'xc_domain_populate_physmap_exact',
  });
  assert.deepEqual(recoverMonitor(xch, domid).ring, false);

  // with room for one ring, and one that somebody left behind in it
  xc.xc_domain_setmaxmem(xch, domid, 65 * 4);
  const dead = xc.xc_monitor_enable(xch, domid);
  assert.throws(() => xc.xc_monitor_enable(xch, domid), { code: 'EBUSY' });
  const { ring, vcpus } = recoverMonitor(xch, domid);
  assert.deepEqual({ ring, vcpus }, { ring: true, vcpus: 2 });
  assert.equal(domain.info.max_pages, 65, 'what it was lent is taken back');
  dead.ring.close();
  MonitorSession.open(xch, domid, { recover: true }).close();
  assert.equal(domain.info.tot_pages, 64);
});
