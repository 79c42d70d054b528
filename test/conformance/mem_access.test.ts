/**
 * Access to frames is forbidden, in the host's p2m and in views, and the agent decides: let it happen by the emulator, by
 * another view, by a change of the access, or otherwise. On real Xen this needs Intel's VMX: in the lab, Bochs.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as xc from '#dist/index.js';
import type { MonitorEvent } from '#dist/vmi/monitor/event.js';
import { MonitorSession } from '#dist/vmi/monitor/session.js';
import { openTarget, outcome } from './target.js';
import { A, at, B, CODE, endGuest, watch, watchable } from './watched.js';

const target = openTarget();
const { xch } = target;
const skip = target.noAltp2m ?? false;
const { XENMEM_access } = xc;
const EXTERNAL = 2;
const SPARE = 0x46;
const HOLE = 0x48;
const RETURNED = 0x1234_5678;

after(() => xch.close());

/** A frame's first number, as dom0 sees it. */
function stored(domid: number, gfn: number): number {
  using mapping = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ, gfn);
  return new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset).getUint32(0, true);
}

function access(event: MonitorEvent): string {
  if (event.reason !== 'mem_access') return event.reason;
  return `${event.access} ${event.gfn.toString(16)}+${event.offset}`;
}

describe("the host's p2m", { skip }, () => {
  test('a write to a read-only frame is reported, and the emulator does it', () => {
    const told: string[] = [];
    return watch(
      target,
      {
        sources: { access: [{ gfns: [A], access: XENMEM_access.rx }] },
        answer: (event) => {
          told.push(access(event));
          event.respond({ emulate: true });
        },
      },
      async ({ guest, seen }) => {
        assert.equal((await guest.write(at(A) + 8, 77)).exception, null);
        assert.equal((await guest.read(at(A) + 8)).value, 77);
        assert.deepEqual(told, ['rw 40+8'], 'EPT tells a write as both');
        const { vcpu, paused, gla } = seen[0] ?? {};
        assert.deepEqual({ vcpu, paused, gla }, { vcpu: 0, paused: true, gla: '0x40008' });
      },
    );
  });

  test('emulated without its write, the guest goes on and memory stays', () =>
    watch(
      target,
      {
        sources: { access: [{ gfns: [A], access: XENMEM_access.rx }] },
        answer: (event) => event.respond({ emulate: 'nowrite' }),
      },
      async ({ guest }) => {
        assert.equal((await guest.write(at(A), 77)).finished, true);
        assert.equal(stored(guest.domid, A), 0xaaaa_0001);
      },
    ));

  test('the emulator reads what the agent gives it', () =>
    watch(
      target,
      {
        sources: { access: [{ gfns: [A], access: XENMEM_access.x }] },
        answer: (event) => event.respond({ emulate: true, readData: new Uint8Array([0xef, 0xbe, 0xad, 0xde]) }),
      },
      async ({ guest }) => {
        assert.equal((await guest.read(at(A))).value, 0xdead_beef);
      },
    ));

  test('the same access comes again until something changes: here, the access', () =>
    watch(
      target,
      {
        sources: { access: [{ gfns: [A], access: XENMEM_access.n }] },
        answer: (event, count) => {
          if (count === 3) xc.xc_set_mem_access(xch, event.domid, XENMEM_access.rwx, A, 1);
          event.respond({});
        },
      },
      async ({ guest, seen }) => {
        assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
        assert.equal(seen.length, 3);
      },
    ));

  test('execution of a frame is reported, and emulated instruction by instruction', () =>
    watch(
      target,
      {
        sources: { access: [{ gfns: [CODE], access: XENMEM_access.rw }] },
        answer: (event) => event.respond({ emulate: true }),
      },
      async ({ guest, seen }) => {
        const { finished } = await guest.call(at(CODE));
        assert.equal(finished, true);
        assert.deepEqual([seen[0]?.['access'], seen[0]?.['gfn']], ['x', CODE]);
      },
    ));

  test('n2rwx is reported once, the guest does not wait, and the frame is rwx then', () =>
    watch(target, { sources: { access: [{ gfns: [A], access: XENMEM_access.n2rwx }] } }, async ({ guest, seen }) => {
      assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
      assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
      for (let turn = 0; turn < 100 && seen.length === 0; turn++) await nextTurn();
      assert.deepEqual(
        seen.map(({ paused }) => paused),
        [false],
      );
      assert.equal(xc.xc_get_mem_access(xch, guest.domid, A), XENMEM_access.rwx);
    }));

  test('rx2rw is silent at the first write, and reports execution from then on', () =>
    watch(target, { sources: { access: [{ gfns: [A], access: XENMEM_access.rx2rw }] } }, async ({ guest, seen }) => {
      assert.equal((await guest.write(at(A), 5)).finished, true);
      assert.equal(seen.length, 0);
      assert.equal(xc.xc_get_mem_access(xch, guest.domid, A), XENMEM_access.rw);
    }));

  test('the access that frames had comes back when the session ends', () =>
    watch(
      target,
      { sources: { access: [{ gfns: [A, B], access: XENMEM_access.r }] } },
      async ({ guest: { domid }, session }) => {
        assert.equal(xc.xc_get_mem_access(xch, domid, B), XENMEM_access.r);
        session.close();
        assert.equal(
          outcome(() => xc.xc_set_mem_access(xch, domid, XENMEM_access.r, B, 1)),
          'ENODEV',
        );
      },
    ));

  test('a frame that is forbidden when the listener goes is free again: the guest is not left waiting', async () => {
    const guest = watchable(target);
    try {
      const session = MonitorSession.open(xch, guest.domid, { access: [{ gfns: [A], access: XENMEM_access.n }] });
      const reading = guest.read(at(A));
      await new Promise((resolve) => setTimeout(resolve, 20));
      session.close();
      assert.equal((await reading).value, 0xaaaa_0001);
    } finally {
      endGuest(xch, guest);
    }
  });

  test('the highest frame of a domain that has run is the APIC page', () =>
    watch(target, { sources: {} }, async ({ guest }) => {
      assert.equal(xc.xc_domain_maximum_gpfn(xch, guest.domid), 0xf_ee00);
    }));

  for (const [name, call, expected] of [
    ['of nobody', (d: number) => xc.xc_set_mem_access(xch, d + 1000, XENMEM_access.r, A, 1), 'ESRCH'],
    ['with no access type', (d: number) => xc.xc_set_mem_access(xch, d, 200, A, 1), 'EINVAL'],
    ['of a hole', (d: number) => xc.xc_set_mem_access(xch, d, XENMEM_access.r, HOLE, 1), 'ok'],
    ['beyond the end', (d: number) => xc.xc_set_mem_access(xch, d, XENMEM_access.r, 0xf_ee01, 1), 'EINVAL'],
    ['at the end', (d: number) => xc.xc_set_mem_access(xch, d, XENMEM_access.r, 0xf_ee00, 1), 'ok'],
    ['of a hole, asked', (d: number) => xc.xc_get_mem_access(xch, d, HOLE), 'ESRCH'],
  ] as const) {
    test(`access ${name}: ${expected}`, () =>
      watch(target, { sources: {} }, async ({ guest }) => {
        xc.xc_domain_decrease_reservation_exact(xch, guest.domid, 0, [HOLE]);
        assert.equal(
          outcome(() => call(guest.domid)),
          expected,
        );
      }));
  }
});

