import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressIn, pageNumber, pageOffset } from '#dist/vmi/address.js';
import { PageTables } from '#dist/vmi/page_tables.js';
import { checkPaging, type Paging, type PagingMode, pagingOf } from '#dist/vmi/paging.js';
import { type Reference, referenceWalk } from './reference_walk.js';
import { TestMemory } from './test_memory.js';

const MODES: readonly Exclude<PagingMode, 'none'>[] = ['32-bit', 'pae', '4-level', '5-level'];

function ours(memory: TestMemory, paging: Paging, cr3: bigint, address: bigint): Reference {
  const walked = new PageTables(memory, paging, cr3).walk(pageNumber(address), pageOffset(address));
  if (!walked.mapped) return { ok: false, why: walked.reason, level: walked.level };
  const { address: at, pageSize, writable, user, executable, accessed, dirty } = walked;
  return {
    ok: true,
    address: BigInt(at),
    size: BigInt(pageSize),
    w: writable,
    u: user,
    x: executable,
    a: accessed,
    d: dirty,
  };
}

/** Few frames, so that random tables meet each other, themselves, and holes. */
const FRAMES = 6;
const frame = fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: FRAMES + 1 }) }, fc.nat(2 ** 20 - 1));

/** An entry that is mostly a sound one, with a bit flipped here and there. */
const entry = fc
  .record({
    frame,
    low: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(0x67, 0x63, 0x27, 0x25, 0xe7, 0x1e3, 0x1, 0x9) },
      fc.nat(0xfff),
    ),
    flip: fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 63 })), { freq: 3 }),
    xd: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  })
  .map(({ frame: to, low, flip, xd }) => {
    const value = (BigInt(to) << 12n) | BigInt(low) | (xd ? 1n << 63n : 0n);
    return flip === null ? value : value ^ (1n << BigInt(flip));
  });

/** Addresses whose indexes are among the few that the tables fill. */
const address = fc.oneof(
  { weight: 6, arbitrary: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }) },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
);

/** Every way that a walk can end. */
function outcomes(mode: Exclude<PagingMode, 'none'>): string[] {
  const [top, sizes] = {
    '32-bit': [2, ['4096', '4194304']],
    pae: [3, ['4096', '2097152']],
    '4-level': [4, ['4096', '2097152', '1073741824']],
    '5-level': [5, ['4096', '2097152', '1073741824']],
  }[mode] as [number, string[]];
  const ends = ['no-table', 'not-present', 'reserved-bits'].flatMap((why) =>
    Array.from({ length: top }, (_, i) => `${why} ${i + 1}`),
  );
  const never = mode === '32-bit' ? ['reserved-bits 1'] : [];
  return [...sizes.map((size) => `page of ${size}`), ...ends, 'not-canonical 0'].filter((one) => !never.includes(one));
}

for (const mode of MODES) {
  test(`walk ${mode}: as the reference, whatever the tables hold`, () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: FRAMES * 4, maxLength: FRAMES * 4 }),
        address,
        fc.record({ pse: fc.boolean(), nx: fc.boolean(), physicalBits: fc.constantFrom(32, 36, 40, 46, 52) }),
        fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 0, max: FRAMES }).map((n) => BigInt(n) << 12n) },
          fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        ),
        fc.boolean(),
        (entries, where, how, root, upper) => {
          const wide = mode !== '32-bit';
          const memory = new TestMemory(Array.from({ length: FRAMES }, (_, i) => i));
          entries.forEach((value, i) => {
            // four entries at the start of each table, and four at the end, which the upper half uses
            const slot = upper ? (wide ? 508 : 1020) + (i % 4) : i % 4;
            const at = Math.floor(i / 4) * 4096 + slot * (wide ? 8 : 4);
            if (wide) memory.put64(at, value);
            else memory.put32(at, Number(value & 0xffff_ffffn));
          });
          const at = typeof where === 'bigint' ? where : indexed(mode, where, upper);
          const paging: Paging = { mode, ...how };
          const cr3 = mode === 'pae' && upper ? root | 0xfe0n : root; // the last four entries of the frame
          const wanted = referenceWalk(memory, paging, cr3, at);
          assert.deepEqual(ours(memory, paging, cr3, at), wanted);
          const frame = new PageTables(memory, paging, cr3).frameOf(pageNumber(at));
          assert.equal(frame, wanted.ok ? Number(wanted.address / 4096n) : -1);
          seen.add(wanted.ok ? `page of ${wanted.size}` : `${wanted.why} ${wanted.level}`);
        },
      ),
      { numRuns: 5000, seed: 4 },
    );
    assert.deepEqual([...seen].sort(), outcomes(mode).sort(), 'the tables were good and bad in every way');
  });
}

