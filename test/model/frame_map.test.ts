import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameMap } from '#dist/model/frame_map.js';

/** Frames that share hash chains as well as far ones. */
const frame = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 40 }));
const command = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), frame, mfn: fc.nat(), attributes: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('delete' as const), frame }),
);

test('a FrameMap holds what a Map would, whatever is set and deleted', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
      const map = new FrameMap();
      const reference = new Map<number, readonly [number, number]>();
      for (const one of commands) {
        if (one.kind === 'set') {
          map.set(one.frame, one.mfn, one.attributes);
          reference.set(one.frame, [one.mfn, one.attributes]);
        } else {
          map.delete(one.frame);
          reference.delete(one.frame);
        }
      }
      const held = new Map<number, readonly [number, number]>();
      map.forEach((key, mfn, attributes) => {
        held.set(key, [mfn, attributes]);
      });
      assert.deepEqual([...held].sort(), [...reference].sort());
      assert.equal(map.size, reference.size);
      for (const [key, value] of reference) {
        const slot = map.find(key);
        assert.deepEqual([map.mfnAt(slot), map.attributesAt(slot)], value);
      }
    }),
  );
});

test('a frame that was never set, or that was deleted, is not found', () => {
  const map = new FrameMap();
  assert.equal(map.find(0), -1);
  map.set(0, 1, 1);
  map.delete(0);
  map.delete(0);
  assert.equal(map.find(0), -1);
  assert.equal(map.size, 0);
});

test('clear forgets everything', () => {
  const map = new FrameMap();
  for (let i = 0; i < 1000; i++) map.set(i, i, 1);
  map.clear();
  assert.equal(map.size, 0);
  assert.equal(map.find(7), -1);
});
