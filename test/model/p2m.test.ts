import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ORDER_1G, ORDER_2M, ORDER_4K, P2m, type PageOrder } from '#dist/model/p2m.js';

const RWX = 7;

test('lookup in an empty table finds a hole as large as a root entry, with suppress-#VE clear', () => {
  assert.deepEqual(
    { ...new P2m().lookup(5) },
    { present: false, mfn: 0, access: 0, suppressVe: false, order: 27, readOnly: false },
  );
});

test('a hole beside a mapped page is as small as the tables around it, with suppress-#VE set', () => {
  const p2m = new P2m();
  p2m.set(5, 50, RWX, true);
  for (const [gfn, order] of [
    [6, 0],
    [0x200, 9],
    [0x4_0000, 18],
  ] as const) {
    const hole = p2m.lookup(gfn);
    assert.deepEqual([hole.present, hole.suppressVe, hole.order], [false, true, order]);
  }
  assert.equal(p2m.lookup(0x800_0000).order, 27);
});

test('a 4 KiB page set in a superpage splits it and leaves its neighbours mapped', () => {
  for (const [order, within] of [
    [ORDER_2M, 0x123],
    [ORDER_1G, 0x1_2345],
  ] as const) {
    const p2m = new P2m();
    p2m.set(0, 0x4_0000, RWX, true, order);
    assert.equal(p2m.lookup(within).order, order);
    p2m.set(within, 9, 1, false);
    assert.deepEqual(
      { ...p2m.lookup(within) },
      { present: true, mfn: 9, access: 1, suppressVe: false, order: 0, readOnly: false },
    );
    assert.deepEqual(
      { ...p2m.lookup(within + 1) },
      { present: true, mfn: 0x4_0000 + within + 1, access: RWX, suppressVe: true, order: 0, readOnly: false },
    );
    const far = (1 << order) - 1;
    assert.equal(p2m.lookup(far).order, order === ORDER_2M ? ORDER_4K : ORDER_2M);
  }
});

test('a removed frame is a hole that keeps the suppress-#VE bit of its entry', () => {
  const p2m = new P2m();
  p2m.set(0, 512, RWX, true, ORDER_2M);
  p2m.set(3, 9, RWX, false);
  p2m.remove(3);
  p2m.remove(4);
  assert.deepEqual([p2m.lookup(3).present, p2m.lookup(3).suppressVe], [false, false]);
  assert.deepEqual([p2m.lookup(4).present, p2m.lookup(4).suppressVe], [false, true]);
  assert.equal(p2m.lookup(5).mfn, 517);
});

test('null keeps the suppress-#VE bit of the entry before, and sets it where there was none', () => {
  const p2m = new P2m();
  p2m.set(1, 10, RWX, false);
  p2m.set(1, 11, 1, null);
  p2m.set(2, 12, 1, null);
  assert.equal(p2m.lookup(1).suppressVe, false);
  assert.equal(p2m.lookup(2).suppressVe, true);
});

const operation = fc.oneof(
  fc.record({
    kind: fc.constant('set' as const),
    gfn: fc.nat(0xfff),
    order: fc.constantFrom<PageOrder>(ORDER_4K, ORDER_2M),
    access: fc.nat(9),
  }),
  fc.record({ kind: fc.constant('remove' as const), gfn: fc.nat(0xfff) }),
);

test('a table maps what a plain list of frames would map, whatever the sizes of pages', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const p2m = new P2m();
      const reference = new Map<number, readonly [number, number]>();
      operations.forEach((one, i) => {
        if (one.kind === 'remove') {
          p2m.remove(one.gfn);
          reference.delete(one.gfn);
          return;
        }
        const size = 2 ** one.order;
        const gfn = one.gfn - (one.gfn % size);
        const mfn = (i + 1) * 0x200;
        p2m.set(gfn, mfn, one.access, true, one.order);
        for (let k = 0; k < size; k++) reference.set(gfn + k, [mfn + k, one.access]);
      });
      const again = new P2m();
      again.restore(structuredClone(p2m.save()));
      for (let gfn = 0; gfn <= 0xfff; gfn++) {
        const entry = p2m.lookup(gfn);
        assert.deepEqual(entry.present ? [entry.mfn, entry.access] : undefined, reference.get(gfn));
        assert.deepEqual(again.lookup(gfn), entry);
      }
    }),
    { numRuns: 50 },
  );
});
