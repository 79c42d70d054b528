import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatSbdf } from '#dist/abi/pci/sbdf.js';
import { inspectAll } from '#dist/pci/inspect.js';
import { parseLspci } from '#dist/pci/lspci.js';
import { configBytes } from '../abi/pci/bytes.js';
import { dump, framesOf, hexLines, lspciText } from './dumps.js';

/** What a dump says of MSI-X, by function. */
function msixOf(text: string): Record<string, unknown> {
  return Object.fromEntries(inspectAll(parseLspci(text)).map((one) => [one.sbdf, framesOf(one)]));
}

/** As `/proc/iomem` of the same machine has the BARs, and `lspci -vv` the offsets in them. */
const Q35: Readonly<Record<string, readonly number[]>> = {
  '0000:00:01.0': [0xfe2d6, 0xfe2d6, 0xfe2d6, 0xfe2d6],
  '0000:00:02.0': [0xfe2d7, 0xfe2d7, 0xfe2d7, 0xfe2d7],
  '0000:00:05.0': [0xfe2c0, 0xfe2c0, 0xfe2c2, 0xfe2c2],
  '0000:00:05.1': [0xfe2c4, 0xfe2c4, 0xfe2c6, 0xfe2c6],
  '0000:00:06.0': [0xfe2d8, 0xfe2d8, 0xfe2d8, 0xfe2d8],
  '0000:00:07.0': [0xfe2d9, 0xfe2d9, 0xfe2d9, 0xfe2d9],
  '0000:00:09.0': [0xfe2ca, 0xfe2ca, 0xfe2cb, 0xfe2cb],
  '0000:00:0a.0': [0xfe2d0, 0xfe2d0, 0xfe2d1, 0xfe2d1],
  '0000:00:0b.0': [0xfe2dc, 0xfe2dc, 0xfe2dc, 0xfe2dc],
  '0000:00:0c.0': [0xfe2dd, 0xfe2dd, 0xfe2dd, 0xfe2dd],
  '0000:00:0d.0': [0xfe2ce, 0xfe2ce, 0xfe2cf, 0xfe2cf],
  '0000:00:0e.0': [0xfe2d4, 0xfe2d4, 0xfe2d5, 0xfe2d5],
  '0000:00:11.0': [0xfe2df, 0xfe2df, 0xfe2df, 0xfe2df],
  '0000:01:00.0': [0xfde02, 0xfde02, 0xfde03, 0xfde03],
  '0000:01:00.1': [0xfde06, 0xfde06, 0xfde07, 0xfde07],
  '0000:01:00.2': [0xfde0a, 0xfde0a, 0xfde0b, 0xfde0b],
  '0000:02:00.0': [0xfdc03, 0xfdc03, 0xfdc03, 0xfdc03],
  '0000:04:01.0': [0xfd842, 0xfd842, 0xfd843, 0xfd843],
  '0000:04:02.0': [0xfd847, 0xfd847, 0xfd847, 0xfd847],
};
const WITHOUT = ['00:00.0', '00:08.0', '00:0f.0', '00:10.0', '00:1f.0', '00:1f.2', '00:1f.3', '03:00.0'];
const UNKNOWN = [null, null, null, null];

test('a real machine: -vvxxx and -vvv tell the frames of all its tables', () => {
  const wanted = { ...Q35, ...Object.fromEntries(WITHOUT.map((name) => [`0000:${name}`, null])) };
  assert.deepEqual(msixOf(dump('q35-vvxxx.txt')), wanted);
  assert.deepEqual(msixOf(dump('q35-vvv.txt')), wanted);
});

test('a real machine: -xxxx tells all but the size of virtual functions', () => {
  const told = msixOf(dump('q35-xxxx.txt'));
  assert.deepEqual(told, { ...msixOf(dump('q35-vvxxx.txt')), '0000:01:00.2': UNKNOWN });
  const [second] = inspectAll(parseLspci(dump('q35-xxxx.txt'))).filter(({ sbdf }) => sbdf === '0000:01:00.2');
  assert.equal(second?.physfn, '0000:01:00.0');
  assert.match(second?.problems[0] ?? '', /BAR 0 is behind those of 1 other virtual functions at 0xfde04000/);
});

