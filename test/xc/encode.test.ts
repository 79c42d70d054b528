/** What each call sends, byte by byte. Offsets and sizes are written out here, not taken from the tables of src/abi. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { DOMCTL, domctl, opened, operand, type Place, pack, SYSCTL, VERSIONS } from './encoding.js';
import type { Call } from './fake.js';

interface Row {
  readonly name: string;
  readonly run: (xch: xc.XcInterface) => unknown;
  readonly op: number;
  /** Arguments before the pointer. */
  readonly args?: readonly number[];
  readonly bytes: (release: Release) => string;
  readonly since?: Release;
}

const UUID = '00112233-4455-6677-8899-aabbccddeeff';

const ROWS: readonly Row[] = [
  {
    name: 'xc_domain_pause',
    run: (xch) => xc.xc_domain_pause(xch, 7),
    op: DOMCTL,
    bytes: (r) => domctl(r, 3, 7),
  },
  {
    name: 'xc_domain_unpause',
    run: (xch) => xc.xc_domain_unpause(xch, 7),
    op: DOMCTL,
    bytes: (r) => domctl(r, 4, 7),
  },
  {
    name: 'xc_domain_destroy',
    run: (xch) => xc.xc_domain_destroy(xch, 0x7fef),
    op: DOMCTL,
    bytes: (r) => domctl(r, 2, 0x7fef),
  },
  {
    name: 'xc_domain_max_vcpus',
    run: (xch) => xc.xc_domain_max_vcpus(xch, 7, 0x80000001),
    op: DOMCTL,
    bytes: (r) => domctl(r, 15, 7, [0, 4, 0x80000001]),
  },
  {
    name: 'xc_domain_setmaxmem',
    run: (xch) => xc.xc_domain_setmaxmem(xch, 7, 0x1_2345_6789),
    op: DOMCTL,
    bytes: (r) => domctl(r, 11, 7, [0, 8, 0x1_2345_6789]),
  },
  {
    name: 'xc_domain_setmaxmem, bigint',
    run: (xch) => xc.xc_domain_setmaxmem(xch, 7, 0xffff_ffff_ffff_fffen),
    op: DOMCTL,
    bytes: (r) => domctl(r, 11, 7, [0, 8, 0xffff_ffff_ffff_fffen]),
  },
  {
    name: 'xc_domain_sethandle',
    run: (xch) => xc.xc_domain_sethandle(xch, 7, UUID),
    op: DOMCTL,
    bytes: (r) => domctl(r, 17, 7, [0, 8, 0x7766554433221100n], [8, 8, 0xffeeddccbbaa9988n]),
  },
  {
    name: 'xc_domain_set_access_required',
    run: (xch) => xc.xc_domain_set_access_required(xch, 7, true),
    op: DOMCTL,
    bytes: (r) => domctl(r, 64, 7, [0, 1, 1]),
  },
  {
    name: 'xc_get_paging_mempool_size',
    run: (xch) => xc.xc_get_paging_mempool_size(xch, 7),
    op: DOMCTL,
    bytes: (r) => domctl(r, 85, 7),
    since: '4.17',
  },
  {
    name: 'xc_set_paging_mempool_size',
    run: (xch) => xc.xc_set_paging_mempool_size(xch, 7, 8 << 20),
    op: DOMCTL,
    bytes: (r) => domctl(r, 86, 7, [0, 8, 8 << 20]),
    since: '4.17',
  },
  {
    name: 'xc_physinfo',
    run: (xch) => xc.xc_physinfo(xch),
    op: SYSCTL,
    bytes: (r) => pack(136, [0, 4, 3], [4, 4, VERSIONS[r][1]]),
  },
  {
    name: 'xc_hvm_param_set',
    run: (xch) => xc.xc_hvm_param_set(xch, 0x1234, 35, 2),
    op: 34,
    args: [0],
    bytes: () => pack(16, [0, 2, 0x1234], [4, 4, 35], [8, 8, 2]),
  },
  {
    name: 'xc_hvm_param_get',
    run: (xch) => xc.xc_hvm_param_get(xch, 7, 28),
    op: 34,
    args: [1],
    bytes: () => pack(16, [0, 2, 7], [4, 4, 28]),
  },
  {
    name: 'xc_domain_shutdown',
    run: (xch) => xc.xc_domain_shutdown(xch, 7, xc.SHUTDOWN_suspend),
    op: 29,
    args: [4],
    bytes: () => pack(8, [0, 2, 7], [4, 4, 2]),
  },
  {
    name: 'xc_domain_maximum_gpfn',
    run: (xch) => xc.xc_domain_maximum_gpfn(xch, 7),
    op: 12,
    args: [14],
    bytes: () => pack(2, [0, 2, 7]),
  },
];

