import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inspect, inspectAll, machineOf } from '#dist/pci/inspect.js';
import { parseLspci } from '#dist/pci/lspci.js';
import { type ConfigBytes, configBytes, msixBody } from '../abi/pci/bytes.js';
import { dump, framesOf, inspectBytes, lspciText } from './dumps.js';

const MEM64 = 4;
const BASE = 0xfebf0000;

interface Msix {
  readonly bir: number;
  readonly table: number;
  readonly pba: number;
  readonly vectors: number;
}

/** A function with 65 vectors: a table at 0x2000 and a PBA at 0x3000 of `bir`. */
function nvme(bars: readonly number[], wanted: Partial<ConfigBytes & Msix> = {}): Uint8Array {
  const { bir = 0, table = 0x2000, pba = 0x3000, vectors = 65, ...more } = wanted;
  const body = msixBody(vectors - 1, table | bir, pba | bir);
  return configBytes({ bars, capabilities: [{ id: 0x11, offset: 0x40, body }], ...more });
}

test('frames are those of the BAR and the offset, to the last byte', () => {
  const cases: readonly (readonly [config: Uint8Array, frames: readonly number[]])[] = [
    [nvme([BASE | MEM64, 0]), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]],
    [nvme([BASE]), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]],
    [nvme([0xe001, 0, 0, 0xfe000000 | 8], { bir: 3 }), [0xfe002, 0xfe002, 0xfe003, 0xfe003]],
    [nvme([0, 0, MEM64 | 0xc0000000, 0x20], { bir: 2 }), [0x20c0002, 0x20c0002, 0x20c0003, 0x20c0003]],
    [nvme([BASE], { vectors: 256, table: 0x2000 }), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]],
    [nvme([BASE], { vectors: 257, table: 0x1000 }), [0xfebf1, 0xfebf2, 0xfebf3, 0xfebf3]],
    [nvme([BASE], { vectors: 2048, table: 0, pba: 0x8f08 }), [0xfebf0, 0xfebf7, 0xfebf8, 0xfebf9]],
    [nvme([BASE], { headerType: 0x80 }), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]],
    [nvme([BASE], { headerType: 1 }), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]],
  ];
  for (const [config, frames] of cases) assert.deepEqual(framesOf(inspectBytes(config)), frames);
});

const UNKNOWN = [null, null, null, null];

/** What cannot have frames, and what is said. */
const REFUSED: readonly (readonly [name: string, config: Uint8Array, problem: RegExp])[] = [
  ['BIR 6', nvme([BASE], { bir: 6 }), /in BAR 6, and this header has 6/],
  ['BIR 2 of a bridge', nvme([BASE, 0, BASE], { bir: 2, headerType: 1 }), /in BAR 2, and this header has 2/],
  ['a header of no known kind', nvme([BASE], { headerType: 5 }), /in BAR 0, and this header has 0/],
  ['a BAR of I/O ports', nvme([0xc001]), /which is of I\/O ports/],
  ['the upper half of a 64-bit BAR', nvme([MEM64, BASE], { bir: 1 }), /upper half of BAR 0/],
  [
    'a 64-bit BAR in the last register',
    nvme([0, 0, 0, 0, 0, BASE | MEM64], { bir: 5 }),
    /BAR 5 is a 64-bit one in the last register/,
  ],
  [
    'a 64-bit BAR in the last register of a bridge',
    nvme([0, BASE | MEM64], { bir: 1, headerType: 1 }),
    /BAR 1 is a 64-bit one/,
  ],
  ['no address', nvme([0]), /BAR 0 has no address/],
  ['no address in 64 bits', nvme([MEM64 | 8, 0]), /BAR 0 has no address/],
  ['a register full of ones', nvme([0xffffffff]), /I\/O ports/],
  ['a register that is being sized', nvme([0xffffc000]), /BAR 0 has no address/],
  ['an address that no processor has', nvme([BASE | MEM64, 0xffffffff]), /beyond any machine address/],
  [
    'a table behind the end of any BAR at this address',
    nvme([0xfebf1000]),
    /ends at 0x2410 of BAR 0, and a BAR at 0xfebf1000 has 0x1000 bytes at most/,
  ],
  ['memory decoding off', nvme([BASE], { command: 5 }), /Memory decoding is off/],
];

