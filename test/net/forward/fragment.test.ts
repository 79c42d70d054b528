/** Fragments of a packet, put together again, are the packet. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fragment } from '#dist/net/forward/fragment.js';
import { checksumSum } from '#dist/net/index.js';
import { VNET_HEADER } from '#dist/net/link/index.js';

const ETHERNET = 14;

/** A frame with `data` behind IPv4's header, whose options are `options`. */
function frameOf(data: Uint8Array, options: readonly number[] = [], place = 0): Buffer {
  const header = 20 + options.length;
  const frame = Buffer.alloc(ETHERNET + header + data.length);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x40 | (header / 4);
  frame.writeUInt16BE(header + data.length, 16);
  frame.writeUInt16BE(0x1234, 18);
  frame.writeUInt16BE(place, 20);
  frame.set([64, 17, 0, 0, 10, 0, 1, 2, 192, 0, 2, 2, ...options], 22);
  frame.set(data, ETHERNET + header);
  return frame;
}

function cut(frame: Buffer, mtu: number): Buffer[] {
  const scratch = Buffer.alloc(128 << 10);
  const pieces: Buffer[] = [];
  const count = fragment(frame, 0, frame.length, mtu, {
    scratch,
    room: () => 5,
    add: (bytes, at, length) => pieces.push(Buffer.from(bytes.subarray(at + VNET_HEADER, at + length))),
  });
  assert.equal(pieces.length, count);
  return pieces;
}

const headerOf = (piece: Buffer): number => ((piece[14] ?? 0) & 15) * 4;

test('put together again they are the packet, each within the MTU and with a right header', () => {
  const data = fc.uint8Array({ minLength: 1, maxLength: 4000 });
  const place = fc.constantFrom(0, 0x2000, 0x00b9, 0x20b9);
  fc.assert(
    fc.property(data, fc.integer({ min: 68, max: 1500 }), place, (bytes, mtu, at) => {
      const pieces = cut(frameOf(bytes, [], at), mtu);
      const whole = Buffer.alloc(bytes.length);
      for (const [i, piece] of pieces.entries()) {
        assert.ok(piece.length - ETHERNET <= mtu);
        assert.equal(piece.readUInt16BE(16), piece.length - ETHERNET);
        assert.equal(checksumSum(piece, ETHERNET, 20), 0xffff);
        assert.equal(piece.readUInt16BE(18), 0x1234);
        const word = piece.readUInt16BE(20);
        assert.equal((word & 0x2000) !== 0, i < pieces.length - 1 || (at & 0x2000) !== 0);
        piece.copy(whole, ((word & 0x1fff) - (at & 0x1fff)) * 8, ETHERNET + 20);
      }
      assert.deepEqual(whole, Buffer.from(bytes));
    }),
  );
});

test('of the options, later fragments have those that are to be copied', () => {
  // record route (7), no operation, and loose source route (0x83)
  const options = [7, 3, 4, 1, 0x83, 3, 4, 0];
  const [first, second] = cut(frameOf(new Uint8Array(100), options), 28 + 40);
  assert.deepEqual([...(first?.subarray(34, 42) ?? [])], options);
  assert.deepEqual([...(second?.subarray(34, 42) ?? [])], [1, 1, 1, 1, 0x83, 3, 4, 0]);
  assert.equal(checksumSum(second ?? Buffer.alloc(0), ETHERNET, 28), 0xffff);
});

test('options whose lengths lie, and frames that are cut off, lead nowhere', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 0, max: 100 }), (bytes, mtu) => {
      for (const piece of cut(Buffer.from(bytes), mtu))
        assert.ok(piece.length - ETHERNET <= mtu && headerOf(piece) >= 20);
    }),
  );
  assert.deepEqual(cut(frameOf(new Uint8Array(100)).subarray(0, 100), 68), [], 'shorter than it says');
  assert.deepEqual(cut(frameOf(new Uint8Array(100)), 27), [], 'no room for eight bytes');
});
