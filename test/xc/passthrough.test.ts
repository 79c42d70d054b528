/** Devices for domains: what each call sends, byte by byte, and how it goes on when Xen does a part of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { configBytes, msixBody } from '../abi/pci/bytes.js';
import { DOMCTL, domctl, opened, operand, type Place, pack } from './encoding.js';
import type { Answer, Call, FakeXen } from './fake.js';

const PHYSDEV = 33;
const SBDF = 0x0001_0283;
const D = 7;

const since416 = (release: Release): boolean => releaseIndex(release) >= releaseIndex('4.16');
const pt = (release: Release, cmd: number, irq: number, type: number, ...places: readonly Place[]): string =>
  domctl(release, cmd, D, [0, 4, irq], [4, 4, type], ...places);

interface Row {
  readonly run: (xch: xc.XcInterface) => unknown;
  readonly bytes: (release: Release) => string;
  readonly since?: Release;
}

const DOMCTLS: Readonly<Record<string, Row>> = {
  xc_domain_irq_permission: {
    run: (xch) => xc.xc_domain_irq_permission(xch, D, 200, true),
    bytes: (r) => (since416(r) ? domctl(r, 19, D, [0, 4, 200], [4, 1, 1]) : domctl(r, 19, D, [0, 1, 200], [1, 1, 1])),
  },
  xc_domain_iomem_permission: {
    run: (xch) => xc.xc_domain_iomem_permission(xch, D, 0xfeb00, 2n ** 40n, false),
    bytes: (r) => domctl(r, 20, D, [0, 8, 0xfeb00], [8, 8, 2n ** 40n]),
  },
  xc_domain_ioport_permission: {
    run: (xch) => xc.xc_domain_ioport_permission(xch, D, 0xc000, 32, true),
    bytes: (r) => domctl(r, 21, D, [0, 4, 0xc000], [4, 4, 32], [8, 1, 1]),
  },
  xc_domain_gsi_permission: {
    run: (xch) => xc.xc_domain_gsi_permission(xch, D, 19, xc.XEN_DOMCTL_GSI_GRANT),
    bytes: (r) => domctl(r, 88, D, [0, 4, 19], [4, 4, 1]),
    since: '4.20',
  },
  xc_assign_device: {
    run: (xch) => xc.xc_assign_device(xch, D, SBDF, xc.XEN_DOMCTL_DEV_RDM_RELAXED),
    bytes: (r) => domctl(r, 37, D, [4, 4, 1], [8, 4, SBDF]),
  },
  xc_test_assign_device: {
    run: (xch) => xc.xc_test_assign_device(xch, 0x7ff4, SBDF),
    bytes: (r) => domctl(r, 45, 0x7ff4, [8, 4, SBDF]),
  },
  xc_deassign_device: {
    run: (xch) => xc.xc_deassign_device(xch, D, SBDF),
    bytes: (r) => domctl(r, 47, D, [8, 4, SBDF]),
  },
  xc_domain_ioport_mapping: {
    run: (xch) => xc.xc_domain_ioport_mapping(xch, D, 0xc100, 0xc000, 32, true),
    bytes: (r) => domctl(r, 40, D, [0, 4, 0xc100], [4, 4, 0xc000], [8, 4, 32], [12, 4, 1]),
  },
  xc_domain_update_msi_irq: {
    run: (xch) => xc.xc_domain_update_msi_irq(xch, D, 0x41, 300, 0x1_0002, 0xf200_0000n),
    bytes: (r) => pt(r, 38, 300, 2, [8, 1, 0x41], [12, 4, 0x1_0002], [16, 8, 0xf200_0000n]),
  },
  xc_domain_unbind_msi_irq: {
    run: (xch) => xc.xc_domain_unbind_msi_irq(xch, D, 0x41, 300, 2),
    bytes: (r) => pt(r, 48, 300, 2, [8, 1, 0x41], [12, 4, 2]),
  },
  xc_domain_bind_pt_irq: {
    run: (xch) => xc.xc_domain_bind_pt_irq(xch, D, 55, xc.PT_IRQ_TYPE_MSI_TRANSLATE, 1, 5, 2, 9),
    bytes: (r) => pt(r, 38, 55, 3, [8, 1, 1], [9, 1, 5], [10, 1, 2]),
  },
  xc_domain_unbind_pt_irq: {
    run: (xch) => xc.xc_domain_unbind_pt_irq(xch, D, 55, xc.PT_IRQ_TYPE_ISA, 1, 5, 2, 9),
    bytes: (r) => pt(r, 48, 55, 1, [8, 1, 9]),
  },
  xc_domain_bind_pt_pci_irq: {
    run: (xch) => xc.xc_domain_bind_pt_pci_irq(xch, D, 55, 1, 5, 2),
    bytes: (r) => pt(r, 38, 55, 0, [8, 1, 1], [9, 1, 5], [10, 1, 2]),
  },
  xc_domain_bind_pt_isa_irq: {
    run: (xch) => xc.xc_domain_bind_pt_isa_irq(xch, D, 12),
    bytes: (r) => pt(r, 38, 12, 1, [8, 1, 12]),
  },
};

function opening(release: Release, answer?: Answer): { xen: FakeXen; xch: xc.XcInterface } {
  const both = opened(release, answer);
  // what other calls left in the operand must not show
  both.xen.arena.bytes.fill(0xee, 64, 512);
  return both;
}

for (const [name, { run, bytes, since = '4.14' }] of Object.entries(DOMCTLS)) {
  test(`${name} sends the bytes of each release`, () => {
    for (const release of RELEASES.filter((one) => releaseIndex(one) >= releaseIndex(since))) {
      const { xen, xch } = opening(release);
      run(xch);
      assert.equal(xen.call.op, DOMCTL);
      assert.equal(operand(xen.call, 144), bytes(release), release);
    }
  });
}

test('xc_domain_gsi_permission is refused before Xen 4.20, a wide pirq before 4.16', () => {
  const { xen, xch } = opened('4.15');
  assert.throws(() => xc.xc_domain_gsi_permission(xch, D, 1, 1), { code: 'EOPNOTSUPP', hint: /since Xen 4\.20/ });
  assert.throws(() => xc.xc_domain_irq_permission(xch, D, 256, true), /at most 255 on Xen 4\.15/);
  assert.equal(xen.calls.length, 0);
});

const msi = (type: number, index: number, pirq: number, ...places: readonly Place[]): string =>
  pack(40, [0, 2, D], [4, 4, type], [8, 4, index], [12, 4, pirq], ...places);

const PHYSDEVS: Readonly<Record<string, readonly [cmd: number, run: Row['run'], bytes: string]>> = {
  xc_physdev_map_pirq: [13, (xch) => xc.xc_physdev_map_pirq(xch, D, 19, 44), msi(1, 19, 44)],
  'xc_physdev_map_pirq, the same number': [13, (xch) => xc.xc_physdev_map_pirq(xch, D, 19, -1), msi(1, 19, 19)],
  'xc_physdev_map_pirq_gsi, any number': [13, (xch) => xc.xc_physdev_map_pirq_gsi(xch, D, 19, -1), msi(1, 19, -1)],
  xc_physdev_map_pirq_msi: [
    13,
    (xch) => xc.xc_physdev_map_pirq_msi(xch, D, -1, -1, 0x83, 0x1_0002, 4, 0xfeb0_0000n),
    msi(3, -1, -1, [16, 4, 0x1_0002], [20, 4, 0x83], [24, 4, 4], [32, 8, 0xfeb0_0000n]),
  ],
  xc_physdev_unmap_pirq: [14, (xch) => xc.xc_physdev_unmap_pirq(xch, D, 300), pack(8, [0, 2, D], [4, 4, 300])],
  xc_physdev_prepare_msix: [30, (xch) => xc.xc_physdev_prepare_msix(xch, SBDF), '01000283'],
  xc_physdev_release_msix: [31, (xch) => xc.xc_physdev_release_msix(xch, SBDF), '01000283'],
};

const MSIX = configBytes({ capabilities: [{ id: 0x11, offset: 0xa0, body: msixBody(4, 3, 0x2003) }] });

for (const [name, [cmd, run, bytes]] of Object.entries(PHYSDEVS)) {
  test(`${name} sends its bytes`, () => {
    const { xen, xch } = opening('4.17');
    xen.pciConfig = (sbdf) => (sbdf === SBDF ? MSIX : null);
    run(xch);
    assert.deepEqual([xen.call.op, xen.call.args[0]], [PHYSDEV, cmd]);
    assert.equal(operand(xen.call, bytes.length / 2), bytes);
  });
}

test('xc_physdev_map_pirq_msi gives the number that Xen chose', () => {
  const { xch } = opened('4.17', (call) => {
    call.view(call.args[1] as number, 40).setInt32(12, 87, true);
    return 0;
  });
  assert.equal(xc.xc_physdev_map_pirq_msi(xch, D, -1, -1, 0, 0, 0, 1), 87);
});

test('xc_get_device_group gives what Xen wrote, and no more than it was asked for', () => {
  for (const [written, expected] of [
    [2, [0x2_0300, 0x2_0400]],
    [9, [0x2_0300, 0x2_0400, 0]],
  ] as const) {
    const { xen, xch } = opened('4.17', (call) => {
      const view = call.view(call.args[0] as number, 144);
      const list = call.view(Number(view.getBigUint64(32, true)), 8);
      list.setUint32(0, 0x2_0300, true);
      list.setUint32(4, 0x2_0400, true);
      view.setUint32(24, written, true);
      return 0;
    });
    assert.deepEqual(xc.xc_get_device_group(xch, 0, SBDF, 3), expected);
    const sent = new DataView(xen.call.at(xen.call.args[0] as number, 144).buffer);
    assert.deepEqual([sent.getUint32(0, true), sent.getUint32(16, true), sent.getUint32(20, true)], [50, SBDF, 3]);
  }
});

// --- xc_domain_memory_mapping, piece by piece

interface Piece {
  readonly gfn: number;
  readonly mfn: number;
  readonly count: number;
  readonly add: boolean;
}

/** A Xen that has one domain and answers memory_mapping as `answer` says. */
function mapper(answer: (piece: Piece, index: number) => number, hvm = true): { xch: xc.XcInterface; sent: Piece[] } {
  const sent: Piece[] = [];
  const { xch } = opened('4.17', (call: Call) => {
    const view = call.view(call.args[0] as number, 144);
    if (view.getUint32(0, true) === 5) {
      view.setUint16(16, D, true);
      view.setUint32(16 + 4, hvm ? 2 : 0, true);
      return 0;
    }
    assert.equal(view.getUint32(0, true), 39);
    const u64 = (at: number): number => Number(view.getBigUint64(16 + at, true));
    const piece = { gfn: u64(0), mfn: u64(8), count: u64(16), add: view.getUint32(16 + 24, true) === 1 };
    sent.push(piece);
    return answer(piece, sent.length - 1);
  });
  return { xch, sent };
}

