import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressSpace } from '#dist/vmi/address_space.js';
import { MemoryFault } from '#dist/vmi/fault.js';
import { Freshness } from '#dist/vmi/freshness.js';
import type { Memory } from '#dist/vmi/memory.js';
import { PhysicalMemory } from '#dist/vmi/physical_memory.js';
import { TestMemory } from './test_memory.js';

const KERNEL = 0xffff_8880_0000_0000n;
const PAGES = 8;
const GAP = 5;

/**
 * Eight virtual pages from `base` on, whose frames are in no order; page 5 is not mapped. Tables are in frames 1 to 4.
 */
function space(base: bigint, freshness = new Freshness(false)): { memory: TestMemory; space: AddressSpace } {
  const memory = new TestMemory([1, 2, 3, 4, ...FRAMES]);
  const index = (shift: bigint): number => Number((base >> shift) & 511n) * 8;
  memory.put64(0x1000 + index(39n), 0x2067n);
  memory.put64(0x2000 + index(30n), 0x3067n);
  memory.put64(0x3000 + index(21n), 0x4067n);
  FRAMES.forEach((frame, i) => {
    if (i !== GAP) memory.put64(0x4000 + index(12n) + i * 8, BigInt(frame * 4096 + 0x67));
  });
  return { memory, space: new AddressSpace(memory, freshness, { mode: '4-level' }, 0x1000n, 1024) };
}
const FRAMES = [20, 13, 17, 11, 30, 31, 12, 19];

/** What a read of a range must give: bytes up to the first page that is not there. */
function reachable(start: number, length: number): number {
  const gap = GAP * 4096;
  return start >= gap + 4096 || start + length <= gap ? length : Math.max(0, gap - start);
}

for (const [name, base] of [
  ['lower half', 0x7f00_0000_0000n],
  ['upper half', KERNEL],
] as const) {
  test(`read, readInto, write: any length across pages, ${name}`, () => {
    const { space: memory } = space(base);
    const model = new Uint8Array(PAGES * 4096);
    const range = fc
      .tuple(fc.nat(PAGES * 4096 - 1), fc.nat(3 * 4096), fc.boolean(), fc.nat(255))
      .map(([start, length, big, fill]) => ({ start, length: Math.min(length, PAGES * 4096 - start), big, fill }));
    fc.assert(
      fc.property(range, ({ start, length, big, fill }) => {
        const at = base + BigInt(start);
        const address = big ? at : Number(BigInt.asIntN(64, at));
        const bytes = new Uint8Array(length).map((_, i) => fill + i);
        const whole = length > 0 && (start + length <= GAP * 4096 || start >= (GAP + 1) * 4096);
        if (whole) {
          memory.write(address, bytes);
          model.set(bytes, start);
          assert.deepEqual(memory.read(address, length), bytes);
        } else if (length > 0) {
          assert.throws(() => memory.write(address, bytes), MemoryFault);
        }
        const target = new Uint8Array(length);
        const wanted = reachable(start, length);
        assert.equal(memory.readInto(address, target), wanted);
        assert.deepEqual(target.subarray(0, wanted), model.subarray(start, start + wanted));
        assert.ok(target.subarray(wanted).every((byte) => byte === 0));
      }),
      { numRuns: 500 },
    );
  });
}

