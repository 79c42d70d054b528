/** The calls on vCPUs: what they send and what they make of the answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { DOMCTL, domctl, opened, operand } from './encoding.js';
import { hex } from './fake.js';

const D = 0x1234;
/** Where the arena's first list lies for the hypervisor. */
const HEAP = 0x7f12_3456_7200;

interface Row {
  readonly name: string;
  readonly run: (xch: xc.XcInterface) => unknown;
  readonly bytes: (release: Release) => string;
}

const ROWS: readonly Row[] = [
  {
    name: 'xc_vcpu_getcontext',
    run: (xch) => xc.xc_vcpu_getcontext(xch, D, 3),
    bytes: (r) => domctl(r, 13, D, [0, 4, 3], [8, 8, HEAP]),
  },
  {
    name: 'xc_vcpu_setcontext, reset',
    run: (xch) => xc.xc_vcpu_setcontext(xch, D, 3, null),
    bytes: (r) => domctl(r, 12, D, [0, 4, 3]),
  },
  {
    name: 'xc_vcpu_getinfo',
    run: (xch) => xc.xc_vcpu_getinfo(xch, D, 3),
    bytes: (r) => domctl(r, 14, D, [0, 4, 3]),
  },
  {
    name: 'xc_domain_setdebugging',
    run: (xch) => xc.xc_domain_setdebugging(xch, D, true),
    bytes: (r) => domctl(r, 18, D, [0, 1, 1]),
  },
  {
    name: 'xc_domain_debug_control',
    run: (xch) => xc.xc_domain_debug_control(xch, D, xc.XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON, 3),
    bytes: (r) => domctl(r, 54, D, [0, 4, 1], [4, 4, 3]),
  },
  {
    name: 'xc_domain_hvm_getcontext_partial',
    run: (xch) => xc.xc_domain_hvm_getcontext_partial(xch, D, 2, 3),
    bytes: (r) => domctl(r, 55, D, [0, 4, 2], [4, 4, 3], [8, 8, 4096], [16, 8, HEAP]),
  },
];

for (const { name, run, bytes } of ROWS) {
  test(`${name} sends the bytes of each release`, () => {
    for (const release of RELEASES) {
      const { xen, xch } = opened(release);
      xen.arena.bytes.fill(0xee, 64, 512);
      const before = xen.arena.largestFree;
      run(xch);
      assert.equal(xen.call.op, DOMCTL);
      assert.equal(operand(xen.call, 144), bytes(release), release);
      assert.equal(xen.arena.largestFree, before, 'nothing stays allocated');
    }
  });
}

/** A structure whose byte at i is i * 7 + 1, so that every field differs. */
const pattern = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 7 + 1) & 0xff);
const u64 = (bytes: Uint8Array, at: number): bigint => new DataView(bytes.buffer).getBigUint64(at, true);

test('xc_vcpu_getcontext decodes each register from its place', () => {
  const bytes = pattern(5168);
  const { xch } = opened('4.17', (call) => {
    const struct = call.view(call.args[0] as number, 144);
    const to = call.view(Number(struct.getBigUint64(24, true)), 5168);
    bytes.forEach((byte, i) => {
      to.setUint8(i, byte);
    });
    return 0;
  });
  const context = xc.xc_vcpu_getcontext(xch, D, 0);
  assert.deepEqual(context.raw, bytes);
  const { user_regs: user } = context;
  assert.equal(user.r15, u64(bytes, 520));
  assert.equal(user.rbp, u64(bytes, 552));
  assert.equal(user.rax, u64(bytes, 600));
  assert.equal(user.rdi, u64(bytes, 632));
  assert.equal(user.rip, u64(bytes, 648));
  assert.equal(user.cs, u64(bytes, 656) & 0xffffn);
  assert.equal(user.rflags, u64(bytes, 664));
  assert.equal(user.rsp, u64(bytes, 672));
  assert.equal(user.gs, u64(bytes, 712) & 0xffffn);
  assert.equal(context.flags, u64(bytes, 512));
  assert.deepEqual(
    context.ctrlreg,
    [0, 1, 2, 3, 4, 5, 6, 7].map((i) => u64(bytes, 4984 + i * 8)),
  );
  assert.equal(context.debugreg[7], u64(bytes, 5104));
  assert.equal(context.gdt_frames.length, 16);
  assert.equal(context.gdt_frames[15], u64(bytes, 4952));
  assert.equal(context.vm_assist, u64(bytes, 5136));
  assert.equal(context.fs_base, u64(bytes, 5144));
  assert.equal(context.gs_base_user, u64(bytes, 5160));
});

