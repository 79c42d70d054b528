/**
 * All sixteen altp2m calls in all four modes, with a guest that really executes VMFUNC, reads, writes, calls and takes
 * #VE. On real Xen this needs Intel's VMX: in the lab, Bochs. Where there is no altp2m every test says so and is skipped.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import type { TestGuest } from './guest.js';
import { createHvm, load, store } from './hvm.js';
import { startGuest } from './start_guest.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
const skip = target.noAltp2m ?? false;
const { XENMEM_access } = xc;

after(() => xch.close());

const MODES = { disabled: 0, mixed: 1, external: 2, limited: 3 } as const;
const UD = 6;
const VE = 20;
const A = 0x40;
const B = 0x41;
const CODE = 0x42;
const HOLE = 0x180;
const VE_PAGE = 0x50;
const SELF = 0x7ff0;
const at = (gfn: number): number => gfn * 4096;

/** A started guest in this mode, altp2m on, with `views` views and, if asked for, a #VE page on its first vCPU. */
function guestIn(mode: number, { views = 1, notify = true } = {}): TestGuest {
  const domid = createHvm(xch, { altp2mMode: mode });
  for (const [gfn, value] of [
    [A, 0xaaaa_0001],
    [B, 0xbbbb_0002],
  ] as const) {
    store(xch, domid, gfn, new Uint8Array(new Uint32Array([value]).buffer));
  }
  store(xch, domid, CODE, new Uint8Array([0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3]));
  const guest = startGuest(target, domid);
  if (mode === MODES.disabled) return guest;
  xc.xc_altp2m_set_domain_state(xch, domid, true);
  guest.nop();
  if (notify) xc.xc_altp2m_set_vcpu_enable_notify(xch, domid, 0, VE_PAGE);
  for (let i = 0; i < views; i++) xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
  return guest;
}

/** Runs a test with a guest and takes the guest away, whatever happens. */
function withGuest(
  mode: number,
  options: { views?: number; notify?: boolean },
  body: (guest: TestGuest) => void,
): void {
  const guest = guestIn(mode, options);
  try {
    body(guest);
  } finally {
    guest[Symbol.dispose]();
    xc.xc_domain_destroy(xch, guest.domid);
  }
}

/** Enters a view without #VE: dom0 moves the guest there and it fills its frames. */
function settle(guest: TestGuest, view: number): void {
  xc.xc_altp2m_switch_to_view(xch, guest.domid, view);
  guest.nop();
}

function ownOp(cmd: number, union: readonly number[]): Uint8Array {
  const op = new Uint8Array(80);
  const view = new DataView(op.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, cmd, true);
  view.setUint16(8, SELF, true);
  op.set(union, 16);
  return op;
}

