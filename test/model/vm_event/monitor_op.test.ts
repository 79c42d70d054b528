/** domctl monitor_op: every event with its errors, in Xen's order, by release and processor. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { xen_domctl_monitor_op } from '#dist/abi/domctl.js';
import { RELEASES, type Release, releaseAbi } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import * as monitor from '#dist/xc/monitor.js';

const F = xen_domctl_monitor_op.at;
const [ENABLE, DISABLE, GET_CAPABILITIES, EMULATE_EACH_REP, CONTROL_REGISTERS] = [0, 1, 2, 3, 4];

function machine(options: ConstructorParameters<typeof ModelXen>[0] = {}) {
  const xen = new ModelXen(options);
  const { domid, domain } = xen.createGuest({ memoryPages: 64 });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  return { xen, xch, domid, domain };
}

/** domctl monitor_op; `union`: bytes of its union by offset in the structure. */
function monitorOp(
  xen: ModelXen,
  domid: number,
  op: number,
  event: number,
  union: Record<number, number> = {},
): number {
  const { arena } = xen;
  const at = arena.operandAddress - arena.base;
  arena.bytes.fill(0, at, at + 144);
  arena.view.setUint32(at, 77, true);
  arena.view.setUint32(at + 4, releaseAbi(xen.release).domctl, true);
  arena.view.setUint16(at + 8, domid, true);
  arena.view.setUint32(at + 16 + F.op, op, true);
  arena.view.setUint32(at + 16 + F.event, event, true);
  for (const [offset, byte] of Object.entries(union)) arena.view.setUint8(at + 16 + Number(offset), byte);
  return xen.hypercall(36, arena.operandAddress);
}

function capabilities(xen: ModelXen, domid: number): number[] {
  assert.equal(monitorOp(xen, domid, GET_CAPABILITIES, 0), 0);
  const mask = xen.arena.view.getUint32(xen.arena.operandAddress - xen.arena.base + 16 + F.event, true);
  return Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => mask & (1 << bit));
}

/** Events that are on or off and nothing else, or have options that are all good. */
const SIMPLE = [2, 3, 4, 5, 6, 9, 10, 11, 12, 13];
const SINCE: Readonly<Record<number, Release>> = { 12: '4.17', 13: '4.18' };

describe('capabilities', () => {
  for (const release of RELEASES) {
    test(`of an HVM domain on ${release}`, () => {
      const { xen, domid } = machine({ release });
      const index = RELEASES.indexOf(release);
      const wanted = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, ...(index >= 3 ? [12] : []), ...(index >= 4 ? [13] : [])];
      assert.deepEqual(capabilities(xen, domid), wanted);
    });
  }

  test('single-stepping is a matter of the processor', () => {
    for (const cpu of [{ vendor: 'amd' }, { mtf: false }] as const) {
      const { xen, domid } = machine({ cpu });
      assert.ok(!capabilities(xen, domid).includes(2));
      assert.equal(monitorOp(xen, domid, ENABLE, 2), -95);
    }
  });

  test('a PV domain has none', () => {
    const { xen } = machine();
    const { domid } = xen.createGuest({ type: 'pv' });
    assert.deepEqual(capabilities(xen, domid), []);
    assert.equal(monitorOp(xen, domid, ENABLE, 6), -95);
  });
});

describe('order of the checks', () => {
  test('no such domain -ESRCH, then the caller itself -EPERM', () => {
    const { xen } = machine();
    assert.equal(monitorOp(xen, 77, 99, 99), -3);
    assert.equal(monitorOp(xen, 0, 99, 99), -1);
  });

  test('an operation that is none: -EOPNOTSUPP, whatever the event', () => {
    const { xen, domid } = machine();
    for (const op of [5, 99, 0xffff_ffff]) assert.equal(monitorOp(xen, domid, op, 99), -95);
  });

  test('an event beyond 31: -EINVAL; one that cannot be told: -EOPNOTSUPP', () => {
    const { xen, domid } = machine({ release: '4.14' });
    for (const event of [32, 255, 0xffff_ffff]) assert.equal(monitorOp(xen, domid, ENABLE, event), -22);
    for (const event of [7, 12, 13, 31]) assert.equal(monitorOp(xen, domid, DISABLE, event), -95);
  });

  test('interrupts are a capability, and are not switched on: -EOPNOTSUPP', () => {
    const { xen, domid } = machine();
    assert.equal(monitorOp(xen, domid, ENABLE, 8), -95);
  });

  test('a guest may not: -EPERM', () => {
    const { xen, domid } = machine();
    const op = new Uint8Array(144);
    const view = new DataView(op.buffer);
    view.setUint32(0, 77, true);
    view.setUint32(4, 0x15, true);
    view.setUint16(8, domid, true);
    const cpu = xen.guest(domid)?.vcpus[0];
    cpu?.write(0x1000, op);
    assert.equal(cpu?.hypercall(36, 0x1000), -1);
  });
});

