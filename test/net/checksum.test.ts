import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { checksumSum, checksumUpdate, checksumUpdatePartial, pseudoHeaderSum } from '#dist/net/index.js';
import { A4, A6, B4, B6, naiveCheck, naivePseudo, naiveSum } from './packets.js';

const ZERO = new Uint8Array(0);

test('the sum of RFC 1071 section 3 is ddf2', () => {
  assert.equal(checksumSum(Uint8Array.of(0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8), 0xddf2);
});

test('the sum of any bytes, from any offset, is the reference arithmetic', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(9),
      fc.constantFrom(0, 1, 0xfffe, 0xffff),
      (bytes, skip, initial) => {
        const offset = Math.min(skip, bytes.length);
        const length = bytes.length - offset;
        const expected = naiveSum([initial >> 8, initial & 255, ...bytes.subarray(offset)]);
        assert.equal(checksumSum(bytes, offset, length, initial), expected);
      },
    ),
    { numRuns: 2000 },
  );
});

test('a sum can go on where another ended at an even length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2, maxLength: 200 }), fc.nat(99), (bytes, cut) => {
      const middle = Math.min(cut * 2, bytes.length & ~1);
      const first = checksumSum(bytes, 0, middle);
      assert.equal(checksumSum(bytes, middle, bytes.length - middle, first), checksumSum(bytes, 0, bytes.length));
    }),
  );
});

test('sums of all zero, of all ones and of a megabyte do not overflow', () => {
  assert.equal(checksumSum(new Uint8Array(1 << 20), 0, 1 << 20), 0);
  for (const length of [1 << 20, (1 << 20) + 1, 65535, 65536, 65537, 131073]) {
    const bytes = new Uint8Array(length).fill(255);
    assert.equal(checksumSum(bytes, 0, length), naiveSum(bytes), `${length} bytes`);
  }
});

test('a part that is not there is refused', () => {
  for (const [offset, length] of [
    [0, 5],
    [-1, 2],
    [4, 1],
    [0, -1],
    [Number.NaN, 1],
  ] as const) {
    assert.throws(() => checksumSum(new Uint8Array(4), offset, length), RangeError, `${offset}, ${length}`);
  }
  assert.equal(checksumSum(ZERO, 0, 0), 0);
});

test('the update of RFC 1624 section 4 gives 0000', () => {
  assert.equal(checksumUpdate(0xdd2f, 0x5555, 0x3285), 0x0000);
});

/** Modulo 0xffff: both zeros are the same number. */
function same(actual: number, expected: number): void {
  assert.equal(actual % 0xffff, expected % 0xffff);
}

test('an updated checksum is the one of the changed bytes', () => {
  const bytes = fc.uint8Array({ minLength: 2, maxLength: 60 });
  fc.assert(
    fc.property(bytes, fc.nat(29), fc.nat(0xffff), fc.nat(0xffffffff), (before, place, small, large) => {
      const at = (place * 2) % (before.length & ~1);
      const after = before.slice();
      const view = new DataView(after.buffer);
      const old = view.getUint16(at);
      view.setUint16(at, small);
      same(checksumUpdate(naiveCheck(before), old, small), naiveCheck(after));
      const part = after.slice(at, at + 2);
      same(checksumUpdate(naiveCheck(before), before.subarray(at, at + 2), part), naiveCheck(after));
      if (before.length - at < 4) return;
      const address = new DataView(before.buffer).getUint32(at);
      view.setUint16(at, old);
      view.setUint32(at, large);
      same(checksumUpdate(naiveCheck(before), address, large), naiveCheck(after));
    }),
    { numRuns: 2000 },
  );
});

test('a partial checksum follows its pseudo-header, for IPv4 and IPv6', () => {
  fc.assert(
    fc.property(fc.constantFrom(4, 16), fc.uint8Array({ minLength: 48, maxLength: 48 }), fc.nat(65515), (n, all, l) => {
      const [source, target, changed] = [0, 1, 2].map((i) => [...all.subarray(i * 16, i * 16 + n)]) as [
        number[],
        number[],
        number[],
      ];
      const before = naiveSum(naivePseudo(source, target, 17, l));
      const after = naiveSum(naivePseudo(changed, target, 17, l));
      same(checksumUpdatePartial(before, Uint8Array.from(source), Uint8Array.from(changed)), after);
    }),
  );
});

test('what cannot be updated is refused', () => {
  assert.throws(() => checksumUpdate(0, -1, 0), RangeError);
  assert.throws(() => checksumUpdate(0, 0, 2 ** 32), RangeError);
  assert.throws(() => checksumUpdate(0, Uint8Array.of(1), Uint8Array.of(2)), RangeError);
  assert.throws(() => checksumUpdate(0, Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3, 4)), RangeError);
  assert.throws(() => checksumUpdate(0, 1, Uint8Array.of(1, 2)), TypeError);
});

test('the pseudo-headers of IPv4 and IPv6 are those of the RFCs', () => {
  for (const [source, destination] of [
    [A4, B4],
    [A6, B6],
  ] as const) {
    const addresses = Uint8Array.from([9, 9, ...source, ...destination]);
    for (const length of [0, 20, 1480, 65535]) {
      const expected = naiveSum(naivePseudo([...source], [...destination], 6, length));
      assert.equal(pseudoHeaderSum(addresses, 2, source.length, 6, length), expected);
    }
  }
});
