/** PCI's registers over bytes: what is there is read, and what cannot be is refused with the reason. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readBar, readBars } from '#dist/abi/pci/bar.js';
import { capabilityList, configProblem, extendedCapabilityList, readConfig } from '#dist/abi/pci/config.js';
import { type MsixReading, msixBar, msixFrames, msixPbaBytes, readMsix } from '#dist/abi/pci/msix.js';
import { formatSbdf, parseSbdf, sbdfBus, sbdfDevfn, sbdfOf, sbdfSegment } from '#dist/abi/pci/sbdf.js';
import { readSriov, vfIndex } from '#dist/abi/pci/sriov.js';
import { configBytes, msixBody } from './bytes.js';

test('an address is read as sysfs and lspci print it', () => {
  assert.equal(parseSbdf('0000:00:10.0'), 0x80);
  assert.equal(parseSbdf('00:1f.2'), 0xfa);
  assert.equal(parseSbdf('00AB:3c:1f.7'), 0xab3cff);
  assert.equal(parseSbdf('10000:e1:00.0'), 0x1_0000_e100, 'a segment of VMD');
  for (const bad of [
    '',
    '00:10',
    '0:10.0',
    '00:20.0',
    '00:10.8',
    '000:00:10.0',
    '0000:00:10.0 ',
    'gg:00.0',
    '00:10.0.0',
  ]) {
    assert.equal(parseSbdf(bad), undefined, bad);
  }
});

test('every address is printed so that it is read again', () => {
  const part = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
  fc.assert(
    fc.property(part(0xffff_ffff), part(255), part(255), (segment, bus, devfn) => {
      const sbdf = sbdfOf(segment, bus, devfn);
      assert.equal(parseSbdf(formatSbdf(sbdf)), sbdf);
      assert.deepEqual([sbdfSegment(sbdf), sbdfBus(sbdf), sbdfDevfn(sbdf)], [segment, bus, devfn]);
    }),
  );
  assert.equal(sbdfOf(1, 2, 0x83), 0x1_0283);
});

test('bytes that are no configuration space are told by why', () => {
  const cases: readonly [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /0 bytes/],
    [new Uint8Array(63), /63 bytes/],
    [new Uint8Array(256).fill(0xff), /all ones/],
    [new Uint8Array(256), /no vendor/],
  ];
  for (const [bytes, reason] of cases) {
    assert.match(configProblem(bytes) ?? '', reason);
    assert.match(capabilityList(bytes).problem ?? '', reason);
    const reading = readMsix(bytes);
    assert.equal(reading.kind, 'unreadable');
    assert.match(reading.kind === 'unreadable' ? reading.problem : '', reason);
  }
});

test('a virtual function has no vendor of its own, and is there all the same', () => {
  const config = configBytes({ vendor: 0xffff, capabilities: [MSIX_5] });
  assert.equal(configProblem(config), undefined);
  assert.equal(readMsix(config).kind, 'present');
});

test('registers are little-endian, and none is read beyond the bytes', () => {
  const bytes = Uint8Array.of(1, 2, 3, 0xff);
  assert.equal(readConfig(bytes, 0, 4), 0xff03_0201);
  assert.equal(readConfig(bytes, 2, 2), 0xff03);
  assert.equal(readConfig(bytes, 3, 2), undefined);
  assert.equal(readConfig(bytes, -1, 1), undefined);
});

const MSIX_5 = { id: 0x11, offset: 0xa0, body: msixBody(4, 3, 0x2003) };

test('the capability list is followed to its end, with the reserved bits ignored', () => {
  const config = configBytes({ capabilities: [{ id: 1, offset: 0xc8 }, { id: 5, offset: 0xd0 }, MSIX_5] });
  config[0xc9] = 0xd3;
  assert.deepEqual(capabilityList(config), {
    capabilities: [
      { id: 1, offset: 0xc8 },
      { id: 5, offset: 0xd0 },
      { id: 0x11, offset: 0xa0 },
    ],
  });
});

test('without the status bit there is no list, whatever the pointer says', () => {
  const config = configBytes({ capabilities: [MSIX_5] });
  config[6] = 0;
  assert.deepEqual(readMsix(config), { kind: 'absent' });
});

test('a CardBus bridge has its list elsewhere', () => {
  const config = configBytes({ headerType: 2, capabilities: [MSIX_5] });
  assert.equal(readMsix(config).kind, 'present');
});

/** Each way a list can be broken, also behind an MSI-X capability that is whole. */
const BROKEN: readonly [string, (config: Uint8Array) => unknown, RegExp][] = [
  ['a capability that points to itself', (c) => c.fill(0xa0, 0xa1, 0xa2), /comes back to 0xa0/],
  ['a longer loop', (c) => [c.fill(0xb0, 0xa1, 0xa2), c.set([5, 0xa0], 0xb0)], /comes back to 0xa0/],
  ['a pointer into the header', (c) => c.fill(0x3c, 0xa1, 0xa2), /into the header, to 0x3c/],
  ['a capability of all ones', (c) => [c.fill(0xb0, 0xa1, 0xa2), c.set([0xff, 0xff], 0xb0)], /0xb0 reads as all ones/],
];

