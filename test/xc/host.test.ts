/** The calls on the host, the console ring and event channels of any domain: what they send, what they make of answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { domctl, opened, operand, type Place, pack, SYSCTL, VERSIONS } from './encoding.js';

/** Where the arena's first list lies for the hypervisor. */
const HEAP = 0x7f12_3456_7200;

const sysctl = (release: Release, cmd: number, ...places: readonly Place[]): string => {
  const inUnion = places.map(([offset, width, value]): Place => [8 + offset, width, value]);
  return pack(136, [0, 4, cmd], [4, 4, VERSIONS[release][1]], ...inUnion);
};

/** The union of a sysctl, for answers. */
const union = (call: { view(a: number, n: number): DataView; args: readonly number[] }): DataView =>
  call.view((call.args[0] as number) + 8, 128);

test('sysctls on the host send the bytes of each release', () => {
  const rows: readonly (readonly [string, (xch: xc.XcInterface) => unknown, (release: Release) => string])[] = [
    ['xc_send_debug_keys', (xch) => xc.xc_send_debug_keys(xch, 'hq'), (r) => sysctl(r, 7, [0, 8, HEAP], [8, 4, 2])],
    ['xc_getcpuinfo', (xch) => xc.xc_getcpuinfo(xch, 9), (r) => sysctl(r, 8, [0, 4, 9], [8, 8, HEAP])],
    [
      'xc_readconsolering',
      (xch) => xc.xc_readconsolering(xch, 100, true, true, 0x8000_0001),
      (r) => sysctl(r, 1, [0, 1, 1], [1, 1, 1], [4, 4, 0x8000_0001], [8, 8, HEAP], [16, 4, 100]),
    ],
  ];
  for (const release of RELEASES) {
    for (const [name, run, bytes] of rows) {
      const { xen, xch } = opened(release);
      xen.arena.bytes.fill(0xee, 64, 512);
      run(xch);
      assert.equal(xen.call.op, SYSCTL);
      assert.equal(operand(xen.call, 136), bytes(release), `${name} of ${release}`);
    }
  }
});

test('event channel calls send their bytes', () => {
  const rows: readonly (readonly [string, (xch: xc.XcInterface) => unknown, number, string])[] = [
    ['xc_evtchn_alloc_unbound', (x) => xc.xc_evtchn_alloc_unbound(x, 7, 0x1234), 6, pack(8, [0, 2, 7], [2, 2, 0x1234])],
    ['xc_evtchn_reset', (x) => xc.xc_evtchn_reset(x, 0x1234), 10, pack(2, [0, 2, 0x1234])],
    ['xc_evtchn_status', (x) => xc.xc_evtchn_status(x, 7, 0x8000_0001), 5, pack(24, [0, 2, 7], [4, 4, 0x8000_0001])],
  ];
  for (const [name, run, cmd, bytes] of rows) {
    const { xen, xch } = opened('4.17');
    xen.arena.bytes.fill(0xee, 64, 112);
    run(xch);
    assert.deepEqual([xen.call.op, xen.call.args[0]], [32, cmd], name);
    assert.equal(operand(xen.call, bytes.length / 2), bytes, name);
  }
  for (const release of RELEASES) {
    const { xen, xch } = opened(release);
    xc.xc_domain_set_virq_handler(xch, 7, xc.VIRQ_ARGO);
    assert.equal(operand(xen.call, 144), domctl(release, 66, 7, [0, 4, 11]));
  }
});

test('xc_evtchn_alloc_unbound gives the port, xc_evtchn_status what it is bound to', () => {
  const { xch } = opened('4.17', (call) => {
    call.view(call.args[1] as number, 24).setUint32(4, 0x8000_0001, true);
    return 0;
  });
  assert.equal(xc.xc_evtchn_alloc_unbound(xch, 7, 0), 0x8000_0001);
  const status = (code: number, dom: number, rest: number): xc.EvtchnStatus => {
    const { xch } = opened('4.17', (call) => {
      const view = call.view(call.args[1] as number, 24);
      view.setUint32(8, code, true);
      view.setUint32(12, 3, true);
      view.setUint32(16, dom, true);
      view.setUint32(20, rest, true);
      return 0;
    });
    return xc.xc_evtchn_status(xch, 7, 5);
  };
  assert.deepEqual(status(0, 0, 0), { status: 'closed', vcpu: 3 });
  assert.deepEqual(status(1, 9, 0), { status: 'unbound', vcpu: 3, dom: 9 });
  assert.deepEqual(status(2, 9, 8), { status: 'interdomain', vcpu: 3, dom: 9, port: 8 });
  assert.deepEqual(status(3, 9, 0), { status: 'pirq', vcpu: 3, pirq: 9 });
  assert.deepEqual(status(4, 11, 0), { status: 'virq', vcpu: 3, virq: 11 });
  assert.deepEqual(status(5, 0, 0), { status: 'ipi', vcpu: 3 });
  assert.throws(() => status(6, 0, 0), /status 6/);
});