/** An altp2m operation's 80 bytes; `places` are offsets in the whole. */
const altp2m = (cmd: number, ...places: readonly Place[]): string =>
  pack(80, [0, 4, 1], [4, 4, cmd], [8, 2, 0x7ff0], ...places);

const accessDefault = (release: Release): number => (releaseIndex(release) >= releaseIndex('4.20') ? 11 : 10);
const D = xc.DOMID_SELF;
const GFN = 0x1_2345_6789;

/** Name, call, and the operation for each release. */
const ALTP2M: readonly (readonly [string, (xch: xc.XcInterface) => unknown, (release: Release) => string])[] = [
  ['xc_altp2m_get_domain_state', (xch) => xc.xc_altp2m_get_domain_state(xch, D), () => altp2m(1)],
  ['xc_altp2m_set_domain_state', (xch) => xc.xc_altp2m_set_domain_state(xch, D, true), () => altp2m(2, [16, 1, 1])],
  [
    'xc_altp2m_set_vcpu_enable_notify',
    (xch) => xc.xc_altp2m_set_vcpu_enable_notify(xch, D, 3, GFN),
    () => altp2m(3, [16, 4, 3], [24, 8, GFN]),
  ],
  [
    'xc_altp2m_set_vcpu_disable_notify',
    (xch) => xc.xc_altp2m_set_vcpu_disable_notify(xch, D, 3),
    () => altp2m(13, [16, 4, 3]),
  ],
  [
    'xc_altp2m_create_view',
    (xch) => xc.xc_altp2m_create_view(xch, D, xc.XENMEM_access.default),
    (release) => altp2m(4, [18, 2, accessDefault(release)]),
  ],
  ['xc_altp2m_destroy_view', (xch) => xc.xc_altp2m_destroy_view(xch, D, 0xfffe), () => altp2m(5, [16, 2, 0xfffe])],
  ['xc_altp2m_switch_to_view', (xch) => xc.xc_altp2m_switch_to_view(xch, D, 9), () => altp2m(6, [16, 2, 9])],
  [
    'xc_altp2m_set_mem_access',
    (xch) => xc.xc_altp2m_set_mem_access(xch, D, 9, xc.INVALID_GFN, xc.XENMEM_access.default),
    (release) => altp2m(7, [16, 2, 9], [18, 2, accessDefault(release)], [24, 8, -1]),
  ],
  [
    'xc_altp2m_get_mem_access',
    (xch) => xc.xc_altp2m_get_mem_access(xch, D, 9, GFN),
    () => altp2m(12, [16, 2, 9], [24, 8, GFN]),
  ],
  [
    'xc_altp2m_change_gfn',
    (xch) => xc.xc_altp2m_change_gfn(xch, D, 9, GFN, xc.INVALID_GFN),
    () => altp2m(8, [16, 2, 9], [24, 8, GFN], [32, 8, -1]),
  ],
  [
    'xc_altp2m_set_suppress_ve',
    (xch) => xc.xc_altp2m_set_suppress_ve(xch, D, 9, GFN, true),
    () => altp2m(10, [16, 2, 9], [18, 1, 1], [24, 8, GFN]),
  ],
  [
    'xc_altp2m_get_suppress_ve',
    (xch) => xc.xc_altp2m_get_suppress_ve(xch, D, 9, GFN),
    () => altp2m(11, [16, 2, 9], [24, 8, GFN]),
  ],
  [
    'xc_altp2m_set_suppress_ve_multi',
    (xch) => xc.xc_altp2m_set_suppress_ve_multi(xch, D, 9, GFN, GFN + 5, true),
    () => altp2m(15, [16, 2, 9], [18, 1, 1], [24, 8, GFN], [32, 8, GFN + 5]),
  ],
  ['xc_altp2m_get_vcpu_p2m_idx', (xch) => xc.xc_altp2m_get_vcpu_p2m_idx(xch, D, 3), () => altp2m(14, [16, 4, 3])],
  [
    'xc_altp2m_set_visibility',
    (xch) => xc.xc_altp2m_set_visibility(xch, D, 9, true),
    () => altp2m(16, [16, 2, 9], [18, 1, 1]),
  ],
];