for (const [name, breakIt, reason] of BROKEN) {
  test(`a capability list with ${name} is refused`, () => {
    const config = configBytes({ bars: [0, 0, 0, 0xfeb0_0000], capabilities: [MSIX_5] });
    breakIt(config);
    const reading = readMsix(config);
    assert.match(reading.kind === 'unreadable' ? reading.problem : '', reason);
  });
}

test('a list that the bytes end before is refused', () => {
  const reading = readMsix(configBytes({ capabilities: [MSIX_5], length: 64 }));
  assert.match(reading.kind === 'unreadable' ? reading.problem : '', /0xa0, but only 64 bytes/);
  const cut = readMsix(configBytes({ capabilities: [MSIX_5], length: 0xa9 }));
  assert.match(cut.kind === 'unreadable' ? cut.problem : '', /0xa0 is cut off/);
  const last = readMsix(configBytes({ capabilities: [{ id: 0x11, offset: 0xfc }] }));
  assert.match(last.kind === 'unreadable' ? last.problem : '', /0xfc is cut off/);
});

function present(reading: MsixReading): Extract<MsixReading, { kind: 'present' }>['capability'] {
  assert.ok(reading.kind === 'present');
  return reading.capability;
}

test('the MSI-X capability is decoded: vectors, BIRs, offsets, lengths', () => {
  const body = msixBody(0xc7ff, 0xffff_f00c, 0xffff_fffd);
  const capability = present(readMsix(configBytes({ capabilities: [{ id: 0x11, offset: 0x40, body }] })));
  assert.deepEqual(capability, {
    offset: 0x40,
    vectors: 2048,
    enabled: true,
    maskAll: true,
    table: { bir: 4, offset: 0xffff_f008, bytes: 32768 },
    pba: { bir: 5, offset: 0xffff_fff8, bytes: 256 },
  });
});

test('the pending bits take whole words of 64', () => {
  assert.deepEqual([1, 64, 65, 128, 2048].map(msixPbaBytes), [8, 8, 16, 16, 256]);
});

test('BARs: 32 and 64 bits, ports, and none', () => {
  const config = configBytes({ bars: [0xfeb0_000c, 0x12, 0xc041, 0xfea0_0000, 0xfe00_0008, 0] });
  assert.deepEqual(readBars(config), [
    { index: 0, kind: 'memory', width: 64, prefetchable: true, address: 0x12_feb0_0000n },
    { index: 2, kind: 'io', width: 32, prefetchable: false, address: 0xc040n },
    { index: 3, kind: 'memory', width: 32, prefetchable: false, address: 0xfea0_0000n },
    { index: 4, kind: 'memory', width: 32, prefetchable: true, address: 0xfe00_0000n },
    { index: 5, kind: 'memory', width: 32, prefetchable: false, address: 0n },
  ]);
});

test('a 64-bit BAR in the last register is refused', () => {
  const config = configBytes({ bars: [0, 0, 0, 0, 0, 0xfeb0_0004] });
  assert.deepEqual(readBar(config, 5), { index: 5, problem: 'BAR 5 is a 64-bit one in the last register' });
  const bridge = configBytes({ headerType: 1, bars: [0, 0xfeb0_0004] });
  assert.deepEqual(readBars(bridge)[1], { index: 1, problem: 'BAR 1 is a 64-bit one in the last register' });
});