test('xc_readconsolering reads a long ring in pieces, each from where the last ended', () => {
  const text = Buffer.from('x'.repeat(40_000));
  const asked: number[][] = [];
  const { xch } = opened('4.17', (call) => {
    const u = union(call);
    const count = u.getUint32(16, true);
    const index = u.getUint8(1) ? u.getUint32(4, true) : 0;
    asked.push([u.getUint8(1), index, count]);
    const piece = text.subarray(index, index + count);
    const to = call.view(Number(u.getBigUint64(8, true)), piece.length);
    piece.forEach((byte, i) => void to.setUint8(i, byte));
    u.setUint32(16, piece.length, true);
    u.setUint32(4, index + piece.length, true);
    return 0;
  });
  const { buffer, index } = xc.xc_readconsolering(xch, 1_000_000);
  assert.equal(buffer.length, 40_000);
  assert.equal(index, 40_000);
  assert.deepEqual(asked, [
    [0, 0, 16384],
    [1, 16384, 16384],
    [1, 32768, 16384],
  ]);
  assert.equal(xc.xc_readconsolering(xch, 20_000).buffer.length, 20_000);
});

test('xc_cputopoinfo asks how many there are, then decodes them', () => {
  const { xen, xch } = opened('4.17', (call) => {
    const u = union(call);
    const list = Number(u.getBigUint64(8, true));
    if (list === 0) u.setUint32(0, 3, true);
    else {
      const to = call.view(list, 36);
      const words = [1, 2, 3, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 4, 5, 0xffff_ffff];
      words.forEach((word, i) => void to.setUint32(i * 4, word, true));
    }
    return 0;
  });
  assert.deepEqual(xc.xc_cputopoinfo(xch), [{ core: 1, socket: 2, node: 3 }, null, { core: 4, socket: 5, node: null }]);
  assert.equal(xen.calls.length, 2);
});

test('xc_numainfo decodes sizes and distances; nodes that are not there are null', () => {
  const { xch } = opened('4.17', (call) => {
    const u = union(call);
    const sizes = Number(u.getBigUint64(8, true));
    u.setUint32(0, 3, true);
    if (sizes === 0) return 0;
    const to = call.view(sizes, 48);
    to.setBigUint64(0, 1n << 40n, true);
    to.setBigUint64(8, 5n, true);
    to.setBigUint64(16, 0xffff_ffffn, true);
    to.setBigUint64(32, 7n, true);
    const far = call.view(Number(u.getBigUint64(16, true)), 36);
    [10, 0xffff_ffff, 20, 0, 0, 0, 20, 0xffff_ffff, 10].forEach((word, i) => void far.setUint32(i * 4, word, true));
    return 0;
  });
  assert.deepEqual(xc.xc_numainfo(xch), [
    { memsize: 1n << 40n, memfree: 5n, distance: [10, null, 20] },
    null,
    { memsize: 7n, memfree: 0n, distance: [20, null, 10] },
  ]);
});

test('xc_getcpuinfo decodes as many as Xen told', () => {
  const { xch } = opened('4.17', (call) => {
    const u = union(call);
    call.view(Number(u.getBigUint64(8, true)), 16).setBigUint64(8, 0x1_0000_0000n, true);
    u.setUint32(16, 2, true);
    return 0;
  });
  assert.deepEqual(xc.xc_getcpuinfo(xch, 64), [{ idletime: 0n }, { idletime: 0x1_0000_0000n }]);
});

test('maps of processors', () => {
  const map = new Uint8Array(2);
  xc.xc_cpumap_setcpu(0, map);
  xc.xc_cpumap_setcpu(11, map);
  assert.deepEqual([...map], [1, 8]);
  assert.equal(xc.xc_cpumap_testcpu(11, map), true);
  xc.xc_cpumap_clearcpu(11, map);
  assert.equal(xc.xc_cpumap_testcpu(11, map), false);
  assert.throws(() => xc.xc_cpumap_setcpu(16, map), RangeError);
  assert.throws(() => xc.xc_cpumap_testcpu(-1, map), RangeError);
  assert.throws(() => xc.xc_cpumap_clearcpu(0, [0] as never), TypeError);
  assert.deepEqual([...map], [1, 0]);
});
