/** The set of protected frames against the simplest one that could be right: a count for each frame. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeSet } from '#dist/model/pci/range_set.js';

const FRAMES = 64;

class CountedFrames {
  readonly counts = new Array<number>(FRAMES).fill(0);

  each(first: number, last: number): number[] {
    return this.counts.slice(first, last + 1);
  }

  change(first: number, last: number, by: number): void {
    for (let frame = first; frame <= last; frame++) this.counts[frame] = (this.counts[frame] ?? 0) + by;
  }

  ranges(): [number, number][] {
    const found: [number, number][] = [];
    for (const [frame, count] of this.counts.entries()) {
      const last = found.at(-1);
      if (count === 0) continue;
      if (last?.[1] === frame - 1) last[1] = frame;
      else found.push([frame, frame]);
    }
    return found;
  }
}

const range = fc
  .tuple(fc.nat(FRAMES - 1), fc.nat(FRAMES - 1))
  .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);

test('it has the frames that a count of each says, after any adds and removes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), range), { maxLength: 120 }), range, (steps, [from, to]) => {
      const set = new RangeSet();
      const real = new CountedFrames();
      for (const [adds, [first, last]] of steps) {
        if (adds) {
          set.add(first, last);
          real.change(first, last, 1);
        } else if (real.each(first, last).every((count) => count > 0)) {
          set.remove(first, last);
          real.change(first, last, -1);
        } else {
          assert.throws(() => set.remove(first, last), /are not all in the set/);
        }
      }
      for (const [frame, count] of real.counts.entries()) assert.equal(set.count(frame), count, `frame ${frame}`);
      assert.equal(set.containsAll(from, to), real.each(from, to).every(Boolean));
      assert.equal(set.overlaps(from, to), real.each(from, to).some(Boolean));
      assert.deepEqual([...set.ranges()], real.ranges());
      assert.equal(
        set.isEmpty,
        real.counts.every((count) => count === 0),
      );
    }),
    { numRuns: 300 },
  );
});

test('a frame that was added twice stays until it was removed twice', () => {
  const set = new RangeSet();
  set.add(0xfeb00, 0xfeb00);
  set.add(0xfeb00, 0xfeb01);
  set.remove(0xfeb00, 0xfeb00);
  assert.deepEqual([...set.ranges()], [[0xfeb00, 0xfeb01]]);
  set.remove(0xfeb00, 0xfeb01);
  assert.ok(set.isEmpty);
});

test('what is no range is refused', () => {
  const set = new RangeSet();
  for (const [first, last] of [
    [2, 1],
    [-1, 1],
    [0.5, 1],
    [0, Number.NaN],
    [0, 2 ** 53],
  ] as const) {
    assert.throws(() => set.add(first, last), RangeError);
    assert.throws(() => set.remove(first, last), RangeError);
  }
  assert.throws(() => set.remove(0, 0), /not all in the set/);
  assert.ok(set.isEmpty);
});

test('a hundred thousand ranges, one within the other, go in and out', () => {
  const set = new RangeSet();
  const count = 100_000;
  for (let i = 0; i < count; i++) set.add(i, 2 * count - i);
  assert.equal(set.count(count), count);
  for (let i = 0; i < count; i++) set.remove(i, 2 * count - i);
  assert.ok(set.isEmpty);
});