for (const [name, run, bytes] of ALTP2M) {
  test(`${name} sends the bytes of each release`, () => {
    for (const release of RELEASES) {
      const { xen, xch } = opened(release);
      // what an altp2m call left in the operand must not show
      xen.arena.bytes.fill(0xee, 64, 64 + 48);
      run(xch);
      assert.deepEqual([xen.call.op, xen.call.args[0]], [34, 25]);
      assert.equal(operand(xen.call, 80), bytes(release), release);
    }
  });
}

test('XENMEM_access.r_pw is 10 since Xen 4.20 and refused before', () => {
  for (const release of RELEASES) {
    const { xen, xch } = opened(release);
    const act = (): number => xc.xc_altp2m_create_view(xch, D, xc.XENMEM_access.r_pw);
    if (releaseIndex(release) < releaseIndex('4.20')) {
      assert.throws(act, { name: 'RangeError', message: new RegExp(`since Xen 4\\.20; this is ${release}`) });
      continue;
    }
    act();
    assert.equal(operand(xen.call, 80), altp2m(4, [18, 2, 10]));
  }
});

for (const { name, run, op, args = [], bytes, since = '4.14' } of ROWS) {
  test(`${name} sends the bytes of each release`, () => {
    for (const release of RELEASES.filter((one) => releaseIndex(one) >= releaseIndex(since))) {
      const { xen, xch } = opened(release);
      // what other calls left in the operand must not show
      xen.arena.bytes.fill(0xee, 64, 512);
      run(xch);
      const { call } = xen;
      assert.equal(call.op, op, release);
      assert.deepEqual(call.args.slice(0, -1), args, release);
      const expected = bytes(release);
      assert.equal(operand(call, expected.length / 2), expected, release);
    }
  });
}

test('an altp2m call after a domctl sends the same bytes as before it', () => {
  const { xen, xch } = opened('4.17');
  xc.xc_altp2m_set_visibility(xch, 7, 3, true);
  xc.xc_domain_setmaxmem(xch, 7, 0xffff_ffff_ffff_ffffn);
  xc.xc_physinfo(xch);
  xc.xc_altp2m_set_visibility(xch, 7, 3, true);
  const sent = xen.calls.filter(({ op }) => op === 34).map((call) => operand(call, 80));
  assert.equal(sent.length, 2);
  assert.equal(sent[0], sent[1]);
  assert.equal(sent[0], pack(80, [0, 4, 1], [4, 4, 16], [8, 2, 7], [16, 2, 3], [18, 1, 1]));
});

/** Where createdomain's fields are, by the first release that has the layout. */
const CREATE: readonly (readonly [Release, Readonly<Record<string, readonly [number, 2 | 4]>>])[] = [
  ['4.14', { emulation_flags: [44, 4] }],
  ['4.15', { vmtrace_size: [44, 4], emulation_flags: [48, 4], misc_flags: [52, 4] }],
  ['4.16', { grant_opts: [44, 4], vmtrace_size: [48, 4], emulation_flags: [52, 4], misc_flags: [56, 4] }],
  [
    '4.17',
    { grant_opts: [44, 4], vmtrace_size: [48, 4], cpupool_id: [52, 4], emulation_flags: [56, 4], misc_flags: [60, 4] },
  ],
  [
    '4.19',
    {
      grant_opts: [44, 4],
      opts: [48, 4],
      vmtrace_size: [52, 4],
      cpupool_id: [56, 4],
      emulation_flags: [60, 4],
      misc_flags: [64, 4],
    },
  ],
  [
    '4.21',
    {
      grant_opts: [44, 4],
      opts: [48, 2],
      nr: [50, 2],
      vmtrace_size: [52, 4],
      cpupool_id: [56, 4],
      emulation_flags: [60, 4],
      misc_flags: [64, 4],
    },
  ],
];

