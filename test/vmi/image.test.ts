import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffMemory, dumpMemory } from '#dist/vmi/dump.js';
import { MemoryImage } from '#dist/vmi/image.js';
import { limeHeader } from '#dist/vmi/image_lime.js';
import { Introspector } from '#dist/vmi/introspector.js';
import { scratchFolder } from '../scratch.js';
import { TestMemory } from './test_memory.js';

const folder = scratchFolder();
let files = 0;

function save(bytes: Uint8Array): string {
  const path = join(folder, `image${files++}`);
  writeFileSync(path, bytes);
  return path;
}

function filled(pages: number, first: number): Uint8Array {
  return new Uint8Array(pages * 4096).map((_, i) => first + (i >> 12));
}

/** Frames with their first byte; null: no memory. */
function frames(image: MemoryImage, ...wanted: number[]): (number | null)[] {
  return wanted.map((frame) => image.page(frame)?.bytes[0] ?? null);
}

test('raw: byte n is address n, and the last page is filled up with zeroes', () => {
  using image = MemoryImage.open(save(filled(3, 5).subarray(0, 2 * 4096 + 10)));
  assert.equal(image.format, 'raw');
  assert.equal(image.frames, 3);
  assert.deepEqual(frames(image, 0, 1, 2, 3, -1), [5, 6, 7, null, null]);
  assert.deepEqual(image.page(2)?.bytes.subarray(8, 12), Uint8Array.of(7, 7, 0, 0));
  assert.equal(image.writablePage(), null);
});

test('lime: ranges with holes, whatever their order, also such as do not begin with a page', () => {
  const range = (address: number, bytes: Uint8Array): Uint8Array[] => [limeHeader(address, bytes.length), bytes];
  const whole = Buffer.concat([
    ...range(0x10_0000, filled(2, 30)),
    ...range(0x1000, filled(2, 10)),
    ...range(0x3800, filled(1, 20).subarray(0, 0x800)),
    ...range(0x3000, filled(1, 25).subarray(0, 0x400)),
  ]);
  for (const image of [MemoryImage.open(save(whole)), MemoryImage.from(whole)]) {
    assert.equal(image.format, 'lime');
    assert.equal(image.frames, 0x102);
    assert.deepEqual(frames(image, 0, 1, 2, 3, 4, 0x100, 0x101, 0x102), [null, 10, 11, 25, null, 30, 31, null]);
    const third = image.page(3)?.bytes;
    assert.deepEqual([third?.[0x3ff], third?.[0x400], third?.[0x800], third?.[0xfff]], [25, 0, 20, 20]);
    image.close();
    image.close();
    assert.throws(() => image.page(1), TypeError);
  }
});

/** An ELF core as Xen makes it: sections for the pages and for their frame numbers. */
function xenCore(list: '.xen_pfn' | '.xen_p2m', numbers: readonly bigint[], pages: Uint8Array): Buffer {
  const names = '\0.shstrtab\0.xen_pages\0.xen_pfn\0.xen_p2m\0';
  const table = Buffer.alloc(numbers.length * 8);
  numbers.forEach((number, i) => void table.writeBigUInt64LE(number, i * 8));
  const parts = [
    { name: '', bytes: Buffer.alloc(0) },
    { name: '.shstrtab', bytes: Buffer.from(names) },
    { name: list, bytes: table },
    { name: '.xen_pages', bytes: Buffer.from(pages) },
  ];
  const header = Buffer.alloc(64 + parts.length * 64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeBigUInt64LE(64n, 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(parts.length, 60);
  header.writeUInt16LE(1, 62);
  let offset = header.length;
  parts.forEach(({ name, bytes }, i) => {
    header.writeUInt32LE(name === '' ? 0 : names.indexOf(name), 64 + i * 64);
    header.writeUInt32LE(1, 64 + i * 64 + 4);
    header.writeBigUInt64LE(BigInt(offset), 64 + i * 64 + 24);
    header.writeBigUInt64LE(BigInt(bytes.length), 64 + i * 64 + 32);
    offset += bytes.length;
  });
  return Buffer.concat([header, ...parts.map(({ bytes }) => bytes)]);
}

test("elf: Xen's core of an HVM guest, and of a PV guest", () => {
  const hvm = MemoryImage.open(save(xenCore('.xen_pfn', [7n, 2n, 3n, 2n ** 64n - 1n], filled(4, 40))));
  assert.equal(hvm.format, 'elf');
  assert.deepEqual(frames(hvm, 7, 2, 3, 4), [40, 41, 42, null]);
  assert.equal(hvm.runs.length, 2, 'frames in a row are one run');
  hvm.close();
  using pv = MemoryImage.open(save(xenCore('.xen_p2m', [1n, 900n, 0n, 901n], filled(2, 50))));
  assert.deepEqual(frames(pv, 0, 1, 900), [51, 50, null]);
});

/** An ELF core with program headers. */
function loadCore(segments: readonly { address: number; bytes: Uint8Array }[]): Buffer {
  const header = Buffer.alloc(64 + segments.length * 56);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(segments.length, 56);
  let offset = header.length;
  segments.forEach(({ address, bytes }, i) => {
    const at = 64 + i * 56;
    header.writeUInt32LE(1, at);
    header.writeBigUInt64LE(BigInt(offset), at + 8);
    header.writeBigUInt64LE(BigInt(address), at + 24);
    header.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    offset += bytes.length;
  });
  return Buffer.concat([header, ...segments.map(({ bytes }) => bytes)]);
}

test('elf: a core with a program header for each range', () => {
  using image = MemoryImage.open(
    save(
      loadCore([
        { address: 0x5000, bytes: filled(1, 9) },
        { address: 0, bytes: filled(2, 3) },
      ]),
    ),
  );
  assert.deepEqual(frames(image, 0, 1, 2, 5, 6), [3, 4, null, 9, null]);
});

for (const [what, bytes] of [
  ['a LiME header of another version', Buffer.concat([limeHeader(0, 1).fill(9, 4, 5), Buffer.alloc(1)])],
  ['a LiME header that is cut off', limeHeader(0, 1).subarray(0, 20)],
  ['a LiME range beyond the file', limeHeader(0, 4096)],
  ['a LiME range that ends before it begins', limeHeader(4096, -10)],
  [
    'LiME ranges on top of each other',
    Buffer.concat([limeHeader(0, 2), Buffer.alloc(2), limeHeader(1, 1), Buffer.alloc(1)]),
  ],
  ['an ELF of 32 bits', Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 1]), Buffer.alloc(60)])],
  ['an ELF that is cut off', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1])],
  ['an ELF without memory', Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]), Buffer.alloc(64)])],
  [
    "a Xen core without its pages' numbers",
    xenCore('.xen_pfn', [1n], filled(1, 1)).map((b, i) => (i >= 64 + 256 && b === 0x66 ? 0 : b)),
  ],
] as const) {
  test(`open: ${what} is refused`, () => {
    assert.throws(() => MemoryImage.from(bytes), { name: 'ImageFormatError', code: 'ERR_XENCTRL_IMAGE' });
  });
}

