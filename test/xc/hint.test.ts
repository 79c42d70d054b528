/** Errors name the missing prerequisite: on the software Xen in every state it can be in, and on scripted ones. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';
import { type Call, FakeXen } from './fake.js';

const STATE = (xch: xc.XcInterface, domid: number): void => void xc.xc_altp2m_get_domain_state(xch, domid);
const ON = (xch: xc.XcInterface, domid: number): void => xc.xc_altp2m_set_domain_state(xch, domid, true);
const CREATE = (xch: xc.XcInterface, domid: number): void => void xc.xc_altp2m_create_view(xch, domid, 7);
const SHOW = (xch: xc.XcInterface, domid: number): void => xc.xc_altp2m_set_visibility(xch, domid, 1, true);
const ASK = (xch: xc.XcInterface, domid: number): void => void xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0);
const NOTIFY = (xch: xc.XcInterface, domid: number): void => xc.xc_altp2m_set_vcpu_enable_notify(xch, domid, 0, 1);
const MODE = (xch: xc.XcInterface, domid: number): void => xc.xc_hvm_param_set(xch, domid, xc.HVM_PARAM_ALTP2M, 1);

interface Row {
  readonly missing: string;
  readonly model?: ModelOptions;
  readonly guest?: GuestOptions;
  readonly releases?: readonly Release[];
  readonly prepare?: (xch: xc.XcInterface, domid: number) => void;
  readonly calls: readonly ((xch: xc.XcInterface, domid: number) => void)[];
  readonly code: string;
  readonly hint: RegExp;
}

const EARLY = RELEASES.slice(0, RELEASES.indexOf('4.19'));
const LATE = RELEASES.slice(RELEASES.indexOf('4.19'));

const ROWS: readonly Row[] = [
  {
    missing: 'altp2m=1 on the command line',
    model: { altp2m: false },
    calls: [STATE, ON, CREATE, SHOW, ASK],
    code: 'EOPNOTSUPP',
    hint: /^the hypervisor was not booted with altp2m=1: .*GRUB_CMDLINE_XEN/,
  },
  {
    missing: 'an Intel processor',
    model: { cpu: { vendor: 'amd' } },
    calls: [STATE, ON, CREATE, SHOW],
    code: 'EOPNOTSUPP',
    hint: /AMD processor.*: use a host with an Intel CPU/,
  },
  {
    missing: 'an HVM guest',
    guest: { type: 'pv' },
    calls: [STATE, ON, CREATE, SHOW],
    code: 'EOPNOTSUPP',
    hint: /^a PV guest: .*type="pvh"/,
  },
  {
    missing: 'an altp2m mode, where it can still be set',
    releases: EARLY,
    calls: [STATE, ON],
    code: 'EINVAL',
    hint: /^the domain has no altp2m mode .*altp2m="external" in its xl\.cfg.*xc_hvm_param_set\(xch, 1, HVM_PARAM_ALTP2M/,
  },
  {
    missing: 'an altp2m mode, where it is a matter of creation',
    releases: LATE,
    calls: [STATE, ON],
    code: 'EINVAL',
    hint: /^the domain has no altp2m mode .*altp2m="external" in its xl\.cfg.*since Xen 4\.19 the mode is chosen at creation only/,
  },
  {
    missing: 'an altp2m mode, for the calls that need it switched on',
    calls: [CREATE, SHOW, ASK, NOTIFY],
    code: 'EOPNOTSUPP',
    hint: /^the domain has no altp2m mode .*altp2m="external"/,
  },
  {
    missing: 'the state on',
    guest: { altp2m: 'external' },
    calls: [CREATE, SHOW, ASK, NOTIFY],
    code: 'EOPNOTSUPP',
    hint: /^altp2m is not switched on for the domain: xc_altp2m_set_domain_state\(xch, 1, true\)$/,
  },
  {
    missing: 'virtualisation exceptions',
    model: { cpu: { ve: false } },
    guest: { altp2m: 'external', memoryPages: 16 },
    prepare: ON,
    calls: [NOTIFY, (xch, domid) => xc.xc_altp2m_set_vcpu_disable_notify(xch, domid, 0)],
    code: 'EOPNOTSUPP',
    hint: /#VE/,
  },
  {
    missing: 'a mode that can be changed',
    guest: { altp2m: 'external' },
    releases: EARLY,
    calls: [MODE],
    code: 'EEXIST',
    hint: /another altp2m mode already.*altp2m="external"/,
  },
  {
    missing: 'a writable mode',
    releases: LATE,
    calls: [MODE],
    code: 'EEXIST',
    hint: /since Xen 4\.19 the altp2m mode is chosen when the domain is created.*altp2m="external"/,
  },
  {
    missing: 'a guest without nested virtualisation',
    guest: { nestedVirt: true },
    releases: EARLY,
    calls: [MODE],
    code: 'EINVAL',
    hint: /without nested virtualisation \(nestedhvm=0/,
  },
];

for (const { missing, model = {}, guest = {}, releases = RELEASES, prepare, calls, code, hint } of ROWS) {
  test(`the hint says what is missing: ${missing}`, () => {
    for (const release of releases) {
      const xen = new ModelXen({ ...model, release });
      const { domid } = xen.createGuest({ altp2m: 'disabled', ...guest });
      const xch = xc.xc_interface_open({ hypervisor: xen });
      prepare?.(xch, domid);
      for (const call of calls) {
        assert.throws(() => call(xch, domid), { name: 'XenError', code, domid, hint }, `${release} ${call}`);
      }
    }
  });
}

test('everyday refusals have a short text and cost no further call', () => {
  const xen = new ModelXen({ release: '4.17' });
  const { domid } = xen.createGuest({ altp2m: 'external', memoryPages: 16 });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  xc.xc_altp2m_set_domain_state(xch, domid, true);
  const { hypercall } = xen;
  let calls = 0;
  xen.hypercall = (...args) => {
    calls++;
    return hypercall.apply(xen, args);
  };
  const rows: readonly (readonly [() => void, string, RegExp])[] = [
    [() => xc.xc_altp2m_switch_to_view(xch, domid, 5), 'EINVAL', /no such view, or it is hidden/],
    [() => xc.xc_altp2m_destroy_view(xch, domid, 0), 'EBUSY', /view 0/],
    [() => xc.xc_altp2m_set_visibility(xch, domid, 5, true), 'EINVAL', /no such view/],
    [() => xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 9), 'EINVAL', /no such vCPU/],
    [() => xc.xc_altp2m_change_gfn(xch, domid, 0, 1, 0x9999), 'ESRCH', /no ordinary memory/],
    [() => xc.xc_altp2m_create_view(xch, domid, 99), 'EINVAL', /every view is in use, or/],
    [() => xc.xc_altp2m_create_view(xch, 999, 7), 'ESRCH', /no such domain/],
  ];
  for (const [act, code, hint] of rows) {
    calls = 0;
    assert.throws(act, { code, hint });
    assert.equal(calls, 1, `${act}`);
  }
});

test('the message has the call, the domain, the errno and the hint', () => {
  const xen = new ModelXen({ release: '4.17' });
  const { domid } = xen.createGuest({ altp2m: 'external' });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  assert.throws(() => CREATE(xch, domid), {
    message:
      'xc_altp2m_create_view on domain 1: EOPNOTSUPP: altp2m is not switched on for the domain: xc_altp2m_set_domain_state(xch, 1, true)',
  });
});

/** A Xen 4.17 in which altp2m calls answer `rc`, and the others as a healthy Xen with an altp2m guest would. */
function scripted(rc: number, version = '4.17', pool = 65536): { xen: FakeXen; xch: xc.XcInterface } {
  const xen = new FakeXen({ version });
  xen.answer = (call: Call) => {
    const address = call.args.at(-1) as number;
    if (call.op === 34 && call.args[0] === 25) {
      const domid = call.view(address, 80).getUint16(8, true);
      return domid === 0x7ff4 ? -3 : rc;
    }
    if (call.op === 34) call.view(address, 16).setBigUint64(8, 2n, true);
    if (call.op === 36) {
      const view = call.view(address, 144);
      if (view.getUint32(0, true) === 85) view.setBigUint64(16, BigInt(pool), true);
      else {
        view.setUint16(16, view.getUint16(8, true), true);
        view.setUint32(20, 0x102, true);
      }
    }
    return 0;
  };
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

test('a Xen that is too old for a call is named with the release that has it', () => {
  const rows: readonly (readonly [string, (xch: xc.XcInterface) => void, RegExp])[] = [
    ['4.13', (xch) => xc.xc_altp2m_set_visibility(xch, 1, 1, true), /since Xen 4\.14; this is 4\.13$/],
    ['4.13', (xch) => void xc.xc_altp2m_set_suppress_ve_multi(xch, 1, 1, 0, 9, true), /since Xen 4\.14/],
    ['4.12', (xch) => void xc.xc_altp2m_get_vcpu_p2m_idx(xch, 1, 0), /since Xen 4\.13; this is 4\.12$/],
    ['4.11', (xch) => xc.xc_altp2m_set_suppress_ve(xch, 1, 1, 0, true), /since Xen 4\.12; this is 4\.11$/],
    ['4.11', (xch) => void xc.xc_altp2m_get_mem_access(xch, 1, 1, 0), /since Xen 4\.12/],
  ];
  for (const [version, act, hint] of rows) {
    const { xen, xch } = scripted(-95, version);
    assert.throws(() => act(xch), { code: 'EOPNOTSUPP', hint });
    assert.equal(xen.calls.length, 1);
  }
});

test('ENOMEM tells the size of the paging pool and how to raise it', () => {
  const { xch } = scripted(-12);
  const hint = /no memory for the view's tables \(its paging pool has 64 KiB\).*xc_set_paging_mempool_size\(xch, 5, /;
  assert.throws(() => ON(xch, 5), { code: 'ENOMEM', hint });
  const older = scripted(-12, '4.15').xch;
  assert.throws(() => CREATE(older, 5), { code: 'ENOMEM', hint: /: a larger shadow_memory \(MiB\) in its xl\.cfg$/ });
});

test('EPERM tells who may', () => {
  const { xch } = scripted(-1);
  const hint = /may not use altp2m on this domain \(its altp2m mode is external\): run this in dom0 as root/;
  assert.throws(() => SHOW(xch, 5), { code: 'EPERM', hint });
});

test('EINVAL of the state with a mode means nested virtualisation', () => {
  const { xch } = scripted(-22);
  assert.throws(() => ON(xch, 5), { code: 'EINVAL', hint: /nested virtualisation.*nestedhvm=0/ });
});

test('a hint that cannot be found never hides the error', () => {
  for (const rc of [-95, -22, -1, -12]) {
    const { xen, xch } = scripted(rc);
    const { answer } = xen;
    let calls = 0;
    xen.answer = (call) => {
      if (calls++ > 0) throw new Error('the machine failed');
      return answer(call);
    };
    assert.throws(() => ON(xch, 5), { name: 'XenError', errno: rc, syscall: 'xc_altp2m_set_domain_state', domid: 5 });
  }
});

test('without privilege the hint says as much as can be known', () => {
  const { xen, xch } = scripted(-95);
  xen.answer = (call) => {
    if (call.op === 17 && call.args[0] !== 0) {
      new Uint8Array(call.view(call.args[1] as number, 16).buffer, (call.args[1] as number) - xen.arena.base).set(
        new TextEncoder().encode('<denied>'),
      );
      return 0;
    }
    return call.op === 34 && call.args[0] === 25 ? -95 : -1;
  };
  assert.throws(() => ON(xch, 5), { code: 'EOPNOTSUPP', hint: /mostly the hypervisor was not booted with altp2m=1/ });
});

const byName = ({ prerequisites }: xc.Altp2mDiagnosis): Record<string, boolean | null> =>
  Object.fromEntries(prerequisites.map(({ name, ok }) => [name, ok]));

test('diagnoseAltp2m finds nothing missing on a Xen that has all', () => {
  for (const release of RELEASES) {
    const xen = new ModelXen({ release });
    const { domid } = xen.createGuest({ altp2m: 'mixed', memoryPages: 16 });
    const xch = xc.xc_interface_open({ hypervisor: xen });
    const host = { 'xen-release': true, 'hypervisor-hvm': true, processor: true, 'boot-option': true };
    assert.deepEqual(byName(xc.diagnoseAltp2m(xch)), { ...host, 'hypervisor-altp2m': true });
    const { 'paging-pool': _, ...found } = byName(xc.diagnoseAltp2m(xch, domid));
    assert.deepEqual(found, {
      ...host,
      'hypervisor-altp2m': true,
      domain: true,
      'domain-hvm': true,
      'domain-hap': true,
      'altp2m-mode': true,
    });
  }
});

test('diagnoseAltp2m changes nothing', () => {
  const xen = new ModelXen({ release: '4.17' });
  const { domid } = xen.createGuest({ altp2m: 'mixed', memoryPages: 16 });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  const before = JSON.stringify(xc.xc_domain_getinfo_single(xch, domid), (_, value) => String(value));
  xc.diagnoseAltp2m(xch, domid);
  assert.equal(xc.xc_altp2m_get_domain_state(xch, domid), false);
  assert.equal(
    JSON.stringify(xc.xc_domain_getinfo_single(xch, domid), (_, value) => String(value)),
    before,
  );
});

test('what is missing has a fix, what is there has none', () => {
  const rows: readonly (readonly [ModelOptions, GuestOptions | null])[] = [
    [{ altp2m: false }, {}],
    [{ cpu: { vendor: 'amd' } }, {}],
    [{ cpu: { hap: false }, shadow: true }, { hap: false }],
    [{}, { type: 'pv' }],
    [{}, null],
  ];
  for (const [model, guest] of rows) {
    const xen = new ModelXen(model);
    const domid = guest ? xen.createGuest(guest).domid : 999;
    const { prerequisites } = xc.diagnoseAltp2m(xc.xc_interface_open({ hypervisor: xen }), domid);
    assert.ok(prerequisites.some(({ ok }) => ok === false));
    for (const { name, ok, detail, fix } of prerequisites) {
      assert.match(detail, /^\S.*[^.]$/);
      if (ok === true) assert.equal(fix, undefined, name);
      if (ok === false) assert.match(fix ?? '', /\S/, name);
    }
  }
});

test('diagnoseAltp2m reads Xen’s options as Xen does', () => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['', false],
    ['altp2m', true],
    ['placeholder altp2m=1 dom0_mem=2G', true],
    ['altp2m=on', true],
    ['altp2m=yes', true],
    ['altp2m=true', true],
    ['altp2m=enable', true],
    ['altp2m=0', false],
    ['altp2m=off', false],
    ['no-altp2m', false],
    ['no-altp2m=0', true],
    ['altp2m=1 altp2m=0', false],
    ['altp2m=0 altp2m', true],
    ['altp2m=1 altp2m=maybe', true],
    ['altp2mx=1 xaltp2m=1', false],
  ];
  for (const [commandLine, ok] of rows) {
    const { xen, xch } = scripted(0);
    const { answer } = xen;
    xen.answer = (call) => {
      if (call.op !== 17 || call.args[0] !== xc.XENVER_commandline) return answer(call);
      const view = call.view(call.args[1] as number, 1024);
      new Uint8Array(view.buffer, view.byteOffset).set(new TextEncoder().encode(commandLine));
      return 0;
    };
    assert.equal(byName(xc.diagnoseAltp2m(xch))['boot-option'], ok, commandLine);
  }
});

test('diagnoseAltp2m tells Intel from AMD by the CPUID words of physinfo', () => {
  for (const [word, bit, vendor] of [
    [3, 2, /AMD/],
    [1, 5, /Intel processor with EPT/],
  ] as const) {
    const { xen, xch } = scripted(-95);
    const { answer } = xen;
    xen.answer = (call) => {
      if (call.op === 34 && call.args[0] === 25) return -95;
      if (call.op !== 35) return answer(call);
      const view = call.view(call.args[0] as number, 136);
      view.setUint32(8 + 28, 9, true);
      view.setUint32(8 + 80 + word * 4, 1 << bit, true);
      return 0;
    };
    const found = xc.diagnoseAltp2m(xch).prerequisites.find(({ name }) => name === 'processor');
    assert.match(found?.detail ?? '', vendor);
  }
});
