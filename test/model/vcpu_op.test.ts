/** domctls on vCPUs: the model's checks in Xen's order, and what they do. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { type GuestOptions, type ModelOptions, ModelXen, VcpuNotRunningError } from '#dist/model/index.js';

function made(guest: GuestOptions = {}, model: ModelOptions = {}): { xen: ModelXen; xch: xc.XcInterface; d: number } {
  const xen = new ModelXen(model);
  const { domid } = xen.createGuest({ vcpus: 2, memoryPages: 16, ...guest });
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }), d: domid };
}

/** A domain as it is created, before it has vCPUs, and after. */
function bare(): { xch: xc.XcInterface; d: number } {
  const xch = xc.xc_interface_open({ hypervisor: new ModelXen() });
  return { xch, d: xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 2 }) };
}

const code = (run: () => unknown): string => {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
};

describe('getvcpucontext and setvcpucontext', () => {
  for (const type of ['hvm', 'pv'] as const) {
    test(`what was set is read again, of an ${type.toUpperCase()} domain what Xen takes of it`, () => {
      const { xch, d } = made({ type });
      const before = xc.xc_vcpu_getcontext(xch, d, 1);
      assert.equal(before.flags, BigInt(xc.VGCF_i387_valid | xc.VGCF_online));
      const raw = before.raw.slice();
      raw[5] = 0x55;
      xc.xc_vcpu_setcontext(xch, d, 1, {
        ...before,
        user_regs: { ...before.user_regs, rip: 0xffff_8000_0000_1234n, rax: 7n, r15: 15n, cs: 0x10n },
        ctrlreg: before.ctrlreg.map((_, i) => BigInt(i) << 12n),
        debugreg: before.debugreg.map((_, i) => 0x100n + BigInt(i)),
        fs_base: 0x7000n,
        raw,
      });
      const after = xc.xc_vcpu_getcontext(xch, d, 1);
      const { rip, rax, r15, cs } = after.user_regs;
      assert.deepEqual([rip, rax, r15], [0xffff_8000_0000_1234n, 7n, 15n]);
      assert.deepEqual(after.debugreg, [0x100n, 0x101n, 0x102n, 0x103n, 0n, 0n, 0x106n, 0x107n]);
      assert.equal(after.raw[5], 0x55, 'the FPU');
      const pv = type === 'pv';
      assert.deepEqual([cs, after.ctrlreg[3], after.fs_base], pv ? [0x10n, 0x3000n, 0x7000n] : [0n, 0n, 0n]);
      assert.equal(xc.xc_vcpu_getcontext(xch, d, 0).user_regs.rip, 0n, 'the other vCPU is as it was');
    });
  }

  test('control registers of an HVM vCPU are those of its state', () => {
    const { xen, xch, d } = made();
    const stream = xc.xc_domain_hvm_getcontext(xch, d);
    const view = new DataView(stream.buffer);
    const cpu = 8 + 24 + 8;
    for (const [at, value] of [
      [656, 0x8005_0033n],
      [672, 0x1000n],
      [680, 0x6f0n],
      [840, 0xaaaan],
      [944, 0xbbbbn],
    ] as const)
      view.setBigUint64(cpu + at, value, true);
    xc.xc_domain_hvm_setcontext(xch, d, stream);
    const { ctrlreg, gs_base_kernel, gs_base_user } = xc.xc_vcpu_getcontext(xch, d, 0);
    assert.deepEqual(ctrlreg, [0x8005_0033n, 0n, 0n, 0x1000n, 0x6f0n, 0n, 0n, 0n]);
    assert.deepEqual([gs_base_kernel, gs_base_user], [0xaaaan, 0xbbbbn], 'in ring 0');
    assert.equal(xc.readHvmCpu(xch, d, 0).cr3, 0x1000n);
    assert.ok(xen.guest(d));
  });

  test('a vCPU is started, taken down and reset by them', () => {
    const { xch, d } = bare();
    xc.xc_domain_max_vcpus(xch, d, 2);
    assert.equal(
      code(() => xc.xc_vcpu_getcontext(xch, d, 0)),
      'ENODATA',
    );
    const { xch: other, d: model } = made();
    const context = xc.xc_vcpu_getcontext(other, model, 0);
    xc.xc_vcpu_setcontext(xch, d, 0, context);
    assert.equal(xc.xc_vcpu_getinfo(xch, d, 0).online, true);
    xc.xc_vcpu_setcontext(xch, d, 0, { ...context, flags: 0n });
    assert.equal(xc.xc_vcpu_getinfo(xch, d, 0).online, false);
    assert.equal(xc.xc_vcpu_getcontext(xch, d, 0).flags, BigInt(xc.VGCF_i387_valid), 'down, but it has a context');
    xc.xc_vcpu_setcontext(xch, d, 0, null);
    assert.equal(
      code(() => xc.xc_vcpu_getcontext(xch, d, 0)),
      'ENODATA',
    );
  });

  test('a vCPU that went down does not run until it is started again', () => {
    const { xen, xch, d } = made();
    const context = xc.xc_vcpu_getcontext(xch, d, 0);
    xc.xc_vcpu_setcontext(xch, d, 0, { ...context, flags: 0n });
    const vcpu = xen.guest(d)?.vcpus[0];
    assert.throws(() => vcpu?.read(0, 1), VcpuNotRunningError);
    xc.xc_vcpu_setcontext(xch, d, 0, context);
    assert.equal(vcpu?.read(0, 1).finished, true);
  });
});