test('from: a broken file of any kind is an ImageFormatError or an image, and reads within it', () => {
  const seeds = [
    xenCore('.xen_pfn', [1n, 2n], filled(2, 1)),
    loadCore([{ address: 0x1000, bytes: filled(1, 1) }]),
    Buffer.concat([limeHeader(0x1000, 4096), filled(1, 1)]),
  ];
  const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom(...seeds), damage, fc.nat(9000), (seed, changes, length) => {
      const bytes = Buffer.from(seed);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        const image = MemoryImage.from(bytes.subarray(0, length));
        for (const frame of [0, 1, 2, 3, image.frames - 1]) image.page(frame);
      } catch (error) {
        assert.equal((error as Error).name, 'ImageFormatError', (error as Error).stack);
      }
    }),
    { numRuns: 3000 },
  );
});

test('dumpMemory, open: what was saved is what was there', async () => {
  const there = [0, 1, 2, 255, 256, 257, 600].sort((a, b) => a - b);
  const memory = new TestMemory(there);
  for (const frame of there) memory.writablePage(frame)?.bytes.fill(frame & 0xff);
  for (const format of ['lime', 'raw'] as const) {
    const path = join(folder, `dump.${format}`);
    assert.deepEqual(await dumpMemory(memory, path, { format }), { pages: 7, frames: 601 });
    using image = MemoryImage.open(path);
    assert.equal(image.format, format === 'raw' && readFileSync(path)[0] === 0 ? 'raw' : format);
    for (let frame = 0; frame < 601; frame++) {
      const wanted = there.includes(frame) ? frame & 0xff : format === 'raw' ? 0 : null;
      assert.deepEqual(frames(image, frame), [wanted], `${format} ${frame}`);
    }
    if (format === 'raw') assert.equal(statSync(path).size, 601 * 4096);
    else assert.equal(image.runs.length, 3, 'frames in a row are one range, also across chunks');
  }
  await dumpMemory(memory, join(folder, 'part'), { format: 'raw', first: 255, count: 2 });
  assert.deepEqual([...new Set(readFileSync(join(folder, 'part')))], [255, 0]);
  await assert.rejects(dumpMemory(memory, join(folder, 'x'), { format: 'zip' as 'raw' }), TypeError);
  await assert.rejects(dumpMemory(memory, join(folder, 'x'), { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('diffMemory: what changed, what went, what is new', async () => {
  const before = new TestMemory([0, 1, 2, 300]);
  const after = new TestMemory([0, 1, 300, 301]);
  after.writablePage(1)?.bytes.set([1, 0, 2], 100);
  const found = [];
  for await (const one of diffMemory(before, after)) found.push(one);
  assert.deepEqual(found, [
    { frame: 1, kind: 'changed', first: 100, last: 102 },
    { frame: 2, kind: 'gone', first: 0, last: 4095 },
    { frame: 301, kind: 'new', first: 0, last: 4095 },
  ]);
});

test('an image beyond 4 GiB', () => {
  const path = join(folder, 'large');
  const file = openSync(path, 'w');
  ftruncateSync(file, 5 * 2 ** 30);
  writeSync(file, Buffer.from('far away\0'), 0, 9, 4.5 * 2 ** 30);
  closeSync(file);
  using vmi = Introspector.image(path);
  assert.equal(vmi.physical.string(4.5 * 2 ** 30), 'far away');
  assert.throws(() => vmi.physical.write(0, Uint8Array.of(1)), { name: 'MemoryFault' });
  assert.throws(() => vmi.registers(), TypeError);
  assert.throws(() => vmi.pause(), TypeError);
});