test('read, write: the fault says where, why and on which level', () => {
  const { space: memory } = space(KERNEL);
  const wanted = { name: 'MemoryFault', code: 'ERR_XENCTRL_MEMORY_FAULT', address: KERNEL + 0x5000n };
  assert.throws(() => memory.read(KERNEL + 0x4ff0n, 32), { ...wanted, reason: 'not-present', level: 1 });
  assert.throws(() => memory.write(KERNEL + 0x4ff0n, new Uint8Array(32)), { ...wanted, reason: 'not-present' });
  assert.equal(memory.u8(KERNEL + 0x4ff0n), 0, 'nothing was written before the fault');
  assert.throws(() => memory.u32(KERNEL + 0x4ffen), { ...wanted, message: /0xffff888000005000: .*level 1/ });
  assert.throws(() => memory.read(1n << 47n, 1), { reason: 'not-canonical', address: 1n << 47n });
  assert.throws(() => memory.read(0, 1), { reason: 'not-present', level: 4 });
  const physical = new PhysicalMemory(new TestMemory([1]));
  assert.throws(() => physical.read(0x1ff8, 16), { reason: 'no-memory', address: 0x2000n });
  assert.throws(() => physical.u64(-8), { reason: 'no-memory', address: 0xffff_ffff_ffff_fff8n });
});

test('read, translate: addresses and lengths that are none', () => {
  const { space: memory } = space(KERNEL);
  for (const address of [Number.NaN, 0.5, 2 ** 53, 0xffff_8880_0000_0000, Number.POSITIVE_INFINITY]) {
    assert.throws(() => memory.read(address, 1), RangeError, String(address));
    assert.throws(() => memory.translate(address), RangeError, String(address));
    assert.throws(() => memory.u8(address), RangeError, String(address));
  }
  assert.throws(() => memory.read('0' as unknown as number, 1), TypeError);
  for (const length of [-1, 1.5, Number.NaN, 2 ** 40]) assert.throws(() => memory.read(KERNEL, length), RangeError);
  assert.throws(() => memory.write(KERNEL, [1] as unknown as Uint8Array), TypeError);
});

function words(memory: Memory, at: bigint): unknown[] {
  return [memory.u8(at), memory.u16(at), memory.u32(at), memory.i32(at), memory.u64(at), memory.pointer(at)];
}

test('u8 to u64, pointer: within a page and across two', () => {
  const { space: memory } = space(KERNEL);
  const bytes = Uint8Array.from([0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8]);
  const wanted = [0xf1, 0xf2f1, 0xf4f3f2f1, 0xf4f3f2f1 | 0, 0xf8f7f6f5f4f3f2f1n, 0xf8f7f6f5f4f3f2f1n];
  for (const offset of [0n, 0xff8n, 0xff9n, 0xffdn, 0xfffn]) {
    memory.write(KERNEL + offset, bytes);
    assert.deepEqual(words(memory, KERNEL + offset), wanted);
  }
});

test('a bigint counts modulo 2^64', () => {
  const { space: memory } = space(KERNEL);
  for (const address of [KERNEL, KERNEL + (1n << 64n), KERNEL - (1n << 64n)])
    assert.equal(memory.translate(address), 20 * 4096);
});

test('string, utf16: up to the NUL, the limit, or the end of memory', () => {
  const { space: memory } = space(KERNEL);
  const text = (at: bigint, value: string): void => memory.write(KERNEL + at, Buffer.from(value));
  text(0xffcn, 'over the page\0after');
  assert.equal(memory.string(KERNEL + 0xffcn), 'over the page');
  assert.equal(memory.string(KERNEL + 0xffcn, 8), 'over the');
  text(0x4ffan, 'to end');
  assert.equal(memory.string(KERNEL + 0x4ffan), 'to end', 'memory ends behind it');
  assert.throws(() => memory.string(KERNEL + 0x5000n), MemoryFault);
  memory.write(KERNEL + 0xffdn, Buffer.from('Ā\0grün€\0', 'utf16le'));
  assert.equal(memory.utf16(KERNEL + 0xffdn), 'Ā');
  assert.equal(memory.utf16(KERNEL + 0x1001n), 'grün€', 'characters across pages');
  assert.equal(memory.utf16(KERNEL + 0x1001n, 2), 'gr');
  assert.equal(memory.string(KERNEL, 0), '');
});