test('a real machine: domain numbers, blank lines, CRLF and blanks for tabs change nothing', () => {
  const text = dump('q35-vvxxx.txt');
  const wanted = msixOf(text);
  const others = [
    text.replace(/^(?=[0-9a-f]{2}:[0-9a-f]{2}\.)/gm, '0000:'),
    text.replaceAll('\n', '\n\n'),
    text.replaceAll('\n', '\r\n'),
    text.replaceAll('\t', '        '),
    `$ lspci -vvxxx\n${text}\n$ exit\n`,
  ];
  for (const other of others) assert.deepEqual(msixOf(other), wanted);
  const elsewhere = parseLspci(text.replace(/^(?=[0-9a-f]{2}:[0-9a-f]{2}\.)/gm, '10000:'));
  assert.equal(formatSbdf(elsewhere.functions[0]?.sbdf ?? 0), '10000:00:00.0');
});

test('a real machine: two outputs in one file are put together', () => {
  const both = `${dump('q35-xxxx.txt')}\n${dump('q35-vvv.txt')}`;
  assert.deepEqual(msixOf(both), msixOf(dump('q35-vvxxx.txt')));
});

test('a real machine: what an ordinary user gets tells nothing, and says so', () => {
  for (const file of ['pc-user-xxxx.txt', 'pc-user-vv.txt']) {
    const found = inspectAll(parseLspci(dump(file)));
    const network = found.find(({ sbdf }) => sbdf === '0000:00:05.0');
    assert.deepEqual(network && framesOf(network), UNKNOWN, 'not null: there may be a capability');
    assert.match(network?.problems.join() ?? '', /whether there is MSI-X cannot be told.*as root/);
    const bridge = found.find(({ sbdf }) => sbdf === '0000:00:01.0');
    assert.equal(bridge?.msix, null, 'no list of capabilities, so none in it');
  }
});

test('a real machine: memory decoding off, all masked, no address', () => {
  const found = new Map(inspectAll(parseLspci(dump('pc-vvxxx.txt'))).map((one) => [one.sbdf, one]));
  const cases = [
    ['0000:00:05.0', UNKNOWN, /Memory decoding is off .* ENXIO/],
    ['0000:00:06.0', [0xfebdc, 0xfebdc, 0xfebdd, 0xfebdd], /MASKALL .* EBUSY/],
    [
      '0000:00:07.0',
      UNKNOWN,
      /table and the pending-bit array cannot be told: BAR 0 has no address, though the kernel has 0xfebd4000/,
    ],
  ] as const;
  for (const [sbdf, frames, problem] of cases) {
    const one = found.get(sbdf);
    assert.ok(one);
    assert.deepEqual(framesOf(one), frames);
    assert.equal(one.problems.length, 1);
    assert.match(one.problems[0] ?? '', problem);
  }
});

test("a real dom0: the lab's devices", () => {
  const told = msixOf(dump('xen-dom0-xxxx.txt'));
  assert.deepEqual(told['0000:00:10.0'], [0xfebc0, 0xfebc0, 0xfebc2, 0xfebc2]);
  assert.deepEqual(told['0000:00:11.0'], [0xfebc6, 0xfebc6, 0xfebc7, 0xfebc7]);
});

test('what verbose text says beside the bytes: driver, group, interrupt, sizes of BARs', () => {
  const { functions } = parseLspci(dump('q35-vvxxx.txt'));
  const nvme = functions.find(({ sbdf }) => sbdf === 0x48);
  assert.equal(nvme?.driver, 'nvme');
  assert.equal(nvme?.iommuGroup, 8);
  assert.equal(nvme?.irq, 21);
  assert.deepEqual(nvme?.regions, [{ index: 0, kind: 'memory', address: 0xfe2c8000n, size: 0x4000n, virtual: false }]);
  assert.equal(functions.find(({ sbdf }) => sbdf === 0x50)?.driver, null, 'no driver: the others have theirs named');
  const virtual = functions.find(({ sbdf }) => sbdf === 0x101);
  assert.deepEqual(virtual?.regions, [
    { index: 0, kind: 'memory', address: 0xfde04000n, size: 0x4000n, virtual: true },
  ]);
});