const counts = (sent: readonly Piece[]): readonly number[] => sent.map(({ count }) => count);

test('xc_domain_memory_mapping sends all at once when Xen takes it', () => {
  const { xch, sent } = mapper(() => 0);
  xc.xc_domain_memory_mapping(xch, D, 0xf2000, 0xfeb00, 1024, true);
  assert.deepEqual(sent, [{ gfn: 0xf2000, mfn: 0xfeb00, count: 1024, add: true }]);
});

test('xc_domain_memory_mapping goes on where Xen stopped', () => {
  const { xch, sent } = mapper(({ count }) => (count > 64 ? 64 : 0));
  xc.xc_domain_memory_mapping(xch, D, 0xf2000, 0xfeb00, 150, false);
  assert.deepEqual(counts(sent), [150, 86, 22]);
  assert.deepEqual(sent[2], { gfn: 0xf2080, mfn: 0xfeb80, count: 22, add: false });
});

test('xc_domain_memory_mapping halves what is too much for Xen', () => {
  const { xch, sent } = mapper(({ count }) => (count > 64 ? -errno.E2BIG : 0));
  xc.xc_domain_memory_mapping(xch, D, 0, 0xfeb00, 250, true);
  assert.deepEqual(counts(sent), [250, 125, 62, 62, 62, 62, 2]);
  const never = mapper(({ add }) => (add ? -errno.E2BIG : 0));
  assert.throws(() => xc.xc_domain_memory_mapping(never.xch, D, 0, 0xfeb00, 4, true), { code: 'E2BIG' });
  assert.deepEqual(counts(never.sent), [4, 2, 1, 4]);
});