describe('views', { skip }, () => {
  /** Altp2m on, and the guest in view 1, which forbids what `restrict` says. */
  function inView(domid: number, access_: number, gfn: number): number {
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_mem_access(xch, domid, view, gfn, access_);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    return view;
  }

  test('an access forbidden in a view: the answer enters view 0, and it is done there', () =>
    watch(
      target,
      { sources: {}, altp2mMode: EXTERNAL, answer: (event) => event.respond({ view: 0 }) },
      async ({ guest, seen }) => {
        const view = inView(guest.domid, 1, A);
        assert.equal((await guest.write(at(A), 78)).finished, true);
        assert.deepEqual(
          seen.map(({ altp2mIdx, access: kind, gfn }) => [altp2mIdx, kind, gfn]),
          [[view, 'rw', A]],
        );
        assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, guest.domid, 0), 0);
        assert.equal(stored(guest.domid, A), 78);
      },
    ));

  test('a hidden view is entered by an answer all the same', () =>
    watch(
      target,
      { sources: { guestRequest: true }, altp2mMode: EXTERNAL, answer: (event) => event.respond({ view: 1 }) },
      async ({ guest }) => {
        xc.xc_altp2m_set_domain_state(xch, guest.domid, true);
        const view = xc.xc_altp2m_create_view(xch, guest.domid, XENMEM_access.rwx);
        xc.xc_altp2m_set_visibility(xch, guest.domid, view, false);
        assert.equal((await guest.request()).finished, true);
        await guest.nop();
        assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, guest.domid, 0), view);
      },
    ));

  test('a hidden hook: executed from the shadow page in the view, read from the original by the emulator', () =>
    watch(
      target,
      {
        sources: {},
        altp2mMode: EXTERNAL,
        answer: (event) => event.respond({ emulate: true, readData: new Uint8Array([0xb8, 0x78, 0x56, 0x34]) }),
      },
      async ({ guest, seen }) => {
        const { domid } = guest;
        using shadow = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ | xc.PROT_WRITE, SPARE);
        shadow.bytes.set([0xb8, 0x21, 0x43, 0x65, 0x07, 0xc3]); // returns another number
        xc.xc_altp2m_set_domain_state(xch, domid, true);
        const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
        xc.xc_altp2m_change_gfn(xch, domid, view, CODE, SPARE);
        xc.xc_altp2m_set_mem_access(xch, domid, view, CODE, XENMEM_access.x);
        xc.xc_altp2m_switch_to_view(xch, domid, view);
        if (!target.model) assert.equal((await guest.call(at(CODE))).value, 0x0765_4321);
        assert.equal(seen.length, 0, 'its execution is not reported');
        assert.equal((await guest.read(at(CODE))).value, 0x3456_78b8);
        assert.equal(seen.length, 1);
        xc.xc_altp2m_switch_to_view(xch, domid, 0);
        if (!target.model) assert.equal((await guest.call(at(CODE))).value, RETURNED);
      },
    ));

  test('the access of a view can be read and multi-set while a listener watches', () =>
    watch(target, { sources: {}, altp2mMode: EXTERNAL }, async ({ guest: { domid } }) => {
      const view = inView(domid, 1, A);
      xc.xc_altp2m_set_mem_access_multi(xch, domid, view, [5, 4], [A, B]);
      assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, A), XENMEM_access.rx);
      assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, B), XENMEM_access.x);
      assert.equal(xc.xc_get_mem_access(xch, domid, A), XENMEM_access.rwx, "the host's is untouched");
    }));
});
