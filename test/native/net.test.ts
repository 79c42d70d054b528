import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { loadAddon } from '#dist/native/load.js';
import { sumPlain } from '#dist/net/checksum.js';
import { CHECKSUM_STATES, classifyChecksum, finishChecksum, LINKTYPE, PacketView, VERDICTS } from '#dist/net/index.js';
import { asFragment, icmpError, packet } from '../net/packets.js';

const { addon } = loadAddon();
const skip = addon === null ? 'no native addon' : false;
const EINVAL = -22;

test('checksumSum: the same as in TypeScript, for every length and place', { skip }, () => {
  const bytes = Uint8Array.from({ length: 2100 }, (_, i) => (i * 167 + (i >> 3)) & 255);
  for (let length = 0; length < 2050; length++) {
    const offset = length % 47;
    const initial = (length * 7919) & 0xffff;
    assert.equal(addon?.checksumSum(bytes, offset, length, initial), sumPlain(bytes, offset, length, initial));
  }
  // about the ends of the blocks in which much is summed, where sums are as large or as small as they can be
  for (const fill of [0, 0x7f, 0x80, 255]) {
    const same = new Uint8Array(1 << 20).fill(fill);
    for (const length of [1 << 20, (1 << 20) - 1, 131_072, 131_071, 65_537, 65_536, 65_535, 65_599]) {
      assert.equal(addon?.checksumSum(same, 0, length, 0xffff), sumPlain(same, 0, length, 0xffff));
    }
  }
});

test('checksumSum: what is no part of an array of bytes is refused', { skip }, () => {
  const bytes = new Uint8Array(100);
  const call = addon?.checksumSum as (...args: readonly unknown[]) => number;
  for (const args of [
    [bytes, 0, 101, 0],
    [bytes, 101, 0, 0],
    [bytes, -1, 10, 0],
    [bytes, 2 ** 32, 10, 0],
    [bytes, 0, 2 ** 53, 0],
    [new Uint16Array(100), 0, 10, 0],
    [null, 0, 0, 0],
    [bytes],
    [bytes, '0', 10, 0],
  ]) {
    assert.equal(call(...args), EINVAL, String(args.slice(1)));
  }
  assert.equal(call(new Uint8Array(0), 0, 0, 7), 7);
});

/** Packets one after the other, and their places. */
function laidOut(packets: readonly Uint8Array[], linkTypes: readonly number[]) {
  const bytes = Uint8Array.from(packets.flatMap((one) => [0xee, ...one]));
  let at = 0;
  const places = packets.flatMap((one, i) => {
    const place = [at + 1, one.length, linkTypes[i % linkTypes.length] ?? 1];
    at += one.length + 1;
    return place;
  });
  return { bytes, places: Uint32Array.from(places) };
}

const SEEDS = [
  packet(),
  packet({ check: 'partial' }),
  packet({ protocol: 17, check: 'partial', padding: 9 }),
  packet({ protocol: 17, check: 'zero' }),
  packet({ version: 6, check: 'partial', payload: new Uint8Array(301).fill(9) }),
  packet({ version: 6, protocol: 17, extension: 0, options: [17, 0, 1, 4, 0, 0, 0, 0], check: 'partial' }),
  packet({ vlans: [0x88a8, 0x8100], check: 'wrong' }),
  asFragment(packet(), 0, true),
  asFragment(packet(), 800, false),
  packet({ version: 6, extension: 44, options: [6, 0, 5, 0xc9, 1, 2, 3, 4] }),
  packet({ version: 6, extension: 43, options: [6, 0, 2, 1, 0, 0, 0, 0] }),
  icmpError(packet({ raw: true })),
  icmpError(packet({ raw: true, version: 6 }), { version: 6 }),
  packet({ protocol: 132 }),
  packet({ raw: true }),
  packet({ options: [1, 1, 1, 0], check: 'partial' }),
];

test('classifyPackets: the same as in TypeScript, whatever the bytes, and completes the same', { skip }, () => {
  const change = fc.tuple(fc.nat(90), fc.nat(255));
  const mutated = fc
    .tuple(fc.constantFrom(...SEEDS), fc.array(change, { maxLength: 3 }), fc.nat(200))
    .map(([seed, changes, cut]) => {
      const bytes = seed.slice(0, cut > 60 ? seed.length : Math.min(seed.length, cut));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
  const view = new PacketView();
  fc.assert(
    fc.property(
      fc.array(mutated, { minLength: 1, maxLength: 8 }),
      fc.shuffledSubarray(Object.values(LINKTYPE), { minLength: 1 }),
      fc.boolean(),
      (packets, linkTypes, finish) => {
        const { bytes, places } = laidOut(packets, [LINKTYPE.ETHERNET, ...linkTypes]);
        const native = bytes.slice();
        const states = new Uint8Array(packets.length);
        const verdicts = new Uint32Array(VERDICTS.length);
        assert.equal(addon?.classifyPackets(native, places, packets.length, finish, states, verdicts), 0);
        packets.forEach((_, i) => {
          const [offset = 0, length = 0, linkType = 0] = places.subarray(3 * i);
          const at = VERDICTS.indexOf(view.parse(bytes, offset, length, linkType));
          verdicts[at] = (verdicts[at] ?? 0) - 1;
          const state = classifyChecksum(view);
          if (finish && state === 'partial') finishChecksum(view);
          assert.equal(CHECKSUM_STATES[states[i] ?? -1], state);
        });
        assert.ok(verdicts.every((count) => count === 0));
        assert.deepEqual(native, bytes);
      },
    ),
    { numRuns: 3000 },
  );
});

test('classifyPackets: arrays that are too short, and packets outside, are refused', { skip }, () => {
  const bytes = packet();
  const call = addon?.classifyPackets as (...args: readonly unknown[]) => number;
  const states = new Uint8Array(1);
  const verdicts = new Uint32Array(VERDICTS.length);
  const place = (offset: number, length: number): Uint32Array => Uint32Array.of(offset, length, 1);
  assert.equal(call(bytes, place(0, bytes.length), 1, false, states, verdicts), 0);
  for (const args of [
    [bytes, place(0, bytes.length + 1), 1, false, states, verdicts],
    [bytes, place(bytes.length, 1), 1, false, states, verdicts],
    [bytes, place(0xffffffff, 0xffffffff), 1, false, states, verdicts],
    [bytes, place(0, 10), 2, false, states, verdicts],
    [bytes, place(0, 10), 1, false, new Uint8Array(0), verdicts],
    [bytes, place(0, 10), 1, false, states, new Uint32Array(VERDICTS.length - 1)],
    [bytes, new Float64Array(3), 1, false, states, verdicts],
    [bytes, place(0, 10), 1, 1, states, verdicts],
    [bytes],
  ]) {
    assert.equal(call(...args), EINVAL);
  }
});