test('xc_domain_memory_mapping takes out again what a failed call mapped', () => {
  const { xch, sent } = mapper(({ add }, index) => (index === 0 ? 64 : add ? -errno.EPERM : 0));
  assert.throws(() => xc.xc_domain_memory_mapping(xch, D, 0x100, 0xfeb00, 100, true), { code: 'EPERM', domid: D });
  assert.deepEqual(sent.at(-1), { gfn: 0x100, mfn: 0xfeb00, count: 100, add: false });
});

test('xc_domain_memory_mapping: a removal goes on over errors and tells the first', () => {
  const answers = [10, -errno.EINVAL, 0];
  const { xch, sent } = mapper((_, index) => answers[index] ?? 0);
  assert.throws(() => xc.xc_domain_memory_mapping(xch, D, 0, 0xfeb00, 30, false), { code: 'EINVAL' });
  assert.deepEqual(counts(sent), [30, 20]);
});

test('xc_domain_memory_mapping does nothing for a PV domain, and for no frames', () => {
  const pv = mapper(() => -errno.EINVAL, false);
  xc.xc_domain_memory_mapping(pv.xch, D, 0, 0xfeb00, 30, true);
  const none = mapper(() => -errno.EINVAL);
  xc.xc_domain_memory_mapping(none.xch, D, 0, 0xfeb00, 0, true);
  assert.deepEqual([...pv.sent, ...none.sent], []);
});

