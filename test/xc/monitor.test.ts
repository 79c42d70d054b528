/** The calls of monitoring and memory access: what they send, and the set-up of the ring with everything undone. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { DOMCTL, domctl, opened, operand, type Place, pack } from './encoding.js';
import { type Call, FakeXen, fakeMapping } from './fake.js';

const MEMORY_OP = 12;
const D = 0x1234;

interface Row {
  readonly name: string;
  readonly run: (xch: xc.XcInterface) => unknown;
  readonly bytes: (release: Release) => string;
  readonly since?: Release;
}

const monitor = (name: string, run: Row['run'], op: number, event: number, ...places: readonly Place[]): Row => ({
  name,
  run,
  bytes: (release) => domctl(release, 77, D, [0, 4, op], [4, 4, event], ...places),
});

const control = (name: string, run: Row['run'], op: number, domid = D): Row => ({
  name,
  run,
  bytes: (release) => domctl(release, 56, domid, [0, 4, op], [4, 4, 2]),
});

const DOMCTLS: readonly Row[] = [
  control('xc_vm_event_get_version', (xch) => xc.xc_vm_event_get_version(xch), 3, 0x7ff4),
  control('xc_monitor_disable', (xch) => xc.xc_monitor_disable(xch, D), 1),
  control('xc_monitor_resume', (xch) => xc.xc_monitor_resume(xch, D), 2),
  monitor('xc_monitor_get_capabilities', (xch) => xc.xc_monitor_get_capabilities(xch, D), 2, 0),
  monitor(
    'xc_monitor_write_ctrlreg',
    (xch) => xc.xc_monitor_write_ctrlreg(xch, D, xc.VM_EVENT_X86_CR4, true, true, 0x8877_6655_4433_2211n, true),
    0,
    0,
    [8, 1, 2],
    [9, 1, 1],
    [10, 1, 1],
    [16, 8, 0x8877_6655_4433_2211n],
  ),
  monitor(
    'xc_monitor_write_ctrlreg, off',
    (xch) => xc.xc_monitor_write_ctrlreg(xch, D, xc.VM_EVENT_X86_XCR0, false, false, 0, false),
    1,
    0,
    [8, 1, 3],
  ),
  monitor(
    'xc_monitor_mov_to_msr',
    (xch) => xc.xc_monitor_mov_to_msr(xch, D, 0xc000_0082, true, true),
    0,
    1,
    [8, 4, 0xc000_0082],
    [12, 1, 1],
  ),
  monitor('xc_monitor_singlestep', (xch) => xc.xc_monitor_singlestep(xch, D, true), 0, 2),
  monitor('xc_monitor_software_breakpoint', (xch) => xc.xc_monitor_software_breakpoint(xch, D, false), 1, 3),
  monitor(
    'xc_monitor_guest_request',
    (xch) => xc.xc_monitor_guest_request(xch, D, true, true, true),
    0,
    4,
    [8, 1, 1],
    [9, 1, 1],
  ),
  monitor(
    'xc_monitor_guest_request, off: user space does not count',
    (xch) => xc.xc_monitor_guest_request(xch, D, false, true, true),
    1,
    4,
    [8, 1, 1],
  ),
  monitor('xc_monitor_debug_exceptions', (xch) => xc.xc_monitor_debug_exceptions(xch, D, true, true), 0, 5, [8, 1, 1]),
  monitor('xc_monitor_cpuid', (xch) => xc.xc_monitor_cpuid(xch, D, true), 0, 6),
  monitor('xc_monitor_privileged_call', (xch) => xc.xc_monitor_privileged_call(xch, D, true), 0, 7),
  monitor('xc_monitor_descriptor_access', (xch) => xc.xc_monitor_descriptor_access(xch, D, true), 0, 9),
  monitor('xc_monitor_emul_unimplemented', (xch) => xc.xc_monitor_emul_unimplemented(xch, D, false), 1, 10),
  monitor('xc_monitor_inguest_pagefault', (xch) => xc.xc_monitor_inguest_pagefault(xch, D, true), 0, 11),
  {
    ...monitor('xc_monitor_vmexit', (xch) => xc.xc_monitor_vmexit(xch, D, true, true), 0, 12, [8, 1, 1]),
    since: '4.17',
  },
  { ...monitor('xc_monitor_io', (xch) => xc.xc_monitor_io(xch, D, true), 0, 13), since: '4.18' },
  monitor('xc_monitor_control_registers', (xch) => xc.xc_monitor_control_registers(xch, D), 4, 0),
  monitor('xc_monitor_emulate_each_rep', (xch) => xc.xc_monitor_emulate_each_rep(xch, D, true), 3, 1),
  monitor('xc_monitor_emulate_each_rep, off', (xch) => xc.xc_monitor_emulate_each_rep(xch, D, false), 3, 0),
];

for (const { name, run, bytes, since } of DOMCTLS) {
  test(`${name} sends the bytes of each release`, () => {
    for (const release of RELEASES) {
      const { xen, xch } = opened(release);
      if (since && releaseIndex(release) < releaseIndex(since)) {
        assert.throws(() => run(xch), { code: 'EOPNOTSUPP' }, release);
        assert.equal(xen.calls.length, 0);
        continue;
      }
      run(xch);
      assert.equal(xen.call.op, DOMCTL);
      assert.equal(operand(xen.call, 144), bytes(release), release);
    }
  });
}

test('xc_monitor_get_capabilities and xc_vm_event_get_version give what Xen wrote', () => {
  const { xch } = opened('4.17', ({ args, view }) => {
    const structure = view(args[0] as number, 144);
    const [offset, value] = structure.getUint32(0, true) === 77 ? [20, 0x3d7b] : [24, 7];
    structure.setUint32(offset, value, true);
    return 0;
  });
  assert.equal(xc.xc_monitor_get_capabilities(xch, D), 0x3d7b);
  assert.equal(xc.xc_vm_event_get_version(xch), 7);
});

test('xc_set_mem_access and xc_get_mem_access send 32 bytes, and get gives the release’s access', () => {
  for (const [release, rPw, byDefault] of [
    ['4.17', null, 10],
    ['4.20', 10, 11],
  ] as const) {
    const { xen, xch } = opened(release);
    xc.xc_set_mem_access(xch, D, xc.XENMEM_access.rx, 0x1_0000_0005n, 0xffff_ffff);
    xc.xc_set_mem_access(xch, D, xc.XENMEM_access.default, xc.INVALID_GFN, 0);
    const sent = xen.calls.map((call) => [call.op, call.args[0], operand(call, 32)]);
    assert.deepEqual(sent, [
      [MEMORY_OP, 21, pack(32, [1, 1, 5], [2, 2, D], [4, 4, 0xffff_ffff], [8, 8, 0x1_0000_0005n])],
      [MEMORY_OP, 21, pack(32, [1, 1, byDefault], [2, 2, D], [8, 8, 0xffff_ffff_ffff_ffffn])],
    ]);
    xen.calls.length = 0;
    let answer = 4;
    xen.answer = ({ args, view }) => {
      view(args[1] as number, 32).setUint8(1, answer);
      return 0;
    };
    assert.equal(xc.xc_get_mem_access(xch, D, 7), xc.XENMEM_access.x);
    assert.equal(operand(xen.call, 32), pack(32, [0, 1, 1], [2, 2, D], [8, 8, 7]));
    answer = byDefault;
    assert.equal(xc.xc_get_mem_access(xch, D, 7), xc.XENMEM_access.default);
    if (rPw === null) continue;
    answer = rPw;
    assert.equal(xc.xc_get_mem_access(xch, D, 7), xc.XENMEM_access.r_pw);
  }
});

test('xc_set_mem_access_multi sends lists in pieces of 4,096', () => {
  const { xen, xch } = opened('4.17');
  const pages = Array.from({ length: 5000 }, (_, i) => 0x100 + i);
  xc.xc_set_mem_access_multi(xch, D, new Uint8Array(5000).fill(5), pages);
  assert.equal(xen.calls.length, 2);
  for (const [index, count] of [4096, 904].entries()) {
    const call = xen.calls[index] as Call;
    const head = new DataView(call.at(call.args[1] as number, 32).buffer);
    assert.deepEqual([head.getUint8(0), head.getUint16(2, true), head.getUint32(4, true)], [4, D, count]);
    const [frames, access] = [Number(head.getBigUint64(16, true)), Number(head.getBigUint64(24, true))];
    const first = new DataView(call.at(frames, 8 * count).buffer).getBigUint64(0, true);
    assert.equal(first, BigInt(0x100 + index * 4096));
    assert.deepEqual([...new Set(call.at(access, count))], [5]);
  }
});

/** A Xen on which a ring can be set up; `refuse` names the step that fails. */
const STEPS = ['pause', 'param', 'populate', 'map', 'enable', 'decrease', 'unpause'] as const;
type Step = (typeof STEPS)[number];

