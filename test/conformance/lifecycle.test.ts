/** A domain's life: it runs, is paused, shuts down, is destroyed. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { CountingGuest } from './counter.js';
import { bareDomain, hvmDomain, pvDomain } from './domains.js';
import { startGuest } from './start_guest.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

test('code written into a domain runs once it is unpaused; paused it stands still', () => {
  using domain = hvmDomain(target);
  const { domid } = domain;
  using guest = new CountingGuest(target, domid);
  assert.equal(domain.info.nr_online_vcpus, 1);
  assert.ok(guest.standsStill(), 'before it is unpaused');
  assert.equal(guest.count, 0);

  xc.xc_domain_unpause(xch, domid);
  assert.ok(guest.runs(), 'unpaused');
  assert.equal(domain.info.paused, false);
  assert.equal(domain.info.blocked, false);

  xc.xc_domain_pause(xch, domid);
  assert.equal(domain.info.paused, true);
  assert.equal(domain.info.running, false);
  assert.ok(guest.standsStill(), 'paused');

  xc.xc_domain_unpause(xch, domid);
  assert.ok(guest.runs(), 'unpaused again');
});

test('pauses count', () => {
  using domain = hvmDomain(target);
  const { domid } = domain;
  using guest = new CountingGuest(target, domid);
  xc.xc_domain_pause(xch, domid);
  xc.xc_domain_pause(xch, domid);
  xc.xc_domain_unpause(xch, domid);
  xc.xc_domain_unpause(xch, domid);
  assert.ok(guest.standsStill());
  assert.equal(domain.info.paused, true);
  xc.xc_domain_unpause(xch, domid);
  assert.ok(guest.runs());
});

test('a domain that is not paused cannot be unpaused, and not paused more than 255 times', () => {
  using domain = hvmDomain(target);
  const { domid } = domain;
  const pause = (): string => outcome(() => xc.xc_domain_pause(xch, domid));
  const unpause = (): string => outcome(() => xc.xc_domain_unpause(xch, domid));
  assert.equal(unpause(), 'ok');
  assert.equal(unpause(), 'EINVAL');
  for (let i = 0; i < 255; i++) assert.equal(pause(), 'ok');
  assert.equal(pause(), 'EOVERFLOW');
  for (let i = 0; i < 255; i++) assert.equal(unpause(), 'ok');
  assert.equal(unpause(), 'EINVAL');
});

test('an unpaused domain whose vCPUs are all down neither runs nor waits', () => {
  using domain = hvmDomain(target);
  xc.xc_domain_unpause(xch, domain.domid);
  const { paused, running, blocked, nr_online_vcpus } = domain.info;
  assert.deepEqual(
    { paused, running, blocked, nr_online_vcpus },
    {
      paused: false,
      running: false,
      blocked: false,
      nr_online_vcpus: 0,
    },
  );
});

test('the time that a guest ran is counted', { skip: target.model ? 'the model has no time' : false }, () => {
  using domain = hvmDomain(target);
  using guest = new CountingGuest(target, domain.domid);
  assert.equal(domain.info.cpu_time, 0n);
  xc.xc_domain_unpause(xch, domain.domid);
  assert.ok(guest.runs());
  const ran = domain.info.cpu_time;
  assert.ok(ran > 0n);
  xc.xc_domain_pause(xch, domain.domid);
  const stopped = domain.info.cpu_time;
  guest.standsStill();
  assert.equal(domain.info.cpu_time, stopped);
});

describe('shutdown', () => {
  const reasons = {
    poweroff: xc.SHUTDOWN_poweroff,
    reboot: xc.SHUTDOWN_reboot,
    suspend: xc.SHUTDOWN_suspend,
    crash: xc.SHUTDOWN_crash,
    watchdog: xc.SHUTDOWN_watchdog,
    soft_reset: xc.SHUTDOWN_soft_reset,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    test(`${name} stops the guest and is told`, () => {
      using domain = hvmDomain(target);
      const { domid } = domain;
      using guest = new CountingGuest(target, domid);
      xc.xc_domain_unpause(xch, domid);
      assert.ok(guest.runs());
      xc.xc_domain_shutdown(xch, domid, reason);
      assert.ok(guest.standsStill());
      const { shutdown, shutdown_reason, paused, dying } = domain.info;
      assert.deepEqual(
        { shutdown, shutdown_reason, paused, dying },
        {
          shutdown: true,
          shutdown_reason: reason,
          paused: false,
          dying: false,
        },
      );
    });
  }

  test('reasons that have no name are kept, too, of each the low eight bits', () => {
    for (const [reason, kept] of [
      [6, 6],
      [200, 200],
      [255, 255],
      [256, 0],
      [0x0103, 3],
      [0xffff_ffff, 255],
    ] as const) {
      using domain = hvmDomain(target, { pages: 0 });
      xc.xc_domain_shutdown(xch, domain.domid, reason);
      assert.equal(domain.info.shutdown_reason, kept, String(reason));
    }
  });

  test('the first reason stays', () => {
    using domain = hvmDomain(target, { pages: 0 });
    xc.xc_domain_shutdown(xch, domain.domid, xc.SHUTDOWN_crash);
    xc.xc_domain_shutdown(xch, domain.domid, xc.SHUTDOWN_reboot);
    assert.equal(domain.info.shutdown_reason, xc.SHUTDOWN_crash);
  });

  test('a PV domain can be shut down, and one without vCPUs', () => {
    using domain = pvDomain(target);
    xc.xc_domain_shutdown(xch, domain.domid, xc.SHUTDOWN_reboot);
    assert.equal(domain.info.shutdown_reason, xc.SHUTDOWN_reboot);
  });

  test('pausing, mapping and the state of a shut-down domain go on working', () => {
    using domain = hvmDomain(target);
    const { domid } = domain;
    xc.xc_domain_shutdown(xch, domid, xc.SHUTDOWN_crash);
    xc.xc_domain_pause(xch, domid);
    xc.xc_domain_unpause(xch, domid);
    using page = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ | xc.PROT_WRITE, 3);
    page.bytes[0] = 7;
    assert.ok(xc.xc_domain_hvm_getcontext(xch, domid).length > 0);
    assert.equal(domain.info.tot_pages, 256);
  });
});

test('a guest that halts with its interrupts off is powered off', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  assert.equal(guest.nop().finished, true);
  assert.equal(domain.info.shutdown, false);
  guest.halt();
  const { shutdown, shutdown_reason, nr_online_vcpus } = domain.info;
  assert.deepEqual(
    { shutdown, shutdown_reason, nr_online_vcpus },
    {
      shutdown: true,
      shutdown_reason: xc.SHUTDOWN_poweroff,
      nr_online_vcpus: 0,
    },
  );
});

describe('destroy', () => {
  test('a destroyed domain is not there any more, and neither in the list', () => {
    using domain = hvmDomain(target);
    const { domid } = domain;
    xc.xc_domain_destroy(xch, domid);
    assert.equal(
      outcome(() => domain.info),
      'ESRCH',
    );
    assert.equal(
      outcome(() => xc.xc_domain_destroy(xch, domid)),
      'ESRCH',
    );
    const listed = xc.xc_domain_getinfolist(xch, domid, 1);
    assert.notEqual(listed[0]?.domain, domid);
  });

  test('a domain can be destroyed in each state', () => {
    const states = {
      created: () => hvmDomain(target, { pages: 0 }),
      paused: () => hvmDomain(target),
      unpaused: () => {
        const domain = hvmDomain(target);
        xc.xc_domain_unpause(xch, domain.domid);
        return domain;
      },
      running: () => {
        const domain = hvmDomain(target);
        using guest = new CountingGuest(target, domain.domid);
        xc.xc_domain_unpause(xch, domain.domid);
        assert.ok(guest.runs());
        return domain;
      },
      'shut down': () => {
        const domain = hvmDomain(target);
        xc.xc_domain_shutdown(xch, domain.domid, xc.SHUTDOWN_poweroff);
        return domain;
      },
      PV: () => pvDomain(target),
    };
    for (const [state, make] of Object.entries(states)) {
      using domain = make();
      domain.destroy();
      assert.equal(
        outcome(() => domain.info),
        'ESRCH',
        state,
      );
    }
  });

  test('off the main thread, with progress', async () => {
    using domain = hvmDomain(target, { pages: 1024 });
    const told: (readonly [number, number])[] = [];
    await xc.xc_domain_destroy_async(xch, domain.domid, { onProgress: (done, total) => told.push([done, total]) });
    assert.deepEqual(told.at(-1), [1024, 1024]);
    assert.equal(
      outcome(() => domain.info),
      'ESRCH',
    );
  });

  test('the id can be used again at once', () => {
    using first = hvmDomain(target);
    const { domid } = first;
    first.destroy();
    using second = bareDomain(target, {}, domid);
    assert.equal(second.domid, domid);
  });
});