/** Where a table cannot be, and why. */
const NOWHERE: readonly [string, { headerType?: number; bars: readonly number[] }, number, RegExp][] = [
  ['BIR 6', { bars: [] }, 6, /BIR 6 is not one of this header's 6/],
  ['BIR 7', { bars: [] }, 7, /BIR 7 is not one/],
  ['BIR 2 of a bridge', { headerType: 1, bars: [] }, 2, /this header's 2/],
  ['BIR 2 of a multi-function bridge', { headerType: 0x81, bars: [] }, 2, /this header's 2/],
  ['BIR 1 of a CardBus bridge', { headerType: 2, bars: [] }, 1, /this header's 1/],
  ['BIR 0 of an unknown header', { headerType: 5, bars: [] }, 0, /this header's 0/],
  ['a BAR of ports', { bars: [0xc001] }, 0, /BAR 0 is of I\/O ports/],
  ['the upper half of a BAR', { bars: [0xfeb0_0004, 1] }, 1, /upper half of BAR 0/],
  ['a 64-bit BAR without an upper half', { bars: [0, 0, 0, 0, 0, 4] }, 5, /64-bit one in the last/],
];

for (const [name, wanted, bir, reason] of NOWHERE) {
  test(`no table can be in ${name}`, () => {
    const bar = msixBar(configBytes(wanted), { bir, offset: 0, bytes: 16 });
    assert.match('problem' in bar ? bar.problem : '', reason);
  });
}

test('frames: the first to the last that a byte of the region lies in', () => {
  const at = (offset: number, bytes: number, address: bigint, size?: bigint): unknown =>
    msixFrames({ bir: 3, offset, bytes }, address, size);
  assert.deepEqual(at(0, 80, 0xfeb0_0000n), { firstFrame: 0xfeb00, lastFrame: 0xfeb00 });
  assert.deepEqual(at(0x2ff0, 32, 0xfeb0_0000n, 0x4000n), { firstFrame: 0xfeb02, lastFrame: 0xfeb03 });
  assert.deepEqual(at(0x3ff0, 16, 0xfeb0_0000n, 0x4000n), { firstFrame: 0xfeb03, lastFrame: 0xfeb03 });
  assert.match(JSON.stringify(at(0x3ff0, 17, 0xfeb0_0000n, 0x4000n)), /ends at 0x4001 of BAR 3, which has 0x4000/);
  assert.match(JSON.stringify(at(0, 16, 0n)), /BAR 3 has no address/);
  assert.match(JSON.stringify(at(0, 16, 1n << 52n)), /beyond any machine address/);
});

test('extended capabilities: none, a loop, a pointer below, an end', () => {
  const express = (fill: (view: DataView) => void): Uint8Array => {
    const config = configBytes({ length: 4096, capabilities: [] });
    const all = new Uint8Array(4096);
    all.set(config);
    fill(new DataView(all.buffer));
    return all;
  };
  assert.deepEqual(extendedCapabilityList(configBytes({})), { capabilities: [] });
  assert.deepEqual(extendedCapabilityList(express(() => undefined)), { capabilities: [] });
  const linked = (at: number, id: number, next: number) => (view: DataView) =>
    view.setUint32(at, id | (next << 20) | 0x1_0000, true);
  assert.match(extendedCapabilityList(express(linked(0x100, 1, 0x100))).problem ?? '', /come back to 0x100/);
  assert.match(extendedCapabilityList(express(linked(0x100, 1, 0x40))).problem ?? '', /below 0x100/);
  const cut = express(linked(0x100, 1, 0xf00)).slice(0, 0x200);
  assert.match(extendedCapabilityList(cut).problem ?? '', /0xf00, beyond/);
});

test('SR-IOV: the virtual functions and their BARs', () => {
  const config = new Uint8Array(4096);
  config.set(configBytes({}));
  const view = new DataView(config.buffer);
  view.setUint32(0x100, 0x10 | 0x1_0000, true);
  view.setUint16(0x108, 9, true);
  view.setUint16(0x10e, 8, true);
  view.setUint16(0x110, 7, true);
  view.setUint16(0x114, 0x80, true);
  view.setUint16(0x116, 2, true);
  view.setUint32(0x124, 0xf000_000c, true);
  view.setUint32(0x128, 1, true);
  const sriov = readSriov(config);
  assert.ok(sriov);
  assert.deepEqual([sriov.enabled, sriov.memoryEnabled, sriov.numVfs, sriov.totalVfs], [true, true, 7, 8]);
  assert.deepEqual(sriov.bars[0], { index: 0, kind: 'memory', width: 64, prefetchable: true, address: 0x1_f000_0000n });
  assert.equal(sriov.bars.length, 5);
  const indices = [0x100, 0x180, 0x181, 0x182, 0x18c, 0x18e].map((vf) => vfIndex(sriov, 0x100, vf));
  assert.deepEqual(indices, [-1, 0, -1, 1, 6, -1]);
  assert.equal(readSriov(config.slice(0, 0x120)), null, 'cut off');
  assert.equal(readSriov(configBytes({})), null);
});

test('whatever the bytes are, reading them ends and never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 4096, size: 'max' }), (bytes) => {
      capabilityList(bytes);
      extendedCapabilityList(bytes);
      readBars(bytes);
      readSriov(bytes);
      const reading = readMsix(bytes);
      if (reading.kind !== 'present') return;
      for (const region of [reading.capability.table, reading.capability.pba]) {
        const bar = msixBar(bytes, region);
        if (!('problem' in bar)) msixFrames(region, bar.address);
      }
    }),
  );
});
