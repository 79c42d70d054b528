/** The calls on frames, grants, sharing, trace and injected events: what they send, what they make of answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { domctl, opened, operand, pack } from './encoding.js';
import { hex } from './fake.js';

const D = 0x1234;
const GFN = 0x1_2345_6789;
const HEAP = 0x7f12_3456_7200;

test('memory operations send their bytes', () => {
  const rows: readonly (readonly [string, (xch: xc.XcInterface) => unknown, number, string])[] = [
    [
      'xc_domain_add_to_physmap',
      (x) => xc.xc_domain_add_to_physmap(x, D, xc.XENMAPSPACE_gmfn, GFN, 0xffff_ffff_ffffn),
      7,
      pack(24, [0, 2, D], [4, 4, 2], [8, 8, GFN], [16, 8, 0xffff_ffff_ffffn]),
    ],
    [
      'xc_domain_add_to_physmap_batch',
      (x) => xc.xc_domain_add_to_physmap_batch(x, D, 9, xc.XENMAPSPACE_gmfn_foreign, [1, 2, 3], [4, 5, 6]),
      23,
      pack(32, [0, 2, D], [2, 2, 4], [4, 2, 3], [6, 2, 9], [8, 8, HEAP], [16, 8, HEAP + 24], [24, 8, HEAP + 48]),
    ],
    [
      'xc_domain_remove_from_physmap',
      (x) => xc.xc_domain_remove_from_physmap(x, D, GFN),
      15,
      pack(16, [0, 2, D], [8, 8, GFN]),
    ],
    [
      'xc_memshr_fork',
      (x) => xc.xc_memshr_fork(x, 7, D, true, true),
      22,
      pack(48, [0, 1, 9], [2, 2, D], [8, 2, 7], [10, 2, 3]),
    ],
    [
      'xc_memshr_fork_reset',
      (x) => xc.xc_memshr_fork_reset(x, D, true, false),
      22,
      pack(48, [0, 1, 10], [2, 2, D], [10, 2, 4]),
    ],
  ];
  for (const [name, run, cmd, bytes] of rows) {
    const { xen, xch } = opened('4.17');
    xen.arena.bytes.fill(0xee, 64, 112);
    const before = xen.arena.largestFree;
    run(xch);
    assert.deepEqual([xen.call.op, xen.call.args[0]], [12, cmd], name);
    assert.equal(operand(xen.call, bytes.length / 2), bytes, name);
    assert.equal(xen.arena.largestFree, before);
  }
});

test('xc_memshr_fork_reset asks a Xen before 4.17 for both, and refuses less', () => {
  const { xen, xch } = opened('4.16');
  xc.xc_memshr_fork_reset(xch, D, true, true);
  assert.equal(operand(xen.call, 48), pack(48, [0, 1, 10], [2, 2, D]));
  for (const [state, memory] of [
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    const late = { name: 'XenError', code: 'EOPNOTSUPP', hint: /since Xen 4\.17; this is 4\.16/ };
    assert.throws(() => xc.xc_memshr_fork_reset(xch, D, state, memory), late);
  }
  assert.equal(xen.calls.length, 1);
});

test('xc_domain_add_to_physmap_batch sends long lists in pieces, and gathers the errors', () => {
  const sizes: number[] = [];
  const { xch } = opened('4.17', (call) => {
    const struct = call.view(call.args[1] as number, 32);
    const size = struct.getUint16(4, true);
    sizes.push(size);
    if (size === 0) return 0;
    const first = Number(call.view(Number(struct.getBigUint64(8, true)), 8).getBigUint64(0, true));
    call.view(Number(struct.getBigUint64(24, true)), size * 4).setInt32(0, -first - 1, true);
    return 0;
  });
  const list = Array.from({ length: 2500 }, (_, i) => i);
  const errors = xc.xc_domain_add_to_physmap_batch(xch, D, 0, xc.XENMAPSPACE_gmfn, list, list);
  assert.deepEqual(sizes, [1024, 1024, 452]);
  assert.deepEqual([errors.length, errors[0], errors[1], errors[1024], errors[2048]], [2500, -1, 0, -1025, -2049]);
  assert.equal(xc.xc_domain_add_to_physmap_batch(xch, D, 0, 2, [], []).length, 0);
  assert.equal(sizes.length, 4, 'an empty list is Xen’s to answer');
  assert.throws(() => xc.xc_domain_add_to_physmap_batch(xch, D, 0, 2, [1], []), RangeError);
});

test('domctls for sharing, trace and pointers send the bytes of each release', () => {
  const rows: readonly (readonly [string, (xch: xc.XcInterface) => unknown, (r: Release) => string, Release?])[] = [
    ['xc_memshr_control', (x) => xc.xc_memshr_control(x, D, true), (r) => domctl(r, 57, D, [1, 1, 1])],
    ['xc_domain_get_guest_width', (x) => xc.xc_domain_get_guest_width(x, D), (r) => domctl(r, 36, D)],
    ['xc_vmtrace_enable', (x) => xc.xc_vmtrace_enable(x, D, 3), (r) => domctl(r, 84, D, [0, 4, 1], [4, 4, 3]), '4.15'],
    [
      'xc_vmtrace_disable',
      (x) => xc.xc_vmtrace_disable(x, D, 3),
      (r) => domctl(r, 84, D, [0, 4, 2], [4, 4, 3]),
      '4.15',
    ],
    [
      'xc_vmtrace_reset_and_enable',
      (x) => xc.xc_vmtrace_reset_and_enable(x, D, 3),
      (r) => domctl(r, 84, D, [0, 4, 3], [4, 4, 3]),
      '4.15',
    ],
    [
      'xc_vmtrace_output_position',
      (x) => xc.xc_vmtrace_output_position(x, D, 3),
      (r) => domctl(r, 84, D, [0, 4, 4], [4, 4, 3]),
      '4.15',
    ],
    [
      'xc_vmtrace_get_option',
      (x) => xc.xc_vmtrace_get_option(x, D, 3, 0x570),
      (r) => domctl(r, 84, D, [0, 4, 5], [4, 4, 3], [8, 8, 0x570]),
      '4.15',
    ],
    [
      'xc_vmtrace_set_option',
      (x) => xc.xc_vmtrace_set_option(x, D, 3, 0x570, 0x8_0000_0001n),
      (r) => domctl(r, 84, D, [0, 4, 6], [4, 4, 3], [8, 8, 0x570], [16, 8, 0x8_0000_0001n]),
      '4.15',
    ],
  ];
  for (const [name, run, bytes, since = '4.14'] of rows) {
    for (const release of RELEASES) {
      const { xen, xch } = opened(release);
      if (releaseIndex(release) < releaseIndex(since)) {
        assert.throws(() => run(xch), { code: 'EOPNOTSUPP', hint: /since Xen 4\.15; this is 4\.14/ }, name);
        assert.equal(xen.calls.length, 0);
        continue;
      }
      xen.arena.bytes.fill(0xee, 64, 512);
      run(xch);
      assert.equal(operand(xen.call, 144), bytes(release), `${name} of ${release}`);
    }
  }
});

test('the answers of trace and pointer width are decoded', () => {
  const { xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    if (view.getUint32(0, true) === 36) view.setUint32(16, 32, true);
    else view.setBigUint64(32, 0x1_0000_0001n, true);
    return 0;
  });
  assert.equal(xc.xc_domain_get_guest_width(xch, D), 4);
  assert.equal(xc.xc_vmtrace_output_position(xch, D, 0), 0x1_0000_0001n);
  assert.equal(xc.xc_vmtrace_get_option(xch, D, 0, 0x570n), 0x1_0000_0001n);
});

test('grant table calls send their bytes; statuses of Xen are errors', () => {
  const size = (status: number): (() => xc.GrantTableSize) => {
    const { xch } = opened('4.17', (call) => {
      const view = call.view(call.args[1] as number, 16);
      view.setUint32(4, 3, true);
      view.setUint32(8, 64, true);
      view.setInt16(12, status, true);
      return 0;
    });
    return () => xc.xc_gnttab_query_size(xch, D);
  };
  assert.deepEqual(size(0)(), { nr_frames: 3, max_nr_frames: 64 });
  assert.throws(size(-2), { code: 'ESRCH' });
  assert.throws(size(-8), { code: 'EPERM' });
  assert.throws(size(-1), { code: 'EINVAL' });
  for (const [run, cmd, bytes] of [
    [(x: xc.XcInterface) => xc.xc_gnttab_query_size(x, D), 6, 16],
    [(x: xc.XcInterface) => xc.xc_gnttab_get_version(x, D), 10, 8],
  ] as const) {
    const { xen, xch } = opened('4.17');
    xen.arena.bytes.fill(0xee, 64, 112);
    run(xch);
    assert.deepEqual([xen.call.op, xen.call.args[0], xen.call.args[2]], [20, cmd, 1]);
    assert.equal(hex(xen.call.at(xen.call.args[1] as number, bytes)), pack(bytes, [0, 2, D]));
  }
});

test('xc_hvm_inject_trap sends a device model operation', () => {
  const { xen, xch } = opened('4.17');
  xc.xc_hvm_inject_trap(xch, D, 3, 14, xc.XEN_DMOP_EVENT_hw_exc, 6, 2, 0xffff_8000_0000_1234n);
  const [op] = xen.dmOps;
  assert.equal(op?.domid, D);
  const cr2 = 0xffff_8000_0000_1234n;
  const bytes = pack(32, [0, 4, 13], [8, 4, 3], [12, 1, 14], [13, 1, 3], [14, 1, 2], [16, 4, 6], [24, 8, cr2]);
  assert.deepEqual(op?.buffers.map(hex), [bytes]);
  xen.result = -16;
  assert.throws(() => xc.xc_hvm_inject_trap(xch, D, 3, 14, 3, 6, 0, 0), {
    name: 'XenError',
    code: 'EBUSY',
    syscall: 'xc_hvm_inject_trap',
    domid: D,
  });
});

test('resources are mapped and measured through the port', () => {
  const { xen, xch } = opened('4.17');
  xc.xenforeignmemory_map_resource(xch, D, xc.XENMEM_resource_vmtrace_buf, 3, 1, 2, xc.PROT_READ).close();
  xen.result = 17;
  assert.equal(xc.xenforeignmemory_resource_size(xch, D, xc.XENMEM_resource_grant_table, 1), 17);
  assert.deepEqual(xen.resources, [
    [D, 2, 3, 1, 2, 1],
    [D, 1, 1],
  ]);
  xen.result = -22;
  assert.throws(() => xc.xenforeignmemory_resource_size(xch, D, 1, 1), { code: 'EINVAL', domid: D });
});
