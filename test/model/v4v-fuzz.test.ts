/**
 * Hostile domains against an honest pair (v4v_fuzz.ts). `XENCTRL_FUZZ_SECONDS=600` or `npm run fuzz -- v4v 600` goes on for
 * ten minutes; by itself it is done in a few seconds. Seeds that found something are kept.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AsPosted } from '#dist/model/index.js';
import { V4vFuzz } from './v4v_fuzz.js';

const SECONDS = Number(process.env['XENCTRL_FUZZ_SECONDS'] ?? 1);
const STEPS = 5000;

/** Run each time. */
const KEPT: readonly number[] = [1, 2, 3];

for (const seed of KEPT) {
  test(`seed ${seed}: honest messages arrive once, whole and in order`, () => {
    const { delivered, hostileSuccesses } = new V4vFuzz(seed).run(STEPS);
    assert.ok(delivered > 200, `${delivered} messages`);
    assert.ok(hostileSuccesses > 200, `${hostileSuccesses} hostile calls went well`);
  });
}

test(`new seeds for ${SECONDS} s`, () => {
  const end = performance.now() + SECONDS * 1000;
  let steps = 0;
  do {
    const seed = Math.floor(Math.random() * 2 ** 32);
    try {
      steps += new V4vFuzz(seed).run(STEPS).steps;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  } while (performance.now() < end);
  console.log(`# ${steps} steps`);
});

/** Faults of V4V as posted that harm others than the one who uses them. */
const FOUND: readonly AsPosted[] = [12, 14, 'a'];

for (const item of FOUND) {
  test(`it would have found item ${item} of the review`, () => {
    assert.throws(() => {
      for (let seed = 0; seed < 20; seed++) new V4vFuzz(seed, [item]).run(STEPS);
    });
  });
}