test('xc_vcpu_setcontext sends back the structure, with what was changed', () => {
  const bytes = pattern(5168);
  let sent = '';
  const { xch } = opened('4.17', (call) => {
    const struct = call.view(call.args[0] as number, 144);
    const address = Number(struct.getBigUint64(24, true));
    if (struct.getUint32(0, true) === 12) sent = hex(call.at(address, 5168));
    else bytes.forEach((byte, i) => void call.view(address, 5168).setUint8(i, byte));
    return 0;
  });
  const context = xc.xc_vcpu_getcontext(xch, D, 0);
  xc.xc_vcpu_setcontext(xch, D, 0, context);
  assert.equal(sent, hex(bytes), 'unchanged');
  xc.xc_vcpu_setcontext(xch, D, 0, { ...context, user_regs: { ...context.user_regs, rip: 5n }, fs_base: 6n });
  const changed = bytes.slice();
  new DataView(changed.buffer).setBigUint64(648, 5n, true);
  new DataView(changed.buffer).setBigUint64(5144, 6n, true);
  assert.equal(sent, hex(changed));
});

test('xc_vcpu_getinfo decodes the answer', () => {
  const { xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    view.setUint8(20, 1);
    view.setUint8(21, 0);
    view.setUint8(22, 1);
    view.setBigUint64(24, 0x1_0000_0001n, true);
    view.setUint32(32, 9, true);
    return 0;
  });
  assert.deepEqual(xc.xc_vcpu_getinfo(xch, D, 5), {
    vcpu: 5,
    online: true,
    blocked: false,
    running: true,
    cpu_time: 0x1_0000_0001n,
    cpu: 9,
  });
});

test('xc_vcpu_get_extstate asks for the size, then for the state', () => {
  const { xen, xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    const buffer = Number(view.getBigUint64(40, true));
    if (buffer === 0) view.setBigUint64(24, 7n, true);
    else call.view(buffer, 16).setUint8(0, 3);
    view.setBigUint64(32, buffer === 0 ? 64n : 48n, true);
    return 0;
  });
  const state = xc.xc_vcpu_get_extstate(xch, D, 3);
  assert.equal(state.xfeature_mask, 7n);
  assert.equal(state.buffer.length, 48);
  assert.equal(state.buffer[0], 3);
  const [first, second] = xen.calls;
  assert.ok(first && second);
  assert.equal(operand(first, 144), domctl('4.17', 63, D, [0, 4, 3]));
  assert.equal(operand(second, 144), domctl('4.17', 63, D, [0, 4, 3], [8, 8, 7], [16, 8, 64], [24, 8, HEAP]));
});

test('xc_domain_hvm_getcontext_partial gives the record, also one that is larger than most', () => {
  for (const size of [1032, 4096, 9000]) {
    const { xen, xch } = opened('4.17', (call) => {
      const view = call.view(call.args[0] as number, 144);
      const room = Number(view.getBigUint64(24, true));
      const buffer = Number(view.getBigUint64(32, true));
      if (buffer !== 0 && room < size) return -105;
      view.setBigUint64(24, BigInt(size), true);
      if (buffer !== 0) call.view(buffer, size).setUint8(size - 1, 9);
      return 0;
    });
    const record = xc.xc_domain_hvm_getcontext_partial(xch, D, 16, 0);
    assert.equal(record.length, size);
    assert.equal(record[size - 1], 9);
    assert.equal(xen.calls.length, size > 4096 ? 3 : 1);
  }
});

test('a record that grows between the calls is ENOBUFS, not an endless question', () => {
  const { xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    view.setBigUint64(24, 5000n, true);
    return Number(view.getBigUint64(32, true)) === 0 ? 0 : -105;
  });
  assert.throws(() => xc.xc_domain_hvm_getcontext_partial(xch, D, 16, 0), { name: 'XenError', code: 'ENOBUFS' });
});

test('readHvmCpu decodes the registers of a record', () => {
  const bytes = pattern(1032);
  const { xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    const to = call.view(Number(view.getBigUint64(32, true)), 1032);
    bytes.forEach((byte, i) => void to.setUint8(i, byte));
    view.setBigUint64(24, 1032n, true);
    return 0;
  });
  const cpu = xc.readHvmCpu(xch, D, 0);
  assert.equal(cpu.rax, u64(bytes, 512));
  assert.equal(cpu.rip, u64(bytes, 640));
  assert.equal(cpu.cr3, u64(bytes, 672));
  assert.equal(cpu.cs_sel, u64(bytes, 736) & 0xffff_ffffn);
  assert.equal(cpu.msr_efer, u64(bytes, 992));
  assert.equal(cpu.flags, u64(bytes, 1024) & 0xffff_ffffn);
  assert.deepEqual(cpu.fpu_regs, bytes.slice(0, 512));
});
