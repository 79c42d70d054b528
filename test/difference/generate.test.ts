/** The difference run's sequences, on the model alone: they can be taken, and they are about what they should be about. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replay } from '#dist/replay/replay.js';
import { expectAsModel } from './expect.js';
import { generate, withSteps } from './generate.js';
import { SCRIPTS } from './scripts.js';
import type { RawStep } from './steps.js';

const sequences = generate(1, 60, 40);
const expected = sequences.map(expectAsModel);

/** Events of a step, with what they are expected to tell. */
function eventsOf(step: RawStep): readonly { readonly expect: RawStep; readonly answer: RawStep }[] {
  return (step['events'] ?? []) as ReturnType<typeof eventsOf>;
}

test('the same seed makes the same sequences', () => assert.deepEqual(generate(1, 60, 40), sequences));

test('the model answers each as it did the first time', () => {
  for (const sequence of expected) {
    const { matched, mismatches } = replay(sequence);
    assert.deepEqual(mismatches, []);
    assert.equal(matched, sequence.steps.length);
  }
});

test('every kind of event comes, and every kind of answer is given', () => {
  const events = generate(2, 150, 40).flatMap((sequence) => expectAsModel(sequence).steps.flatMap(eventsOf));
  const reasons = new Set(events.map(({ expect }) => expect['reason']));
  assert.deepEqual(
    [...reasons].map(Number).sort((a, b) => a - b),
    [1, 4, 5, 6, 8, 9, 10, 12, 13],
  );
  const answers = new Set(events.flatMap(({ answer }) => Object.keys(answer)));
  const kinds = ['call', 'deny', 'emulate', 'fastSinglestep', 'instruction', 'nextInterrupt', 'readData', 'registers'];
  assert.deepEqual([...answers].sort(), [...kinds, 'skip', 'toggleSinglestep', 'view']);
});

test('few guests wait for an answer for good: on real Xen each such step takes a second and a half', () => {
  const waiting = (step: RawStep): boolean => {
    const expect = (step['expect'] ?? {}) as RawStep;
    return expect['finished'] === false && expect['shutdown'] === -1;
  };
  const stuck = expected.filter(({ steps }) => steps.some(waiting));
  assert.ok(stuck.length < 4, `${stuck.length} of ${expected.length}`);
});

for (const [name, { engine, steps }] of Object.entries(SCRIPTS)) {
  test(`the script ${name} can be taken`, () => {
    const recording = expectAsModel(withSteps(steps, 'a test', engine));
    assert.equal(replay(recording).matched, steps.length);
  });
}