const GOOD = configBytes({ bars: [0xfebf0000] });

const DAMAGE: readonly (readonly [name: string, text: string, complaint: RegExp])[] = [
  ['a line with fewer digits', hexLines(GOOD).replace('10: 00', '10: 0'), /'10: 0 .*' is not 16 bytes/],
  ['lines are missing', hexLines(GOOD).replace(/^[1-3]0: .*\n/gm, ''), /no bytes from 0x10 to 0x3f/],
  ['different bytes for the same place', `${hexLines(GOOD)}00: 01\n`, /0x0 twice with different bytes/],
  ['bytes behind the end', `${hexLines(new Uint8Array(4096))}ff8: 00${' 00'.repeat(15)}\n`, /behind the end/],
];

for (const [name, lines, complaint] of DAMAGE) {
  test(`a damaged dump: ${name}`, () => {
    const [fn] = parseLspci(`03:00.0 Device\n${lines}`).functions;
    assert.match(fn?.complaints.join() ?? '', complaint);
  });
}

test('text that is not of lspci has no devices, and a complaint', () => {
  for (const text of ['', '\n', 'hello', '{"a": 1}', '-[0000:00]-+-00.0  Intel\n', '00: 86 80\n']) {
    const { functions, complaints } = parseLspci(text);
    assert.deepEqual([functions.length, complaints.length], [0, 1], text);
  }
});

test('what a terminal would obey does not get through from a dump', () => {
  const [fn] = parseLspci('03:00.0 Evil\u001b[2J\u0007 device\n\tKernel driver in use: \u001b[31mx\n').functions;
  assert.deepEqual([fn?.label, fn?.driver], ['Evil[2J device', '[31mx']);
});

test('property: what is written as lspci does comes back, byte for byte', () => {
  const bytes = fc
    .constantFrom(64, 256, 4096)
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }));
  fc.assert(
    fc.property(fc.dictionary(fc.integer({ min: 0, max: 0xfff_ffff }).map(String), bytes, { maxKeys: 4 }), (wanted) => {
      const functions = new Map(Object.entries(wanted).map(([sbdf, config]) => [Number(sbdf), config]));
      const read = parseLspci(lspciText(functions)).functions;
      assert.deepEqual(new Map(read.map(({ sbdf, config }) => [sbdf, new Uint8Array(config)])), functions);
    }),
    { numRuns: 30 },
  );
});

test('property: whatever happens to a dump, reading and inspecting it ends, and no frame is beyond memory', () => {
  const lines = dump('q35-vvxxx.txt').split('\n');
  const edit = fc.record({
    at: fc.nat(lines.length - 1),
    how: fc.constantFrom('drop', 'cut', 'byte', 'twice', 'swap'),
    value: fc.nat(255),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 40 }), (edits) => {
      const broken = [...lines];
      for (const { at, how, value } of edits) {
        const line = broken[at] ?? '';
        if (how === 'drop') broken.splice(at, 1);
        else if (how === 'cut') broken[at] = line.slice(0, value % 50);
        else if (how === 'byte') {
          const from = 4 + 3 * (value % 16);
          broken[at] = line.slice(0, from) + value.toString(16).padStart(2, '0') + line.slice(from + 2);
        } else if (how === 'twice') broken.splice(at, 0, line);
        else broken[at] = lines[(at + value) % lines.length] ?? '';
      }
      for (const { msix, problems } of inspectAll(parseLspci(broken.join('\n')))) {
        if (!msix) continue;
        for (const place of [msix.table, msix.pba]) {
          if (place.firstFrame === null || place.lastFrame === null) {
            assert.ok(problems.length > 0, 'what is not known has a reason');
          } else assert.ok(place.firstFrame > 0 && place.firstFrame <= place.lastFrame && place.lastFrame < 2 ** 40);
        }
      }
    }),
    { numRuns: 60 },
  );
});