test('struct: fields of every kind, and only those that are named', () => {
  const { space: memory } = space(KERNEL);
  const bytes = new Uint8Array(64).map((_, i) => 0x80 + i);
  bytes.set(Buffer.from('init\0junk'), 40);
  memory.write(KERNEL + 0xff0n, bytes);
  const at = (layout: Parameters<Memory['struct']>[1]) => memory.struct(KERNEL + 0xff0n, layout);
  assert.deepEqual(at({ a: [8, 'u8'], b: [9, 'i8'], c: [10, 'u16'], d: [12, 'i16'], e: [14, 'u32'] }), {
    a: 0x88,
    b: 0x89 - 256,
    c: 0x8b8a,
    d: 0x8d8c - 65536,
    e: 0x91908f8e,
  });
  assert.deepEqual(at({ f: [8, 'i32'], g: [16, 'u64'], h: [16, 'i64'], p: [16, 'pointer'] }), {
    f: 0x8b8a8988 | 0,
    g: 0x9796959493929190n,
    h: BigInt.asIntN(64, 0x9796959493929190n),
    p: 0x9796959493929190n,
  });
  assert.deepEqual(at({ name: [40, 'string', 16], raw: [40, 'bytes', 2], all: [40, 'string', 3] }), {
    name: 'init',
    raw: Uint8Array.from([0x69, 0x6e]),
    all: 'ini',
  });
  assert.deepEqual(at({}), {});
});

test('translate: from the cache, from the tables, and -1', () => {
  const { memory, space: of } = space(KERNEL);
  const number = Number(BigInt.asIntN(64, KERNEL));
  for (const address of [number + 0x1234, KERNEL + 0x1234n, BigInt(number + 0x1234)]) {
    assert.equal(of.translate(address), 13 * 4096 + 0x234);
  }
  memory.asked.length = 0;
  assert.equal(of.translate(number + 0x1fff), 13 * 4096 + 0xfff);
  assert.deepEqual(memory.asked, [], 'the tables were not read again');
  assert.equal(of.translate(number + GAP * 4096), -1);
  memory.put64(0x4000 + GAP * 8, BigInt(FRAMES[GAP] as number) * 4096n + 0x67n);
  assert.equal(of.translate(number + GAP * 4096), 31 * 4096, 'that it was not mapped is not remembered');
});

test('translate: kept until the next turn of the event loop, or as long as it is held', async () => {
  const freshness = new Freshness(true);
  const { memory, space: of } = space(KERNEL, freshness);
  const remap = (frame: number): void => memory.put64(0x4000, BigInt(frame) * 4096n + 0x67n);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  assert.equal(of.translate(KERNEL), 20 * 4096);
  remap(13);
  assert.equal(of.translate(KERNEL), 20 * 4096, 'the same moment');
  await turn();
  assert.equal(of.translate(KERNEL), 13 * 4096, 'another moment');
  const held = freshness.hold();
  assert.equal(of.translate(KERNEL), 13 * 4096);
  remap(17);
  await turn();
  await turn();
  assert.equal(of.translate(KERNEL), 13 * 4096, 'who holds says that nothing changes');
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  assert.equal(of.translate(KERNEL), 17 * 4096);
  freshness.renew();
  remap(20);
  assert.equal(of.translate(KERNEL), 20 * 4096);
});

test('translate: as the tables say, however many pages push each other out of the cache', () => {
  const memory = new TestMemory([1, 2, 3, 4]);
  memory.put64(0x1000, 0x2067n);
  memory.put64(0x2000, 0x3067n);
  for (let i = 0; i < 512; i++) memory.put64(0x3000 + i * 8, BigInt(i) * 0x20_0000n + 0xe7n); // 2 MiB each
  const of = new AddressSpace(memory, new Freshness(false), { mode: '4-level' }, 0x1000n, 2048);
  for (let round = 0; round < 3; round++) {
    for (let page = 0; page < 2 ** 18; page += 61) assert.equal(of.translate(page * 4096 + 7), page * 4096 + 7);
  }
});