describe('every call in every mode', { skip }, () => {
  /** A call, and what it gives on a guest whose altp2m is on and who has views 1 and 2. */
  const calls: readonly (readonly [string, (domid: number) => unknown, string])[] = [
    ['get_domain_state', (d) => xc.xc_altp2m_get_domain_state(xch, d), 'ok'],
    ['set_domain_state', (d) => xc.xc_altp2m_set_domain_state(xch, d, true), 'ok'],
    ['set_vcpu_enable_notify', (d) => xc.xc_altp2m_set_vcpu_enable_notify(xch, d, 0, VE_PAGE), 'ok'],
    ['set_vcpu_enable_notify again', (d) => xc.xc_altp2m_set_vcpu_enable_notify(xch, d, 0, VE_PAGE), 'EEXIST'],
    ['set_vcpu_enable_notify on a hole', (d) => xc.xc_altp2m_set_vcpu_enable_notify(xch, d, 1, HOLE), 'EINVAL'],
    ['set_vcpu_enable_notify on no vCPU', (d) => xc.xc_altp2m_set_vcpu_enable_notify(xch, d, 2, VE_PAGE), 'EINVAL'],
    ['set_vcpu_disable_notify', (d) => xc.xc_altp2m_set_vcpu_disable_notify(xch, d, 0), 'ok'],
    ['create_view', (d) => xc.xc_altp2m_create_view(xch, d, XENMEM_access.default), 'ok'],
    ['create_view with no access type', (d) => xc.xc_altp2m_create_view(xch, d, 255), 'EINVAL'],
    ['switch_to_view', (d) => xc.xc_altp2m_switch_to_view(xch, d, 2), 'ok'],
    ['destroy_view of the view in use', (d) => xc.xc_altp2m_destroy_view(xch, d, 2), 'EBUSY'],
    ['switch_to_view to no view', (d) => xc.xc_altp2m_switch_to_view(xch, d, 7), 'EINVAL'],
    ['switch_to_view back', (d) => xc.xc_altp2m_switch_to_view(xch, d, 0), 'ok'],
    ['destroy_view', (d) => xc.xc_altp2m_destroy_view(xch, d, 3), 'ok'],
    ['destroy_view of view 0', (d) => xc.xc_altp2m_destroy_view(xch, d, 0), 'EBUSY'],
    ['get_vcpu_p2m_idx', (d) => xc.xc_altp2m_get_vcpu_p2m_idx(xch, d, 0), 'ok'],
    ['get_vcpu_p2m_idx of no vCPU', (d) => xc.xc_altp2m_get_vcpu_p2m_idx(xch, d, 2), 'EINVAL'],
    ['set_visibility', (d) => xc.xc_altp2m_set_visibility(xch, d, 1, false), 'ok'],
    ['set_visibility of no view', (d) => xc.xc_altp2m_set_visibility(xch, d, 9, false), 'EINVAL'],
    ['set_mem_access', (d) => xc.xc_altp2m_set_mem_access(xch, d, 1, A, XENMEM_access.rx), 'ok'],
    ['set_mem_access of a hole', (d) => xc.xc_altp2m_set_mem_access(xch, d, 1, HOLE, XENMEM_access.rx), 'ok'],
    ['get_mem_access', (d) => xc.xc_altp2m_get_mem_access(xch, d, 1, A), 'ok'],
    ['get_mem_access of an untouched frame', (d) => xc.xc_altp2m_get_mem_access(xch, d, 1, B), 'ESRCH'],
    ['set_mem_access_multi', (d) => xc.xc_altp2m_set_mem_access_multi(xch, d, 1, [5, 7], [A, B]), 'ok'],
    ['set_mem_access_multi with no access', (d) => xc.xc_altp2m_set_mem_access_multi(xch, d, 1, [99], [A]), 'EINVAL'],
    ['change_gfn', (d) => xc.xc_altp2m_change_gfn(xch, d, 1, A, B), 'ok'],
    ['change_gfn to a hole', (d) => xc.xc_altp2m_change_gfn(xch, d, 1, A, HOLE), 'ESRCH'],
    ['change_gfn undone', (d) => xc.xc_altp2m_change_gfn(xch, d, 1, A, xc.INVALID_GFN), 'ok'],
    ['set_suppress_ve', (d) => xc.xc_altp2m_set_suppress_ve(xch, d, 1, A, false), 'ok'],
    ['get_suppress_ve', (d) => xc.xc_altp2m_get_suppress_ve(xch, d, 1, A), 'ok'],
    ['set_suppress_ve_multi', (d) => xc.xc_altp2m_set_suppress_ve_multi(xch, d, 1, 0x70, 0x80, true), 'ok'],
    ['set_suppress_ve_multi backwards', (d) => xc.xc_altp2m_set_suppress_ve_multi(xch, d, 1, 9, 8, true), 'EINVAL'],
  ];

  for (const mode of ['mixed', 'external', 'limited'] as const) {
    test(`dom0's calls in ${mode} mode give what they give in any`, () => {
      withGuest(MODES[mode], { views: 2, notify: false }, ({ domid }) => {
        const got = calls.map(([name, call]) => [name, outcome(() => call(domid))]);
        assert.deepEqual(
          got,
          calls.map(([name, , expected]) => [name, expected]),
        );
      });
    });
  }

  test('without a mode the calls of the state give EINVAL and all others EOPNOTSUPP', () => {
    withGuest(MODES.disabled, {}, ({ domid }) => {
      for (const [name, call] of calls) {
        const expected = name.endsWith('domain_state') ? 'EINVAL' : 'EOPNOTSUPP';
        assert.equal(
          outcome(() => call(domid)),
          expected,
          name,
        );
      }
    });
  });
});

describe('hidden views, as the patch of 2020 asked for', { skip }, () => {
  for (const mode of ['mixed', 'external', 'limited'] as const) {
    test(`${mode}: VMFUNC enters a visible view and is #UD for a hidden one, which evicts nobody`, () => {
      withGuest(MODES[mode], { views: 1 }, (guest) => {
        const { domid } = guest;
        settle(guest, 1);
        settle(guest, 0);
        assert.equal(guest.vmfunc(0, 1).exception, null);
        xc.xc_altp2m_set_visibility(xch, domid, 1, false);
        assert.equal(guest.read(at(A)).value, 0xaaaa_0001);
        assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), 1);
        assert.equal(guest.vmfunc(0, 1).exception, UD);
        assert.equal(guest.vmfunc(0, 0).exception, null);
        assert.equal(guest.vmfunc(0, 1).exception, UD);
        assert.equal(
          outcome(() => xc.xc_altp2m_switch_to_view(xch, domid, 1)),
          'EINVAL',
        );
        xc.xc_altp2m_set_visibility(xch, domid, 1, true);
        assert.equal(guest.vmfunc(0, 1).exception, null);
      });
    });
  }

  test('VMFUNC is #UD before a #VE page was given, for other leaves, and for views that are not', () => {
    withGuest(MODES.mixed, { views: 1, notify: false }, (guest) => {
      assert.equal(guest.vmfunc(0, 0).exception, UD);
      xc.xc_altp2m_set_vcpu_enable_notify(xch, guest.domid, 0, VE_PAGE);
      assert.equal(guest.vmfunc(0, 0).exception, null);
      for (const [leaf, index] of [
        [1, 0],
        [63, 0],
        [0, 2],
        [0, 511],
        [0, 512],
        [0, 0xffff_ffff],
      ] as const) {
        assert.equal(guest.vmfunc(leaf, index).exception, UD, `leaf ${leaf}, index ${index}`);
      }
    });
  });

  for (const [mode, shown, entered] of [
    ['mixed', 0, null],
    ['external', -1, UD],
    ['limited', -1, UD],
  ] as const) {
    test(`${mode}: the guest's own set_visibility is ${shown}`, () => {
      withGuest(MODES[mode], { views: 1 }, (guest) => {
        settle(guest, 1);
        settle(guest, 0);
        xc.xc_altp2m_set_visibility(xch, guest.domid, 1, false);
        assert.equal(guest.altp2m(ownOp(16, [1, 0, 1])).value | 0, shown);
        assert.equal(guest.vmfunc(0, 1).exception, entered);
      });
    });
  }
});