describe('the errors of the calls on vCPUs', () => {
  const { xch, d } = made();
  const { xch: young, d: bareDomid } = bare();
  const pv = made({ type: 'pv' });
  const amd = made({}, { cpu: { vendor: 'amd' } });
  const STEP = xc.XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON;
  const rows: readonly (readonly [string, () => unknown, string])[] = [
    ['getcontext of no vCPU', () => xc.xc_vcpu_getcontext(xch, d, 2), 'EINVAL'],
    ['getcontext of the caller', () => xc.xc_vcpu_getcontext(xch, 0, 0), 'EINVAL'],
    ['getcontext of another vCPU of dom0', () => xc.xc_vcpu_getcontext(xch, 0, 1), 'ok'],
    ['getcontext of no domain', () => xc.xc_vcpu_getcontext(xch, 99, 0), 'ESRCH'],
    ['getcontext before there are vCPUs', () => xc.xc_vcpu_getcontext(young, bareDomid, 0), 'EINVAL'],
    ['setcontext of dom0', () => xc.xc_vcpu_setcontext(xch, 0, 1, null), 'EINVAL'],
    ['setcontext of no vCPU', () => xc.xc_vcpu_setcontext(xch, d, 2, null), 'EINVAL'],
    ['getinfo of no vCPU', () => xc.xc_vcpu_getinfo(xch, d, 2), 'EINVAL'],
    ['getinfo before there are vCPUs', () => xc.xc_vcpu_getinfo(young, bareDomid, 0), 'ESRCH'],
    ['extstate of no vCPU', () => xc.xc_vcpu_get_extstate(xch, d, 2), 'ESRCH'],
    ['extstate of the caller', () => xc.xc_vcpu_get_extstate(xch, 0, 0), 'EINVAL'],
    ['debugging of dom0', () => xc.xc_domain_setdebugging(xch, 0, true), 'EINVAL'],
    ['stepping no vCPU', () => xc.xc_domain_debug_control(xch, d, STEP, 2), 'EINVAL'],
    ['stepping a PV vCPU', () => xc.xc_domain_debug_control(pv.xch, pv.d, STEP, 0), 'EINVAL'],
    ['stepping without a trap flag', () => xc.xc_domain_debug_control(amd.xch, amd.d, STEP, 0), 'EOPNOTSUPP'],
    ['an unknown operation', () => xc.xc_domain_debug_control(xch, d, 2, 0), 'ENOSYS'],
    ['a record of a PV domain', () => xc.xc_domain_hvm_getcontext_partial(pv.xch, pv.d, 2, 0), 'EINVAL'],
    ['a record of no type', () => xc.xc_domain_hvm_getcontext_partial(xch, d, 0x7fff, 0), 'EINVAL'],
    ['the header as a record', () => xc.xc_domain_hvm_getcontext_partial(xch, d, 1, 0), 'EINVAL'],
    ['a record of no vCPU', () => xc.xc_domain_hvm_getcontext_partial(xch, d, 2, 2), 'ENOENT'],
    ['a record of dom0', () => xc.xc_domain_hvm_getcontext_partial(xch, 0, 2, 0), 'EINVAL'],
  ];
  for (const [what, run, expected] of rows) {
    test(`${what}: ${expected}`, () => {
      assert.equal(code(run), expected);
    });
  }
});

