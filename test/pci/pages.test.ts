import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { neighbours, PageMap } from '#dist/pci/pages.js';

test('neighbours: what is in the pages of the pieces and not in them', () => {
  const piece = (from: number, to: number) => ({ from, to });
  assert.deepEqual(neighbours([piece(0x2000, 0x240f), piece(0x3000, 0x300f)], 0xfe2c8000n, 0x4000n), [
    piece(0x2410, 0x2fff),
    piece(0x3010, 0x3fff),
  ]);
  assert.deepEqual(neighbours([piece(0, 0xfff)], 0xfe000000n, 0x1000n), []);
  assert.deepEqual(
    neighbours([piece(0, 15)], 0xfe000800n, 0x100n),
    [piece(16, 0xff)],
    'a BAR that is less than a page',
  );
  assert.deepEqual(neighbours([piece(0, 15), piece(0x800, 0x807)], 0xfe000000n, null), [
    piece(16, 0x7ff),
    piece(0x808, 0xfff),
  ]);
});

test('property: neighbours are those of asking each byte', () => {
  const piece = fc
    .tuple(fc.nat(0x4fff), fc.integer({ min: 1, max: 0x1800 }))
    .map(([from, bytes]) => ({ from, to: from + bytes - 1 }));
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 3 }), fc.nat(7), fc.nat(3), (pieces, start, more) => {
      const address = 0xfe000000n + BigInt(start * 0x200);
      const size = Math.max(...pieces.map(({ to }) => to + 1)) + more * 0x300;
      const page = (offset: number): number => Math.floor((start * 0x200 + offset) / 4096);
      const guarded = new Set(
        pieces.flatMap(({ from, to }) =>
          [page(from), page(from) + 1, to].map((_, i) => Math.min(page(from) + i, page(to))),
        ),
      );
      const wanted: number[] = [];
      for (let offset = 0; offset < size; offset++) {
        const own = pieces.some(({ from, to }) => from <= offset && offset <= to);
        if (!own && guarded.has(page(offset))) wanted.push(offset);
      }
      const found = neighbours(pieces, address, BigInt(size)).flatMap(({ from, to }) =>
        Array.from({ length: to - from + 1 }, (_, i) => from + i),
      );
      assert.deepEqual(found, wanted);
    }),
    { numRuns: 60 },
  );
});

test('property: the map finds the BARs that asking each one finds', () => {
  const bar = { index: 0, kind: 'memory', width: 32, prefetchable: false, address: 0n, size: null } as const;
  const ranges = fc.array(
    fc.tuple(fc.nat(60), fc.nat(10)).map(([first, more]) => [first, first + more] as const),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(ranges, fc.nat(60), fc.nat(8), (all, first, more) => {
      const pages = all.map(([firstFrame, lastFrame], sbdf) => ({ sbdf, bar, firstFrame, lastFrame }));
      const found = new PageMap(pages).overlapping(first, first + more, 100).map(({ sbdf }) => sbdf);
      const wanted = pages
        .filter(({ firstFrame, lastFrame }) => firstFrame <= first + more && lastFrame >= first)
        .map(({ sbdf }) => sbdf);
      assert.deepEqual(
        found.sort((a, b) => a - b),
        wanted,
      );
    }),
  );
});