const RING_GFN = 0xfeff2;
const PORT = 9;

function ringed(options: { refuse?: Step; populated?: boolean; gfn?: number; port?: number } = {}) {
  const xen = new FakeXen({ version: '4.17' });
  const { refuse, populated = false, gfn = RING_GFN, port = PORT } = options;
  const log: string[] = [];
  const page = fakeMapping(1);
  page.bytes.fill(0xee);
  let refused = false;
  const step = (name: string, done: () => number): number => {
    if (name === refuse && !refused) {
      refused = true;
      log.push(`${name} fails`);
      return name === 'populate' || name === 'decrease' ? 0 : -errno.ENOMEM;
    }
    log.push(name);
    return done();
  };
  xen.answer = ({ op, args, view, at }) => {
    if (op === 34) {
      return step('param', () => {
        view(args[1] as number, 16).setBigUint64(8, BigInt(gfn), true);
        return 0;
      });
    }
    if (op === MEMORY_OP) {
      const list = new DataView(at(args[1] as number, 32).buffer);
      const frames = new DataView(at(Number(list.getBigUint64(0, true)), 8).buffer);
      assert.equal(Number(frames.getBigUint64(0, true)), gfn);
      return step(args[0] === 6 ? 'populate' : 'decrease', () => 1);
    }
    const structure = view(args[0] as number, 144);
    switch (structure.getUint32(0, true)) {
      case 3:
        return step('pause', () => 0);
      case 4:
        return step('unpause', () => 0);
      case 61: {
        assert.equal(structure.getBigUint64(16, true), 1n);
        const types = view(Number(structure.getBigUint64(24, true)), 8);
        assert.equal(Number(types.getBigUint64(0, true)), gfn);
        types.setBigUint64(0, populated ? 0n : 0xf000_0000n, true);
        return 0;
      }
      default:
        if (structure.getUint32(16, true) === 1) return step('disable', () => 0);
        return step('enable', () => {
          assert.equal(page.bytes[0], 0xee, 'the page is not touched before Xen took it');
          structure.setUint32(24, port, true);
          return 0;
        });
    }
  };
  xen.mapping = () => {
    const rc = step('map', () => 0);
    if (rc < 0) throw new xc.XenError('mmap', rc);
    return page;
  };
  return { xen, log, page, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

test('xc_monitor_enable sets the ring up in the order of libxc, with its counters at their start', () => {
  const { xen, xch, log, page } = ringed();
  const { port, ring } = xc.xc_monitor_enable(xch, D);
  assert.deepEqual(log, ['pause', 'param', 'populate', 'map', 'enable', 'decrease', 'unpause']);
  assert.equal(port, PORT);
  assert.equal(ring, page);
  assert.equal(page.closed, false);
  assert.deepEqual(xen.mapped, [{ domid: D, gfns: [RING_GFN], prot: 3 }]);
  const counters = new Uint32Array(page.bytes.buffer, 0, 16);
  assert.deepEqual([...counters], [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('xc_monitor_enable leaves out populating a frame that has memory', () => {
  const { xch, log } = ringed({ populated: true });
  xc.xc_monitor_enable(xch, D);
  assert.deepEqual(log, ['pause', 'param', 'map', 'enable', 'decrease', 'unpause']);
});

const UNDONE: Readonly<Record<Step, readonly string[]>> = {
  pause: [],
  param: ['unpause'],
  populate: ['unpause'],
  map: ['decrease', 'unpause'],
  enable: ['decrease', 'unpause'],
  decrease: ['disable', 'decrease', 'unpause'],
  unpause: ['disable', 'decrease', 'unpause'],
};

for (const refuse of STEPS) {
  test(`xc_monitor_enable undoes everything when ${refuse} fails`, () => {
    const { xch, log, page } = ringed({ refuse });
    const code = refuse === 'populate' || refuse === 'decrease' ? 'EBUSY' : 'ENOMEM';
    assert.throws(() => xc.xc_monitor_enable(xch, D), { name: 'XenError', code });
    assert.deepEqual(log.slice(log.indexOf(`${refuse} fails`) + 1), UNDONE[refuse]);
    assert.equal(page.closed, STEPS.indexOf(refuse) > STEPS.indexOf('map'));
  });
}

test('xc_monitor_enable refuses a domain without a ring frame, and one that is being torn down', () => {
  const without = ringed({ gfn: 0 });
  assert.throws(() => xc.xc_monitor_enable(without.xch, D), { code: 'EOPNOTSUPP', syscall: 'xc_monitor_enable' });
  assert.deepEqual(without.log, ['pause', 'param', 'unpause']);
  const dying = ringed({ port: 0 });
  assert.throws(() => xc.xc_monitor_enable(dying.xch, D), { code: 'ESRCH', hint: 'the domain is being torn down' });
  assert.deepEqual(dying.log.slice(-2), ['decrease', 'unpause']);
  assert.equal(dying.page.closed, true);
});

test('xc_monitor_enable on a domain that has a listener names what frees it', () => {
  const { xch, xen } = ringed();
  const { answer } = xen;
  xen.answer = (call) => {
    const enable = call.op === DOMCTL && call.view(call.args[0] as number, 144).getUint32(0, true) === 56;
    return enable ? -errno.EBUSY : answer(call);
  };
  assert.throws(() => xc.xc_monitor_enable(xch, D), { code: 'EBUSY', hint: /xenctrl monitor recover DOMID/ });
});