/** The address whose indexes are these, counted from the end of each table for the upper half. */
function indexed(mode: PagingMode, indexes: readonly number[], upper: boolean): bigint {
  const [levels, width] = { '32-bit': [2, 10n], pae: [3, 9n], '4-level': [4, 9n], '5-level': [5, 9n], none: [0, 0n] }[
    mode
  ] as [number, bigint];
  let value = 0n;
  for (const index of indexes.slice(0, levels)) {
    const most = upper ? (1n << width) - 4n : 0n;
    value = (value << width) | (most + BigInt(index));
  }
  value = (value << 12n) | 0xabcn;
  return mode === '32-bit' || mode === 'pae'
    ? value % (1n << 32n)
    : BigInt.asUintN(64, BigInt.asIntN(12 + 9 * levels, value));
}

test('walk: tables in a circle end after as many levels as there are', () => {
  const memory = new TestMemory([1]);
  memory.put64(4096 + 8 * 0x1ff, 0x1063n); // Windows has such an entry on purpose
  const walked = new PageTables(memory, { mode: '4-level' }, 0x1000n).walk(-1, 0);
  assert.ok(walked.mapped);
  assert.equal(walked.address, 0x1000);
  assert.deepEqual(
    walked.steps.map(({ level, address: at, value }) => [level, at, value]),
    [4, 3, 2, 1].map((level) => [level, 0x1ff8, 0x1063n]),
  );
  assert.equal(memory.asked.length, 4);
});

test('walk: paging off is the physical address, and nothing beyond 52 bits', () => {
  const memory = new TestMemory();
  const walked = new PageTables(memory, { mode: 'none' }, 0n).walk(0x12345, 0x678);
  assert.ok(walked.mapped && walked.address === 0x1234_5678 && walked.steps.length === 0);
  for (const page of [-1, 2 ** 40, Number.NaN, 0.5 - 1]) {
    const none = new PageTables(memory, { mode: 'none' }, 0n).walk(page, 0);
    assert.deepEqual(none, { mapped: false, reason: 'not-canonical', level: 0, steps: [] });
  }
});

test('pagingOf: the mode that the registers select', () => {
  const pg = 1n << 31n;
  const pae = 1n << 5n;
  const rows: [bigint, bigint, bigint, PagingMode][] = [
    [0n, pae, 0xd00n, 'none'],
    [pg, 1n << 12n, 0x400n, '32-bit'],
    [pg, pae, 0n, 'pae'],
    [pg, pae, 0x400n, '4-level'],
    [pg, pae | (1n << 12n), 0x400n, '5-level'],
  ];
  for (const [cr0, cr4, msr_efer, mode] of rows) assert.equal(pagingOf({ cr0, cr4, msr_efer }).mode, mode);
  assert.deepEqual(pagingOf({ cr0: pg, cr4: 1n << 4n, msr_efer: 1n << 11n }), { mode: '32-bit', pse: true, nx: true });
  assert.deepEqual(pagingOf({ cr0: pg, cr4: pae, msr_efer: 0x400n }), { mode: '4-level', pse: false, nx: false });
});

test('checkPaging: refuses what is no way to walk', () => {
  assert.throws(() => checkPaging({ mode: '3-level' as PagingMode }), TypeError);
  for (const physicalBits of [31, 53, 40.5]) {
    assert.throws(() => checkPaging({ mode: '4-level', physicalBits }), RangeError);
  }
});

test('pageNumber, pageOffset, addressIn: the same for a number and for the bigint it stands for', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }), (number) => {
      const big = BigInt.asUintN(64, BigInt(number));
      assert.equal(pageNumber(number), pageNumber(big));
      assert.equal(pageOffset(number), pageOffset(big));
      assert.equal(addressIn(pageNumber(number), pageOffset(number)), big);
    }),
  );
});