describe('what the guest sees', { skip }, () => {
  test('a remapped frame reads, and writes, the other one in its view only', () => {
    withGuest(MODES.external, { views: 1 }, (guest) => {
      xc.xc_altp2m_change_gfn(xch, guest.domid, 1, A, B);
      assert.equal(guest.read(at(A)).value, 0xaaaa_0001);
      settle(guest, 1);
      assert.equal(guest.read(at(A)).value, 0xbbbb_0002);
      guest.write(at(A), 0x7777_0007);
      settle(guest, 0);
      assert.equal(guest.read(at(A)).value, 0xaaaa_0001);
      assert.equal(guest.read(at(B)).value, 0x7777_0007);
      assert.equal(guest.vmfuncRead(1, at(A)).value, 0x7777_0007);
    });
  });

  test('without an agent a violation makes the frame rwx in that view', () => {
    withGuest(MODES.external, { views: 1 }, (guest) => {
      xc.xc_altp2m_set_mem_access(xch, guest.domid, 1, CODE, XENMEM_access.rw);
      settle(guest, 1);
      assert.equal(guest.call(at(CODE)).value, 0x1234_5678);
      assert.equal(xc.xc_altp2m_get_mem_access(xch, guest.domid, 1, CODE), XENMEM_access.rwx);
    });
  });

  test('with suppress-#VE clear a violation is #VE, and its page tells of it', () => {
    withGuest(MODES.external, { views: 1 }, (guest) => {
      const { domid } = guest;
      settle(guest, 1);
      xc.xc_altp2m_set_mem_access(xch, domid, 1, A, XENMEM_access.r);
      xc.xc_altp2m_set_suppress_ve(xch, domid, 1, A, false);
      store(xch, domid, VE_PAGE, new Uint8Array(4096));
      assert.equal(guest.read(at(A)).exception, null);
      assert.equal(guest.write(at(A) + 8, 1).exception, VE);
      const info = new DataView(load(xch, domid, VE_PAGE, 40).buffer);
      assert.equal(info.getUint32(0, true), 48, 'reason: EPT violation');
      assert.equal(info.getUint32(4, true), 0xffff_ffff, 'semaphore');
      assert.equal(info.getUint32(8, true) & 0x1ff, 0x182 | (1 << 3), 'a write to a readable frame');
      assert.equal(info.getUint32(16, true), at(A) + 8, 'linear address');
      assert.equal(info.getUint32(24, true), at(A) + 8, 'physical address');
      // the guest has not read it: the next violation goes to Xen
      assert.equal(guest.write(at(A) + 8, 1).exception, null);
    });
  });

  test('a view that holds nothing raises #VE on the first fetch in it', () => {
    withGuest(MODES.mixed, { views: 1 }, (guest) => {
      store(xch, guest.domid, VE_PAGE, new Uint8Array(4096));
      assert.equal(guest.vmfunc(0, 1).exception, VE);
      assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, guest.domid, 0), 1);
    });
  });

  test('switched off, views are gone; switched on again there is view 0 alone', () => {
    withGuest(MODES.mixed, { views: 2 }, (guest) => {
      const { domid } = guest;
      settle(guest, 2);
      xc.xc_altp2m_set_domain_state(xch, domid, false);
      assert.equal(guest.read(at(A)).value, 0xaaaa_0001);
      assert.equal(guest.vmfunc(0, 0).exception, UD);
      xc.xc_altp2m_set_domain_state(xch, domid, true);
      assert.equal(
        outcome(() => xc.xc_altp2m_switch_to_view(xch, domid, 2)),
        'EINVAL',
      );
      assert.equal(xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx), 1);
    });
  });
});
