import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressSpace } from '#dist/vmi/address_space.js';
import { Freshness } from '#dist/vmi/freshness.js';
import type { Memory } from '#dist/vmi/memory.js';
import { findPattern, type Pattern, pattern, textPattern } from '#dist/vmi/pattern.js';
import { PhysicalMemory } from '#dist/vmi/physical_memory.js';
import type { SearchOptions } from '#dist/vmi/search.js';
import { TestMemory } from './test_memory.js';

async function all(memory: Memory, of: Pattern, options?: SearchOptions): Promise<bigint[]> {
  const found: bigint[] = [];
  for await (const address of memory.search(of, options)) found.push(address);
  return found;
}

test('pattern: hexadecimal digits, half bytes, blanks', () => {
  const { bytes, mask, anchor } = pattern('48 8B ??\n4? ?f c3 c3');
  assert.deepEqual([...bytes], [0x48, 0x8b, 0, 0x40, 0x0f, 0xc3, 0xc3]);
  assert.deepEqual([...mask], [0xff, 0xff, 0, 0xf0, 0x0f, 0xff, 0xff]);
  assert.deepEqual(anchor, { offset: 0, bytes: Uint8Array.of(0x48, 0x8b) });
  assert.deepEqual(pattern(Uint8Array.of(1, 2), Uint8Array.of(0x7f, 0xff)).anchor.offset, 1);
  assert.deepEqual([...textPattern('aé', 'utf16le').bytes], [0x61, 0, 0xe9, 0]);
});

for (const [what, make] of [
  ['empty', () => pattern('')],
  ['no digit', () => pattern('4g')],
  ['half a byte', () => pattern('48 8')],
  ['nothing certain', () => pattern('?? 4? ??')],
  ['another mask', () => pattern(Uint8Array.of(1), Uint8Array.of(1, 2))],
  ['too long', () => pattern(new Uint8Array(4097).fill(1))],
] as const) {
  test(`pattern: ${what} is refused`, () => assert.throws(make, { name: 'PatternError' }));
}

test('findPattern: where a byte by byte comparison finds it', () => {
  const byte = fc.constantFrom(0, 1, 2);
  const bytes = fc.uint8Array({ min: 0, max: 2, maxLength: 40 });
  const wanted = fc.array(fc.tuple(byte, fc.constantFrom(0xff, 0xff, 0)), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(bytes, wanted, fc.nat(10), (haystack, items, from) => {
      fc.pre(items.some(([, mask]) => mask === 0xff));
      const of = pattern(
        Uint8Array.from(items, ([value]) => value),
        Uint8Array.from(items, ([, mask]) => mask),
      );
      const fits = (at: number): boolean => items.every(([value, mask], i) => mask === 0 || haystack[at + i] === value);
      let first = -1;
      for (let at = haystack.length - items.length; at >= from; at--) if (fits(at)) first = at;
      assert.equal(findPattern(Buffer.from(haystack), of, from), first);
    }),
    { numRuns: 2000 },
  );
});

test('search physical: across pages and chunks, not across holes, in a range, aligned', async () => {
  const frames = Array.from({ length: 600 }, (_, i) => i).filter((i) => i !== 3 && i !== 300);
  const memory = new TestMemory(frames);
  const physical = new PhysicalMemory(memory);
  const needle = Buffer.from('needle');
  const put = (at: number): void => physical.write(at, needle);
  const at = [0, 4093, 256 * 4096 - 3, 599 * 4096 + 4090, 4 * 4096];
  for (const address of at) put(address);
  // a hole between the two halves: no hit
  physical.write(3 * 4096 - 3, needle.subarray(0, 3));
  physical.write(4 * 4096 + 100, needle.subarray(3));
  const sorted = [...at].sort((a, b) => a - b).map(BigInt);
  assert.deepEqual(await all(physical, textPattern('needle')), sorted);
  assert.deepEqual(await all(physical, textPattern('needle'), { align: 4096 }), [0n, 16384n]);
  assert.deepEqual(await all(physical, textPattern('needle'), { start: 1, length: 5000 }), [4093n]);
  assert.deepEqual(await all(physical, textPattern('needle'), { start: 4093, length: 5 }), []);
  assert.deepEqual(await all(physical, textPattern('needle'), { start: 4093, length: 6 }), [4093n]);
  assert.deepEqual(await all(physical, textPattern('needle'), { start: 600 * 4096, length: 10 }), []);
  assert.deepEqual(await all(physical, pattern('6e ?? 65 6? 6c 65'), { align: 4096 }), [0n, 16384n]);
});

test('search: overlapping hits are all found', async () => {
  const memory = new TestMemory([0, 1]);
  const physical = new PhysicalMemory(memory);
  physical.write(4090, Buffer.from('aaaaaaaa'));
  assert.deepEqual(await all(physical, textPattern('aaaaaa')), [4090n, 4091n, 4092n]);
});