for (const [name, config, problem] of REFUSED) {
  test(`no frames, and a reason: ${name}`, () => {
    const found = inspectBytes(config);
    assert.deepEqual(framesOf(found), UNKNOWN);
    assert.equal(found.msix?.vectors, 65, 'what the capability says is told');
    assert.match(found.problems.join('\n'), problem);
  });
}

test('a BAR whose size is known ends there', () => {
  const text = (size: string) =>
    lspciText(new Map([[0x300, nvme([BASE])]])).replace(
      '\n',
      `\n\tRegion 0: Memory at febf0000 (32-bit, non-prefetchable) [size=${size}]\n`,
    );
  const [small, large] = ['8K', '16K'].map((size) => inspectAll(parseLspci(text(size)))[0]);
  assert.ok(small && large);
  assert.deepEqual(framesOf(small), UNKNOWN);
  assert.match(small.problems.join(), /ends at 0x2410 of BAR 0, which has 0x2000 bytes/);
  assert.deepEqual(framesOf(large), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]);
});

test('a register and a kernel that disagree: neither is believed', () => {
  const text = lspciText(new Map([[0x300, nvme([BASE])]])).replace(
    '\n',
    '\n\tRegion 0: Memory at fea00000 (32-bit, non-prefetchable) [size=16K]\n',
  );
  const [found] = inspectAll(parseLspci(text));
  assert.ok(found);
  assert.deepEqual(framesOf(found), UNKNOWN);
  assert.match(found.problems.join(), /BAR 0 has 0xfebf0000 and the kernel 0xfea00000: one of them is stale/);
});

function loop(): Uint8Array {
  const config = configBytes({
    capabilities: [
      { id: 1, offset: 0x40 },
      { id: 5, offset: 0x50 },
    ],
  });
  config[0x51] = 0x40;
  return config;
}

/** What does not even tell whether there is a capability. */
const UNREADABLE: readonly (readonly [name: string, config: Uint8Array, problem: RegExp])[] = [
  ['all ones', new Uint8Array(256).fill(0xff), /all ones: the device is gone/],
  ['all ones from the header on', nvme([BASE]).fill(0xff, 64), /0x40 reads as all ones/],
  ['64 bytes', nvme([BASE]).slice(0, 64), /only 64 bytes .* as root/],
  ['16 bytes', nvme([BASE]).slice(0, 16), /only 16 bytes/],
  ['cut off in the capability', nvme([BASE]).slice(0, 72), /only 72 bytes/],
  ['a loop without it', loop(), /comes back to 0x40/],
  [
    'a list that leads into the header',
    configBytes({
      capabilities: [
        { id: 1, offset: 0x40 },
        { id: 9, offset: 0x10 },
      ],
    }),
    /leads into the header/,
  ],
  [
    'a capability at the end of the space',
    configBytes({ capabilities: [{ id: 0x11, offset: 0xfc, body: [4, 0] }] }),
    /cut off/,
  ],
];

for (const [name, config, problem] of UNREADABLE) {
  test(`not known, and a reason: ${name}`, () => {
    const { msix, problems } = inspectBytes(config);
    assert.ok(msix, 'null would say that there is none');
    assert.deepEqual([msix.vectors, msix.table.bir, msix.table.firstFrame, msix.pba.lastFrame], UNKNOWN);
    assert.match(problems.join('\n'), problem);
  });
}

test('no capability: null, and no problem', () => {
  const none = [
    configBytes({}),
    configBytes({ capabilities: [{ id: 1, offset: 0x40 }] }),
    configBytes({}).slice(0, 64),
  ];
  for (const config of none) {
    const { msix, problems } = inspectBytes(config);
    assert.deepEqual([msix, problems], [null, []]);
  }
});

test('a capability that comes before the list breaks is told, and so is the break', () => {
  const config = nvme([BASE]);
  config[0x41] = 0x40;
  const found = inspectBytes(config);
  assert.deepEqual(framesOf(found), [0xfebf2, 0xfebf2, 0xfebf3, 0xfebf3]);
  assert.match(found.problems.join(), /comes back to 0x40/);
});

test('a table and a PBA that overlap', () => {
  assert.match(inspectBytes(nvme([BASE], { pba: 0x2408 })).problems.join(), /overlap/);
  assert.deepEqual(inspectBytes(nvme([BASE], { pba: 0x2410 })).problems, []);
});

