/** What keeps a frame its domain's after the domain has given it up: mappings, and Xen's own references. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineMemory } from '#dist/model/machine_memory.js';

function memoryWithFrame(): { memory: MachineMemory; mfn: number } {
  const memory = new MachineMemory(100);
  const mfn = memory.allocate(1, 0);
  assert.ok(mfn !== null);
  return { memory, mfn };
}

test('hold: a frame given up is free when Xen lets go of it', () => {
  const { memory, mfn } = memoryWithFrame();
  let freed = 0;
  memory.hold(1, mfn);
  memory.hold(1, mfn);
  memory.free(mfn, () => freed++);
  memory.letGo(mfn);
  assert.deepEqual([freed, memory.freePages], [0, 99]);
  memory.letGo(mfn);
  assert.deepEqual([freed, memory.freePages], [1, 100]);
  assert.throws(() => memory.letGo(mfn), /nobody holds/);
});

test('hold: held and mapped, a frame waits for both, in either order', () => {
  for (const first of ['mapping', 'hold'] as const) {
    const { memory, mfn } = memoryWithFrame();
    let freed = 0;
    memory.hold(1, mfn);
    const pin = memory.pin(1, [mfn]);
    pin.bytes[5] = 7;
    memory.free(mfn, () => freed++);
    if (first === 'mapping') pin.release();
    else memory.letGo(mfn);
    assert.equal(freed, 0, first);
    if (first === 'mapping') memory.letGo(mfn);
    else pin.release();
    assert.equal(freed, 1, first);
    assert.equal(memory.peek(mfn)[5], 7);
  }
});

test('hold: the frames of a dying domain that Xen refers to outlive it', () => {
  const { memory, mfn } = memoryWithFrame();
  memory.hold(1, mfn);
  let freed = 0;
  assert.equal(
    memory.releaseDomain(1, 1, () => freed++),
    1,
  );
  memory.letGo(mfn);
  assert.deepEqual([freed, memory.freePages], [1, 100]);
});

test('pin: a frame that was only looked at costs nothing afterwards', () => {
  const { memory, mfn } = memoryWithFrame();
  memory.pin(1, [mfn]).release();
  assert.deepEqual(memory.save().contents, []);
  const pin = memory.pin(1, [mfn]);
  pin.bytes[5] = 7;
  pin.release();
  assert.equal(memory.save().contents.length, 1);
  assert.equal(memory.peek(mfn)[5], 7);
});