test('search virtual: what is mapped, in the order of addresses, across pages that are apart in memory', async () => {
  const memory = new TestMemory([1, 2, 3, 4, 5, 6, 7, 20, 21, 22, 1024]);
  memory.put64(0x1000, 0x2067n); // 0
  memory.put64(0x1000 + 511 * 8, 0x5067n); // the upper half's last 512 GiB
  memory.put64(0x2000, 0x3067n);
  memory.put64(0x3000 + 8, 0x4067n); // 2 MiB
  memory.put64(0x3000 + 16, 0x40_00e7n); // 4 MiB, one large page, of which one frame has memory
  memory.put64(0x4000 + 511 * 8, 0x1_6067n); // its last page: frame 22
  memory.put64(0x4000 + 8, 0x1_4067n);
  memory.put64(0x5000 + 511 * 8, 0x6067n);
  memory.put64(0x6000 + 511 * 8, 0x7067n);
  memory.put64(0x7000 + 511 * 8, 0x1_5067n);
  const space = new AddressSpace(memory, new Freshness(true), { mode: '4-level' }, 0x1000n, 1024);
  const top = 0xffff_ffff_ffff_f000n;
  space.write(0x3f_fffd, Buffer.from('needle')); // frames 22 and 1024
  space.write(0x20_1000, Buffer.from('needle'));
  space.write(top + 4090n, Buffer.from('needle'));
  assert.deepEqual(await all(space, textPattern('needle')), [0x20_1000n, 0x3f_fffdn, top + 4090n]);
  assert.deepEqual(await all(space, textPattern('needle'), { start: top }), [top + 4090n]);
  assert.deepEqual(await all(space, textPattern('needle'), { start: 0x30_0000, length: 2 ** 40 }), [0x3f_fffdn]);
  assert.deepEqual(await all(space, textPattern('needle'), { start: 1n << 50n, length: 4096 }), []);
});

for (const mode of ['none', '32-bit', 'pae', '5-level'] as const) {
  test(`search virtual: ${mode}, from the first address to the last`, async () => {
    const memory = new TestMemory([1, 2, 3, 4, 5, 6]);
    if (mode === '32-bit') {
      memory.put32(0x1000 + 1023 * 4, 0x2067);
      memory.put32(0x2000 + 1023 * 4, 0x6067);
    } else {
      const root = mode === 'pae' ? [3] : [511, 511, 511];
      const entry = mode === 'pae' ? 1n : 0x67n;
      for (const [i, index] of root.entries()) memory.put64((i + 1) * 4096 + index * 8, BigInt(i + 2) * 4096n + entry);
      memory.put64((root.length + 1) * 4096 + 511 * 8, BigInt(root.length + 2) * 4096n + 0x67n);
      memory.put64((root.length + 2) * 4096 + 511 * 8, 0x6067n);
    }
    memory.writablePage(6)?.bytes.set(Buffer.from('end'), 4093);
    const space = new AddressSpace(memory, new Freshness(true), { mode }, 0x1000n, 1024);
    const wanted = { none: 0x6ffdn, '32-bit': 0xffff_fffdn, pae: 0xffff_fffdn, '5-level': 2n ** 64n - 3n }[mode];
    if (mode === 'none') assert.deepEqual(await all(space, textPattern('end'), { length: 0x7000 }), [wanted]);
    else assert.deepEqual(await all(space, textPattern('end')), [wanted]);
  });
}

test('search: progress, and a signal that stops it between two pieces', async () => {
  const memory = new TestMemory(Array.from({ length: 1024 }, (_, i) => i));
  const physical = new PhysicalMemory(memory);
  const seen: [number, number][] = [];
  const stop = new AbortController();
  const onProgress = (done: number, total: number): void => {
    seen.push([done, total]);
  };
  assert.deepEqual(await all(physical, textPattern('x'), { onProgress }), []);
  assert.deepEqual(seen.slice(0, 2), [
    [256, 1024],
    [512, 1024],
  ]);
  assert.deepEqual(seen.at(-1), [1024, 1024]);
  const stopping = { signal: stop.signal, onProgress: (done: number) => done === 512 && stop.abort() };
  await assert.rejects(all(physical, textPattern('x'), stopping as SearchOptions), { name: 'AbortError', done: 512 });
});

test('search: options that are none', async () => {
  const physical = new PhysicalMemory(new TestMemory([0]));
  const refused = (options: object, kind: typeof Error): Promise<void> =>
    assert.rejects(all(physical, textPattern('x'), options as SearchOptions), kind);
  await refused({ start: 0.5 }, RangeError);
  await refused({ length: -1 }, RangeError);
  await refused({ align: 0 }, RangeError);
  await refused({ signal: 1 }, TypeError);
  await refused({ onProgress: 1 }, TypeError);
});