function createBytes(release: Release, domid: number, values: Readonly<Record<string, number>>): string {
  const layout = CREATE.findLast(([since]) => releaseIndex(since) <= releaseIndex(release))?.[1] ?? {};
  const common: Place[] = [
    [0, 4, values['ssidref'] ?? 0],
    [4, 8, values['handle'] ? 0x7766554433221100n : 0],
    [12, 8, values['handle'] ? 0xffeeddccbbaa9988n : 0],
    [20, 4, values['flags'] ?? 0],
    [24, 4, values['iommu_opts'] ?? 0],
    [28, 4, values['max_vcpus'] ?? 0],
    [32, 4, values['max_evtchn_port'] ?? 1023],
    [36, 4, values['max_grant_frames'] ?? -1],
    [40, 4, values['max_maptrack_frames'] ?? -1],
  ];
  const own = Object.entries(layout).map(([name, [offset, width]]): Place => [offset, width, values[name] ?? 0]);
  return domctl(release, 1, domid, ...common, ...own);
}

test('xc_domain_create sends the defaults of each release', () => {
  for (const release of RELEASES) {
    const { xen, xch } = opened(release, (call) => {
      call.view(call.args[0] as number, 144).setUint16(8, 42, true);
      return 0;
    });
    assert.equal(xc.xc_domain_create(xch, 0, { flags: xc.XEN_DOMCTL_CDF_hvm, max_vcpus: 2 }), 42);
    const expected = { flags: 1, max_vcpus: 2, grant_opts: 1, emulation_flags: xc.XEN_X86_EMU_LAPIC };
    assert.equal(operand(xen.call, 144), createBytes(release, 0, expected), release);
  }
});

test('xc_domain_create sends every setting that the release has', () => {
  for (const release of RELEASES) {
    const { xen, xch } = opened(release);
    const since = (first: Release): boolean => releaseIndex(release) >= releaseIndex(first);
    const values: Record<string, number> = {
      ssidref: 5,
      handle: 1,
      flags: 3,
      iommu_opts: 1,
      max_vcpus: 4,
      max_evtchn_port: 0xffff_ffff,
      max_grant_frames: 64,
      max_maptrack_frames: 1024,
      emulation_flags: 0x3ff,
      ...(since('4.15') && { vmtrace_size: 65536, misc_flags: 1 }),
      ...(since('4.16') && { grant_opts: 2 }),
      ...(since('4.17') && { cpupool_id: 3 }),
      ...(since('4.19') && { opts: 2, nr: 10 }),
      ...(since('4.21') && { nr: 512 }),
    };
    xc.xc_domain_create(xch, 9, {
      flags: 3,
      max_vcpus: 4,
      ssidref: 5,
      handle: UUID,
      iommu_opts: 1,
      max_evtchn_port: 0xffff_ffff,
      max_grant_frames: 64,
      max_maptrack_frames: 1024,
      grant_opts: values['grant_opts'],
      vmtrace_size: values['vmtrace_size'],
      cpupool_id: values['cpupool_id'],
      altp2m: since('4.19') ? { opts: xc.XEN_ALTP2M_external, nr: values['nr'] } : undefined,
      arch: { emulation_flags: 0x3ff, misc_flags: values['misc_flags'] },
    });
    assert.equal(operand(xen.call, 144), createBytes(release, 9, values), release);
  }
});

test('xc_domain_create gives a domain with an altp2m mode ten views', () => {
  for (const [release, opts, nr] of [
    ['4.20', 2, 0],
    ['4.21', 2, 10],
  ] as const) {
    const { xen, xch } = opened(release);
    xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1, altp2m: { opts } });
    const expected = { flags: 3, max_vcpus: 1, grant_opts: 1, emulation_flags: 1, opts, nr };
    assert.equal(operand(xen.call, 144), createBytes(release, 0, expected));
  }
});