// --- what must never reach Xen

const GUARDED = { prepare: xc.xc_physdev_prepare_msix, release: xc.xc_physdev_release_msix };
const without = configBytes({ capabilities: [{ id: 5, offset: 0x50, body: [0, 0] }] });
const looping = MSIX.slice();
looping[0xa1] = 0xa0;

const REFUSED: readonly [string, Uint8Array | null, string, RegExp][] = [
  ['no MSI-X capability', without, 'EOPNOTSUPP', /0001:02:10\.3 has no MSI-X capability: Xen was not asked/],
  ['no device', null, 'ENODEV', /no device 0001:02:10\.3/],
  ['64 bytes of configuration space', MSIX.slice(0, 64), 'EIO', /only 64 bytes could be read/],
  ['a capability that is cut off', MSIX.slice(0, 0xa6), 'EIO', /0xa0 is cut off/],
  ['a list that loops behind the capability', looping, 'EIO', /comes back to 0xa0/],
  ['all ones', new Uint8Array(256).fill(0xff), 'EIO', /all ones/],
  ['nothing', new Uint8Array(0), 'EIO', /0 bytes/],
];

for (const [verb, call] of Object.entries(GUARDED)) {
  for (const [what, config, code, hint] of REFUSED) {
    test(`${verb}_msix of a device with ${what}: Xen is not asked`, () => {
      const { xen, xch } = opened('4.17');
      xen.pciConfig = () => config;
      assert.throws(() => call(xch, SBDF), { name: 'XenError', code, syscall: `xc_physdev_${verb}_msix`, hint });
      assert.deepEqual(xen.calls, []);
    });
  }

  test(`${verb}_msix where no device can be seen: Xen is not asked`, () => {
    const { xen, xch } = opened('4.17');
    Object.assign(xen, { pciConfig: undefined });
    assert.throws(() => call(xch, SBDF), { code: 'ENODEV' });
    assert.deepEqual(xen.calls, []);
  });
}
