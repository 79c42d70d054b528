/**
 * What a guest does is reported, and answers are heeded: registers, CPUID, descriptor tables, debug exceptions, requests of
 * the guest. These need no altp2m, so they run on every Xen that has HVM guests; QEMU's processor cannot report
 * breakpoints, and none of the lab's can single-step.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import * as xc from '#dist/index.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';
import { createHvm } from './hvm.js';
import { openTarget, outcome } from './target.js';
import { endGuest, RING_GFN, watch, watchable } from './watched.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const amd = target.model === null && ((xc.xc_physinfo(xch).hw_cap[1] ?? 0) & (1 << 5)) === 0;
const DB = 1;
const BP = 3;
const SYSENTER_CS = 0x174;
const CR4_PGE = 0x80;
const CR4_DE = 8;
const CR0_MP = 2;

describe('registers', () => {
  test('a write of CR4 is reported with both values, and done when it is let go on', () =>
    watch(target, { sources: { cr: { cr4: true } } }, async ({ guest, seen }) => {
      const old = (await guest.readCr(4)).value;
      assert.deepEqual(await guest.writeCr(4, old ^ CR4_PGE), {
        finished: true,
        exception: null,
        value: seenValue(old),
      });
      assert.equal(seen.length, 1);
      const { reason, vcpu, paused, register, newValue, oldValue } = seen[0] ?? {};
      assert.deepEqual(
        { reason, vcpu, paused, register, newValue, oldValue },
        {
          reason: 'write_ctrlreg',
          vcpu: 0,
          paused: true,
          register: 'cr4',
          newValue: hex(old ^ CR4_PGE),
          oldValue: hex(old),
        },
      );
      assert.equal((await guest.readCr(4)).value, old ^ CR4_PGE);
    }));

  for (const onChangeOnly of [true, false]) {
    test(`a write that changes nothing is not reported, with onChangeOnly ${onChangeOnly}`, () =>
      watch(target, { sources: { cr: { cr4: { onChangeOnly }, cr3: { onChangeOnly } } } }, async ({ guest, seen }) => {
        await guest.writeCr(4, (await guest.readCr(4)).value);
        await guest.writeCr(3, (await guest.readCr(3)).value);
        assert.equal(seen.length, 0);
      }));
  }

  test('a denied write leaves the register, and the guest goes on behind it', () =>
    watch(
      target,
      { sources: { cr: { cr0: true } }, answer: (event) => event.respond({ deny: true }) },
      async ({ guest, seen }) => {
        const old = (await guest.readCr(0)).value;
        assert.equal((await guest.writeCr(0, old ^ CR0_MP)).finished, true);
        assert.equal(seen.length, 1);
        assert.equal((await guest.readCr(0)).value, old);
      },
    ));

  test('CR3: every value is told, in order', () =>
    watch(target, { sources: { cr: { cr3: true } } }, async ({ guest, seen }) => {
      for (const value of [0x5000, 0x6000, 0x7000]) await guest.writeCr(3, value);
      assert.deepEqual(
        seen.map(({ register, newValue, oldValue }) => [register, newValue, oldValue]),
        [
          ['cr3', '0x5000', seen[0]?.['oldValue']],
          ['cr3', '0x6000', '0x5000'],
          ['cr3', '0x7000', '0x6000'],
        ],
      );
      assert.equal((await guest.readCr(3)).value, 0x7000);
    }));

  test('bits of the mask are not reported', () =>
    watch(target, { sources: { cr: { cr4: { bitmask: CR4_PGE } } } }, async ({ guest, seen }) => {
      await guest.writeCr(4, (await guest.readCr(4)).value ^ CR4_PGE);
      assert.equal(seen.length, 0);
      await guest.writeCr(4, (await guest.readCr(4)).value ^ CR4_PGE ^ CR4_DE);
      assert.equal(seen.length, 1, 'other bits changed, too');
    }));

  test('a write of an MSR is reported; denied it is not done', () =>
    watch(
      target,
      {
        sources: { msr: [SYSENTER_CS] },
        answer: (event, count) => {
          if (count === 2) event.respond({ deny: true });
        },
      },
      async ({ guest, seen }) => {
        await guest.wrmsr(SYSENTER_CS, 8);
        assert.equal((await guest.rdmsr(SYSENTER_CS)).value, 8);
        await guest.wrmsr(SYSENTER_CS, 16);
        assert.equal((await guest.rdmsr(SYSENTER_CS)).value, 8);
        assert.deepEqual(
          seen.map(({ reason, msr, newValue, oldValue }) => [reason, msr, newValue, oldValue]),
          [
            ['mov_to_msr', '0x174', '0x8', '0x0'],
            ['mov_to_msr', '0x174', '0x10', '0x8'],
          ],
        );
      },
    ));
});

/** A write to a control register gives nothing back on the model; the real program's eax is what it wrote. */
function seenValue(old: number): number {
  return target.model ? 0 : old ^ CR4_PGE;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

test('CPUID: the agent steps over it and puts its own answer into eax', () =>
  watch(
    target,
    {
      sources: { cpuid: true },
      answer: (event) => {
        assert.equal(event.reason, 'cpuid');
        event.respond({ registers: { rip: event.regs.rip + BigInt(event.insnLength), rax: 0x1234 } });
      },
    },
    async ({ guest, seen }) => {
      assert.deepEqual(await guest.cpuid(0x4000_0000), { finished: true, exception: null, value: 0x1234 });
      assert.deepEqual(
        seen.map(({ reason, leaf, insnLength }) => [reason, leaf, insnLength]),
        [['cpuid', '0x40000000', 2]],
      );
    },
  ));

test('CPUID that nobody answers gives what it gives without an agent', () =>
  watch(target, { sources: { cpuid: true } }, async ({ guest, session }) => {
    const told = await guest.cpuid(0);
    session.close();
    assert.deepEqual(told, await guest.cpuid(0));
    assert.equal(session.counters.automatic, 1);
  }));

test('CPUID comes again until the agent moves the instruction pointer', () =>
  watch(
    target,
    {
      sources: { cpuid: true },
      answer: (event, count) => {
        event.respond(count === 3 ? { registers: { rip: event.regs.rip + 2n } } : {});
      },
    },
    async ({ guest, seen }) => {
      assert.equal((await guest.cpuid(0)).finished, true);
      assert.equal(seen.length, 3);
    },
  ));

describe('descriptor tables', () => {
  for (const [name, isWrite, act] of [
    ['sgdt', false, 'sgdt'],
    ['lgdt', true, 'lgdt'],
  ] as const) {
    test(`${name} is reported, and emulated when the answer says so`, () =>
      watch(
        target,
        { sources: { descriptor: true }, answer: (event) => event.respond({ emulate: true }) },
        async ({ guest, seen }) => {
          assert.equal((await guest[act]()).exception, null);
          assert.deepEqual(
            seen.map(({ reason, descriptor, isWrite: write }) => [reason, descriptor, write]),
            [['descriptor_access', 'gdtr', isWrite]],
          );
        },
      ));
  }
});

test('descriptor tables that are watched when there is no agent: the guest goes no further until they no longer are', async () => {
  const { xch } = target;
  const guest = watchable(target);
  try {
    const { domid } = guest;
    xc.xc_monitor_enable(xch, domid).ring.close();
    xc.xc_monitor_disable(xch, domid);
    xc.xc_monitor_descriptor_access(xch, domid, true);
    assert.equal((await guest.sgdt()).finished, false);
    xc.xc_monitor_descriptor_access(xch, domid, false);
    assert.equal((await guest.nop()).finished, true);
  } finally {
    endGuest(xch, guest);
  }
});

test("a guest's request is reported, and holds it up until it is answered", () =>
  watch(target, { sources: { guestRequest: true } }, async ({ guest, seen }) => {
    assert.deepEqual(await guest.request(), { finished: true, exception: null, value: 0 });
    assert.deepEqual(
      seen.map(({ reason, paused }) => [reason, paused]),
      [['guest_request', true]],
    );
  }));

test('a request that need not wait does not', () =>
  watch(target, { sources: { guestRequest: { sync: false } } }, async ({ guest, seen }) => {
    assert.equal((await guest.request()).finished, true);
    await guest.nop();
    for (let turn = 0; turn < 100 && seen.length === 0; turn++) await nextTurn();
    assert.deepEqual(
      seen.map(({ reason, paused }) => [reason, paused]),
      [['guest_request', false]],
    );
  }));

describe('debug exceptions', () => {
  test('a debug exception that is let go on is swallowed', () =>
    watch(
      target,
      {
        sources: { debug: true },
        answer: (event) => event.respond({ registers: { rflags: event.regs.rflags & ~0x100n } }),
      },
      async ({ guest, seen }) => {
        const { finished, exception } = await guest.trap();
        assert.deepEqual({ finished, exception }, { finished: true, exception: null });
        assert.equal(seen[0]?.['reason'], 'debug_exception');
      },
    ));

  test('the agent gives the exception to the guest', () =>
    watch(
      target,
      {
        sources: { debug: true },
        answer: (event) => {
          if (event.reason === 'debug_exception') {
            xc.xc_hvm_inject_trap(xch, event.domid, event.vcpu, DB, event.type, 0xffff_ffff, event.insnLength, 0n);
          }
        },
      },
      async ({ guest, seen }) => {
        const { finished, exception } = await guest.trap();
        assert.deepEqual({ finished, exception }, { finished: true, exception: DB });
        assert.equal(seen.length, 1);
      },
    ));

  const noBreakpoints = amd ? "QEMU's processor does not report breakpoints to Xen" : false;

  test('a breakpoint is reported; the agent steps over it', { skip: noBreakpoints }, () =>
    watch(
      target,
      {
        sources: { breakpoints: true },
        answer: (event) => event.respond({ registers: { rip: event.regs.rip + 1n } }),
      },
      async ({ guest, seen }) => {
        const { finished, exception } = await guest.int3();
        assert.deepEqual({ finished, exception }, { finished: true, exception: null });
        assert.deepEqual(
          seen.map(({ reason, insnLength }) => [reason, insnLength]),
          [['software_breakpoint', 1]],
        );
      },
    ),
  );

  test('a breakpoint without a listener is the guest’s own', { skip: noBreakpoints }, async () => {
    const guest = watchable(target);
    try {
      assert.equal((await guest.int3()).exception, BP);
    } finally {
      endGuest(xch, guest);
    }
  });
});

describe('the errno of switching', () => {
  const switches: readonly (readonly [string, (domid: number, on: boolean) => void])[] = [
    ['xc_monitor_cpuid', (d, on) => xc.xc_monitor_cpuid(xch, d, on)],
    ['xc_monitor_write_ctrlreg', (d, on) => xc.xc_monitor_write_ctrlreg(xch, d, 0, on, true, 0, true)],
    ['xc_monitor_mov_to_msr', (d, on) => xc.xc_monitor_mov_to_msr(xch, d, SYSENTER_CS, on, false)],
    ['xc_monitor_guest_request', (d, on) => xc.xc_monitor_guest_request(xch, d, on, true, false)],
    ['xc_monitor_debug_exceptions', (d, on) => xc.xc_monitor_debug_exceptions(xch, d, on, true)],
    ['xc_monitor_software_breakpoint', (d, on) => xc.xc_monitor_software_breakpoint(xch, d, on)],
    ['xc_monitor_descriptor_access', (d, on) => xc.xc_monitor_descriptor_access(xch, d, on)],
    ['xc_monitor_emul_unimplemented', (d, on) => xc.xc_monitor_emul_unimplemented(xch, d, on)],
    ['xc_monitor_inguest_pagefault', (d, on) => xc.xc_monitor_inguest_pagefault(xch, d, on)],
    ['xc_monitor_vmexit', (d, on) => xc.xc_monitor_vmexit(xch, d, on, true)],
  ];
  for (const [name, call] of switches) {
    test(`${name}: EEXIST when it is so already, EPERM on oneself, ESRCH on nobody`, () =>
      watch(target, { sources: {} }, async ({ guest: { domid } }) => {
        assert.equal(
          outcome(() => call(domid, false)),
          'EEXIST',
        );
        assert.equal(
          outcome(() => call(domid, true)),
          'ok',
        );
        assert.equal(
          outcome(() => call(domid, true)),
          'EEXIST',
        );
        assert.equal(
          outcome(() => call(domid, false)),
          'ok',
        );
        assert.equal(
          outcome(() => call(0, true)),
          'EPERM',
        );
        assert.equal(
          outcome(() => call(0x7000, true)),
          'ESRCH',
        );
      }));
  }

  test('a control register and an MSR that do not exist are EINVAL', () =>
    watch(target, { sources: {} }, async ({ guest: { domid } }) => {
      assert.equal(
        outcome(() => xc.xc_monitor_write_ctrlreg(xch, domid, 9, true, true, 0, true)),
        'EINVAL',
      );
      assert.equal(
        outcome(() => xc.xc_monitor_mov_to_msr(xch, domid, 0x9000_0000, true, false)),
        'EINVAL',
      );
    }));

  test('I/O events came with 4.18', () =>
    watch(target, { sources: {} }, async ({ guest: { domid } }) => {
      assert.equal(
        outcome(() => xc.xc_monitor_privileged_call(xch, domid, true)),
        'EOPNOTSUPP',
      );
      assert.throws(() => xc.xc_monitor_io(xch, domid, true), /4\.18/);
    }));

  test('an MSR before the ring was ever on is ENXIO', () => {
    const domid = createHvm(xch);
    try {
      assert.equal(
        outcome(() => xc.xc_monitor_mov_to_msr(xch, domid, SYSENTER_CS, true, false)),
        'ENXIO',
      );
    } finally {
      xc.xc_domain_destroy(xch, domid);
    }
  });

  test('the ring: no frame EOPNOTSUPP, twice EBUSY, off without one EINVAL, resume ENODEV', () => {
    const domid = createHvm(xch);
    try {
      assert.equal(
        outcome(() => xc.xc_monitor_enable(xch, domid)),
        'EOPNOTSUPP',
      );
      assert.equal(
        outcome(() => xc.xc_monitor_disable(xch, domid)),
        'EINVAL',
      );
      assert.equal(
        outcome(() => xc.xc_monitor_resume(xch, domid)),
        'ENODEV',
      );
      xc.xc_hvm_param_set(xch, domid, HVM_PARAM_MONITOR_RING_PFN, RING_GFN);
      const { ring, port } = xc.xc_monitor_enable(xch, domid);
      assert.ok(port > 0);
      assert.equal(
        outcome(() => xc.xc_monitor_enable(xch, domid)),
        'EBUSY',
      );
      assert.equal(
        outcome(() => xc.xc_monitor_resume(xch, domid)),
        'ok',
      );
      assert.equal(
        outcome(() => xc.xc_monitor_disable(xch, domid)),
        'ok',
      );
      ring.close();
      assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, 255, 'the ring has its frame out of the guest');
    } finally {
      xc.xc_domain_destroy(xch, domid);
    }
  });
});