test('xc_domain_create refuses what the release cannot express, by its name', () => {
  const rows: readonly (readonly [Release, Partial<xc.DomainConfig>, RegExp])[] = [
    ['4.14', { vmtrace_size: 4096 }, /config\.vmtrace_size .* since Xen 4\.15; this is 4\.14$/],
    ['4.14', { arch: { misc_flags: 1 } }, /config\.arch\.misc_flags .* since Xen 4\.15; this is 4\.14$/],
    ['4.15', { grant_opts: 2 }, /config\.grant_opts .* since Xen 4\.16; this is 4\.15$/],
    ['4.15', { flags: xc.XEN_DOMCTL_CDF_vpmu }, /XEN_DOMCTL_CDF_vpmu .* since Xen 4\.16; this is 4\.15$/],
    ['4.16', { cpupool_id: 1 }, /config\.cpupool_id .* since Xen 4\.17; this is 4\.16$/],
    ['4.18', { altp2m: { opts: 1 } }, /config\.altp2m\.opts .* since Xen 4\.19; this is 4\.18: .*xc_hvm_param_set/],
    ['4.14', { altp2m: { opts: 2 } }, /config\.altp2m\.opts .* since Xen 4\.19; this is 4\.14/],
    ['4.20', { altp2m: { opts: 2, nr: 64 } }, /config\.altp2m\.nr .* since Xen 4\.21; this is 4\.20/],
    ['4.19', { altp2m: { opts: 0, nr: 10 } }, /config\.altp2m\.nr .* since Xen 4\.21; this is 4\.19/],
  ];
  for (const [release, config, message] of rows) {
    const { xen, xch } = opened(release);
    const act = (): number => xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1, ...config });
    assert.throws(act, (error) => error instanceof RangeError && message.test(error.message), `${release} ${message}`);
    assert.equal(xen.calls.length, 0);
  }
});

test('xc_domain_create takes settings whose value an older release has anyway', () => {
  const { xen, xch } = opened('4.14');
  const none = { grant_opts: 0, vmtrace_size: 0, cpupool_id: 0, altp2m: { opts: 0 }, arch: { misc_flags: 0 } };
  xc.xc_domain_create(xch, 0, { flags: 0, max_vcpus: 1, ...none });
  assert.equal(operand(xen.call, 144), createBytes('4.14', 0, { max_vcpus: 1 }));
});

test('the reservation calls send their lists in pieces of 4,096 extents', () => {
  const frames = Array.from({ length: 5000 }, (_, i) => i + 0x1_0000_0000);
  const seen: { cmd: number; nr: number; order: number; flags: number; domid: number; first: bigint; last: bigint }[] =
    [];
  const { xen, xch } = opened('4.17', (call) => {
    const view = call.view(call.args[1] as number, 32);
    const nr = Number(view.getBigUint64(8, true));
    const list = call.view(Number(view.getBigUint64(0, true)), nr * 8);
    seen.push({
      cmd: call.args[0] as number,
      nr,
      order: view.getUint32(16, true),
      flags: view.getUint32(20, true),
      domid: view.getUint16(24, true),
      first: list.getBigUint64(0, true),
      last: list.getBigUint64((nr - 1) * 8, true),
    });
    return nr;
  });
  const before = xen.arena.largestFree;
  assert.equal(xc.xc_domain_populate_physmap(xch, 7, 9, 1 << 17, frames), 5000);
  xc.xc_domain_populate_physmap_exact(xch, 7, 9, 1 << 17, frames);
  assert.equal(xc.xc_domain_decrease_reservation(xch, 7, 9, BigUint64Array.from(frames, BigInt)), 5000);
  xc.xc_domain_decrease_reservation_exact(xch, 7, 9, frames.map(BigInt));
  const piece = (cmd: number, flags: number, start: number, nr: number): (typeof seen)[number] => {
    const first = BigInt(frames[start] as number);
    return { cmd, nr, order: 9, flags, domid: 7, first, last: first + BigInt(nr - 1) };
  };
  const expected = [6, 6, 1, 1].flatMap((cmd) => {
    const flags = cmd === 6 ? 1 << 17 : 0;
    return [piece(cmd, flags, 0, 4096), piece(cmd, flags, 4096, 904)];
  });
  assert.deepEqual(seen, expected);
  assert.equal(xen.arena.largestFree, before, 'all lists were given back');
});

test('xc_domain_increase_reservation sends no list', () => {
  const { xen, xch } = opened('4.17', () => 3);
  assert.equal(xc.xc_domain_increase_reservation(xch, 7, 3, 1, 64), 3);
  xc.xc_domain_increase_reservation_exact(xch, 7, 3, 1, 64);
  for (const call of xen.calls) {
    assert.deepEqual([call.op, call.args[0]], [12, 0]);
    assert.equal(operand(call, 32), pack(32, [8, 8, 3], [16, 4, 1], [20, 4, 64], [24, 2, 7]));
  }
});