test('getvcpuinfo tells which vCPUs are up', () => {
  const { xen, xch, d } = made();
  assert.deepEqual(
    [0, 1].map((id) => xc.xc_vcpu_getinfo(xch, d, id).online),
    [true, true],
  );
  xen.guest(d)?.vcpus[0].halt();
  assert.deepEqual(
    [0, 1].map((id) => xc.xc_vcpu_getinfo(xch, d, id).online),
    [false, true],
  );
  assert.equal(xc.xc_vcpu_getinfo(xch, 0, 0).running, true, 'the caller');
});

test('extended state holds the FPU of the vCPU', () => {
  const { xch, d } = made();
  const context = xc.xc_vcpu_getcontext(xch, d, 0);
  const raw = context.raw.slice();
  raw.fill(0xab, 32, 42);
  xc.xc_vcpu_setcontext(xch, d, 0, { ...context, raw });
  const { buffer, xfeature_mask } = xc.xc_vcpu_get_extstate(xch, d, 0);
  assert.equal(xfeature_mask, 7n);
  assert.equal(buffer.length, 16 + 576);
  assert.deepEqual([...buffer.subarray(16 + 32, 16 + 42)], Array(10).fill(0xab));
});

test('a debugged domain is told as such', () => {
  const { xch, d } = made();
  assert.equal(xc.xc_domain_getinfo_single(xch, d).debugged, false);
  xc.xc_domain_setdebugging(xch, d, true);
  assert.equal(xc.xc_domain_getinfo_single(xch, d).debugged, true);
  xc.xc_domain_setdebugging(xch, d, false);
  assert.equal(xc.xc_domain_getinfo_single(xch, d).debugged, false);
});

test('stepping reports an event after each instruction, until it is switched off', () => {
  const { xen, xch, d } = made();
  const guest = xen.guest(d);
  assert.ok(guest);
  let steps = 0;
  guest.domain.params[28] = 0xfn;
  guest.domain.enableMonitor(() => {
    steps++;
    return {};
  });
  xc.xc_monitor_singlestep(xch, d, true);
  guest.vcpus[0].read(0, 1);
  assert.equal(steps, 0);
  xc.xc_domain_debug_control(xch, d, xc.XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON, 0);
  guest.vcpus[0].read(0, 1);
  guest.vcpus[0].read(0, 1);
  guest.vcpus[1]?.read(0, 1);
  assert.equal(steps, 2);
  xc.xc_domain_debug_control(xch, d, xc.XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, 0);
  guest.vcpus[0].read(0, 1);
  assert.equal(steps, 2);
});

test('a debugged domain is paused after each step, and dom0 is told', () => {
  const { xen, xch, d } = made();
  const vcpu = xen.guest(d)?.vcpus[0];
  using events = xen.eventChannels();
  const port = events.bindVirq(xc.VIRQ_DEBUGGER);
  xc.xc_domain_setdebugging(xch, d, true);
  vcpu?.read(0, 1);
  assert.ok(events.pending() < 0);
  xc.xc_domain_debug_control(xch, d, xc.XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON, 0);
  vcpu?.read(0, 1);
  assert.equal(events.pending(), port);
  assert.throws(() => vcpu?.read(0, 1), VcpuNotRunningError);
  xc.xc_domain_unpause(xch, d);
  assert.equal(vcpu?.read(0, 1).finished, true);
});