describe('listeners that fail', () => {
  test('a handler that throws ends the session, and its guest goes on', () =>
    watch(
      target,
      {
        sources: { guestRequest: true },
        answer: () => {
          throw new Error('the agent is broken');
        },
      },
      async ({ guest, end }) => {
        assert.equal((await guest.request()).finished, true);
        await assert.rejects(end, /the agent is broken/);
        assert.equal((await guest.nop()).finished, true);
      },
    ));

  test('a listener that died is EBUSY for the next, who may recover the domain', async () => {
    const guest = watchable(target);
    try {
      const dead = xc.xc_monitor_enable(xch, guest.domid);
      xc.xc_monitor_guest_request(xch, guest.domid, true, true, false);
      const request = guest.request();
      await nextTurn();
      dead.ring.close();
      assert.equal(
        outcome(() => MonitorSession.open(xch, guest.domid).close()),
        'EBUSY',
      );
      using session = MonitorSession.open(xch, guest.domid, { recover: true, guestRequest: true });
      assert.equal((await request).finished, true, 'who waited for the dead listener goes on');
      const end = session.serve(() => {});
      assert.equal((await guest.request()).finished, true);
      assert.equal(session.counters.events, 1);
      session.close();
      assert.equal((await end).cause, 'closed');
    } finally {
      endGuest(xch, guest);
    }
  });

  test('nobody listens for a while: nothing is lost, and all come in order', async () => {
    const guest = watchable(target);
    try {
      using session = MonitorSession.open(xch, guest.domid, { cr: { cr3: { sync: false } } });
      const writing = (async () => {
        for (let i = 1; i <= 20; i++) assert.equal((await guest.writeCr(3, i << 12)).finished, true);
      })();
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      const values: bigint[] = [];
      const end = session.serve((event) => {
        if (event.reason === 'write_ctrlreg') values.push(event.newValue);
      });
      await writing;
      for (let turn = 0; turn < 100 && values.length < 20; turn++) await nextTurn();
      assert.deepEqual(
        values,
        Array.from({ length: 20 }, (_, i) => BigInt(i + 1) << 12n),
      );
      session.close();
      await end;
    } finally {
      endGuest(xch, guest);
    }
  });
});

describe('the end of the domain', () => {
  test('a guest that halts for good ends the loop: shutdown', () =>
    watch(target, { sources: { guestRequest: true } }, async ({ guest, end }) => {
      guest.halt();
      assert.deepEqual(await end, { cause: 'shutdown', reason: 'poweroff' });
    }));

  test('a domain destroyed with an event in flight ends the loop: gone', () =>
    watch(
      target,
      {
        sources: { guestRequest: true },
        answer: (event) => xc.xc_domain_destroy(xch, event.domid),
      },
      async ({ guest, end }) => {
        guest.request().catch(() => {});
        assert.deepEqual(await end, { cause: 'gone' });
      },
    ));
});