test('the exact reservation calls throw EBUSY and say how much was done', () => {
  const frames = Array.from({ length: 4100 }, (_, i) => i);
  const calls: readonly (readonly [string, (xch: xc.XcInterface) => void])[] = [
    ['xc_domain_populate_physmap_exact', (xch) => xc.xc_domain_populate_physmap_exact(xch, 7, 0, 0, frames)],
    ['xc_domain_decrease_reservation_exact', (xch) => xc.xc_domain_decrease_reservation_exact(xch, 7, 0, frames)],
    ['xc_domain_increase_reservation_exact', (xch) => xc.xc_domain_increase_reservation_exact(xch, 7, 4100, 0, 0)],
  ];
  for (const [syscall, run] of calls) {
    let calls = 0;
    const { xch } = opened('4.17', () => (calls++ === 0 ? 4096 : 1));
    assert.throws(() => run(xch), {
      name: 'XenError',
      code: 'EBUSY',
      errno: -16,
      syscall,
      domid: 7,
      hint: /^4097 of 4100/,
    });
  }
});

test('the altp2m lists are sent in pieces, frames first and access types behind them', () => {
  const frames = Array.from({ length: 4099 }, (_, i) => i * 3);
  const access = frames.map((_, i) => i % 8);
  const seen: { nr: number; view: number; pfns: number[]; access: number[] }[] = [];
  const { xch } = opened('4.19', (call) => {
    const view = call.view(call.args[1] as number, 80);
    const nr = view.getUint32(20, true);
    const pfns = call.view(Number(view.getBigUint64(32, true)), nr * 8);
    const types = call.view(Number(view.getBigUint64(40, true)), nr);
    seen.push({
      nr,
      view: view.getUint16(16, true),
      pfns: Array.from({ length: nr }, (_, i) => Number(pfns.getBigUint64(i * 8, true))),
      access: Array.from({ length: nr }, (_, i) => types.getUint8(i)),
    });
    return 0;
  });
  xc.xc_altp2m_set_mem_access_multi(xch, 7, 2, access, frames);
  xc.xc_altp2m_set_mem_access_multi(xch, 7, 2, Uint8Array.from(access), BigUint64Array.from(frames, BigInt));
  const pieces = [0, 4096].map((start) => {
    const end = Math.min(start + 4096, 4099);
    return { nr: end - start, view: 2, pfns: frames.slice(start, end), access: access.slice(start, end) };
  });
  assert.deepEqual(seen, [...pieces, ...pieces]);
});

test('xc_domain_hvm_getcontext asks for the size with no buffer first', () => {
  const state = Uint8Array.from({ length: 40 }, (_, i) => i);
  const { xen, xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    const address = Number(view.getBigUint64(24, true));
    if (address === 0) view.setUint32(16, state.length, true);
    else for (const [i, byte] of state.entries()) call.view(address, state.length).setUint8(i, byte);
    return 0;
  });
  assert.deepEqual(xc.xc_domain_hvm_getcontext(xch, 7), state);
  assert.equal(operand(xen.calls[0] as Call, 144), domctl('4.17', 33, 7));
  const second = xen.calls[1] as Call;
  assert.match(operand(second, 144), new RegExp(`^${domctl('4.17', 33, 7).slice(0, 32)}28000000`));
  assert.equal(xen.calls.length, 2);
});

test('xc_domain_hvm_setcontext sends the stream', () => {
  const state = Uint8Array.from({ length: 33 }, (_, i) => 255 - i);
  const { xen, xch } = opened('4.22');
  xc.xc_domain_hvm_setcontext(xch, 7, state);
  const { call } = xen;
  const head = new DataView(call.at(call.args[0] as number, 144).buffer);
  assert.equal(head.getUint32(0, true), 34);
  assert.equal(head.getUint32(16, true), 33);
  assert.deepEqual(call.at(Number(head.getBigUint64(24, true)), 33), state);
});

test('xc_domain_destroy repeats while Xen answers EAGAIN', () => {
  let left = 3;
  const { xen, xch } = opened('4.17', () => (left-- > 0 ? -11 : 0));
  xc.xc_domain_destroy(xch, 7);
  assert.equal(xen.calls.length, 4);
  assert.equal(new Set(xen.calls.map((call) => operand(call, 144))).size, 1);
});