for (const release of ['4.14', '4.17', '4.22'] as const) {
  for (const event of SIMPLE) {
    const since = SINCE[event];
    const known = !since || RELEASES.indexOf(since) <= RELEASES.indexOf(release);
    test(`event ${event} on ${release}: ${known ? 'on, off, and -EEXIST for what is so already' : '-EOPNOTSUPP'}`, () => {
      const { xen, domid } = machine({ release });
      const ops = [DISABLE, ENABLE, ENABLE, DISABLE, DISABLE];
      const got = ops.map((op) => monitorOp(xen, domid, op, event));
      assert.deepEqual(got, known ? [-17, 0, -17, 0, -17] : [-95, -95, -95, -95, -95]);
    });
  }
}

describe('control registers', () => {
  test('each of the four by itself; others -EINVAL', () => {
    const { xen, domid } = machine();
    const event = (op: number, index: number): number => monitorOp(xen, domid, op, 0, { 8: index });
    for (const index of [0, 1, 2, 3]) {
      assert.deepEqual([event(DISABLE, index), event(ENABLE, index), event(ENABLE, index)], [-17, 0, -17]);
    }
    for (const index of [4, 255]) assert.equal(event(ENABLE, index), -22);
    assert.equal(event(DISABLE, 2), 0);
  });

  test('pads that are not zero: -EINVAL, before -EEXIST', () => {
    const { xen, domid } = machine();
    for (const pad of [11, 12, 13, 14, 15]) assert.equal(monitorOp(xen, domid, DISABLE, 0, { [pad]: 1 }), -22);
  });

  test('options are those of the last ENABLE', () => {
    const { xch, domid, domain } = machine();
    monitor.xc_monitor_write_ctrlreg(xch, domid, 2, true, true, 0x80n, true);
    assert.deepEqual(domain.monitor.writeCtrlreg[2], { sync: true, bitmask: 0x80n });
    monitor.xc_monitor_write_ctrlreg(xch, domid, 2, false, false, 0n, false);
    assert.equal(domain.monitor.writeCtrlreg[2], null);
  });
});

describe('MSRs', () => {
  const low = (msr: number) => ({ 8: msr & 0xff, 9: (msr >>> 8) & 0xff, 10: (msr >>> 16) & 0xff, 11: msr >>> 24 });

  test('before there was a ring: -ENXIO on, -EEXIST off', () => {
    const { xen, domid } = machine();
    assert.equal(monitorOp(xen, domid, ENABLE, 1, low(0x174)), -6);
    assert.equal(monitorOp(xen, domid, DISABLE, 1, low(0x174)), -17);
  });

  test('three ranges of 8192; beyond them -EINVAL on, -EEXIST off', () => {
    const { xen, xch, domid } = machine();
    const { ring } = monitor.xc_monitor_enable(xch, domid);
    for (const first of [0, 0x4000_0000, 0xc000_0000]) {
      for (const msr of [first, first + 0x1fff]) {
        const got = [ENABLE, ENABLE, DISABLE, DISABLE].map((op) => monitorOp(xen, domid, op, 1, low(msr)));
        assert.deepEqual(got, [0, -17, 0, -17], msr.toString(16));
      }
      assert.equal(monitorOp(xen, domid, ENABLE, 1, low(first + 0x2000)), -22);
      assert.equal(monitorOp(xen, domid, DISABLE, 1, low(first + 0x2000)), -17);
    }
    ring.close();
  });
});

test('the end of the ring switches everything off', () => {
  const { xen, xch, domid, domain } = machine({ release: '4.18' });
  const { ring } = monitor.xc_monitor_enable(xch, domid);
  for (const event of SIMPLE) assert.equal(monitorOp(xen, domid, ENABLE, event), 0);
  monitor.xc_monitor_mov_to_msr(xch, domid, 0x174, true, false);
  assert.equal(monitorOp(xen, domid, CONTROL_REGISTERS, 0), 0);
  monitor.xc_monitor_disable(xch, domid);
  for (const event of SIMPLE) assert.equal(monitorOp(xen, domid, DISABLE, event), -17);
  assert.deepEqual([domain.monitor.msrs, domain.monitor.controlRegisterValues], [null, false]);
  ring.close();
});

test('emulate_each_rep without a subscriber: -EINVAL', () => {
  const { xen, xch, domid, domain } = machine();
  assert.equal(monitorOp(xen, domid, EMULATE_EACH_REP, 1), -22);
  const { ring } = monitor.xc_monitor_enable(xch, domid);
  assert.equal(monitorOp(xen, domid, EMULATE_EACH_REP, 1), 0);
  assert.equal(domain.monitor.emulateEachRep, true);
  ring.close();
});