test('a PBA in whose first words Xen sees its end', () => {
  const text = inspectBytes(nvme([BASE], { vectors: 2048, table: 0, pba: 0x8f08 })).problems.join();
  assert.match(text, /protects it up to 0xfebf8 only: a guest can write its part in frame 0xfebf9/);
  assert.deepEqual(inspectBytes(nvme([BASE], { vectors: 64, table: 0, pba: 0x8ff8 })).problems, []);
});

test('another function in the page of a table', () => {
  const text = lspciText(
    new Map([
      [0x300, nvme([BASE], { pba: 0x2800 })],
      [0x308, configBytes({ bars: [BASE + 0x2f00] })],
    ]),
  );
  const [first, second] = inspectAll(parseLspci(text));
  assert.deepEqual(
    first?.shared.filter(({ own }) => !own),
    [{ sbdf: '0000:03:01.0', bar: 0, bytes: null, firstFrame: 0xfebf2, lastFrame: 0xfebf2, own: false }],
  );
  assert.match(first?.problems.join() ?? '', /BAR 0 of 0000:03:01\.0 is in the same page as the MSI-X table/);
  assert.deepEqual(second?.problems, [], 'sizes are not told: it may end before');
});

test('its own registers in the page of a table: what that means, by release', () => {
  const machine = machineOf(parseLspci(lspciText(new Map([[0x300, nvme([BASE])]]))));
  const [fn] = machine.functions;
  assert.ok(fn);
  const said = (release?: '4.17' | '4.19'): string => inspect(fn, machine, release ? { release } : {}).notes.join();
  assert.match(said('4.17'), /0x2410-0x2fff of BAR 0, .* On Xen 4\.17 no guest can write/);
  assert.match(said('4.19'), /On Xen 4\.19 Xen passes such writes on/);
  assert.deepEqual(
    [inspect(fn, machine, { release: '4.17' }), inspect(fn, machine, { release: '4.19' }), inspect(fn, machine)].map(
      ({ neighbours }) => neighbours,
    ),
    ['refused', 'emulated', null],
  );
  assert.match(said(), /Before Xen 4\.19 no guest can write .* From 4\.19 on/);
});

test('a real machine: what stands in the way of giving a device away', () => {
  const found = new Map(inspectAll(parseLspci(dump('q35-vvxxx.txt'))).map((one) => [one.sbdf, one]));
  const all = (sbdf: string): string =>
    [...(found.get(sbdf)?.problems ?? []), ...(found.get(sbdf)?.notes ?? [])].join('\n');
  assert.match(all('0000:00:09.0'), /The driver nvme has it and uses its MSI-X/);
  assert.match(all('0000:04:01.0'), /IOMMU group 7 also has 0000:04:02\.0: /);
  assert.match(all('0000:00:06.0'), /This is a bridge/);
  assert.match(all('0000:00:0a.0'), /no reset of its own/);
  assert.doesNotMatch(all('0000:00:05.0'), /no reset of its own/);
});

test('property: any bytes at all are inspected, and frames are in the BAR that the capability names', () => {
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .record({
        at: fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { maxLength: 12 }),
        length: fc.constantFrom(256, 64, 100, 4096),
      })
      .map(({ at, length }) => {
        const config = new Uint8Array(Math.max(length, 256));
        config.set(nvme([BASE | MEM64, 0, 0xe001, 0xfd000000]));
        for (const [offset, value] of at) config[offset] = value;
        return config.slice(0, length);
      }),
  );
  fc.assert(
    fc.property(any, (config) => {
      const { msix, problems, bars } = inspectBytes(config.length === 0 ? new Uint8Array(1) : config);
      if (!msix) return;
      for (const { bir, offset, bytes, firstFrame, lastFrame } of [msix.table, msix.pba]) {
        if (firstFrame === null || lastFrame === null || bir === null || offset === null || bytes === null) {
          assert.ok(problems.length > 0);
          continue;
        }
        const address = bars.find(({ index, kind }) => index === bir && kind === 'memory')?.address;
        assert.ok(address);
        assert.equal(BigInt(firstFrame), (address + BigInt(offset)) >> 12n);
        assert.equal(BigInt(lastFrame), (address + BigInt(offset + bytes - 1)) >> 12n);
      }
    }),
    { numRuns: 1500 },
  );
});
