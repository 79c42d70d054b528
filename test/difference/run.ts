/**
 * The difference run: generated sequences of altp2m and monitor calls on the model and, in one boot, on real Xen in Bochs.
 *
 *     node build/test/difference/run.js [--count N] [--length N] [--seed N]
 *
 * Exit 0: no difference. 1: differences; each is shrunk, printed, and written as a recording of what real Xen answered.
 * 2: it could not be run.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { expectAsModel, expecting } from './expect.js';
import { generate, type Sequence } from './generate.js';
import { takeOnRealXen } from './lab.js';
import { alike, candidates, cut, type Failing } from './shrink.js';

/** Boots spent on making differences short. */
const SHRINK_BOOTS = 3;
/** Differences that are looked into at once; more of them are usually the same. */
const MOST_SHRUNK = 4;

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '300' },
    length: { type: 'string', default: '40' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
  },
});
const count = positive(values.count, '--count');
const length = positive(values.length, '--length');
const seed = positive(values.seed, '--seed');

function positive(text: string, name: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`${name} must be a positive integer, not ${text}`);
  process.exit(2);
}

function progress(done: number, total: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total} sequences${done === total ? '\n' : ''}`);
}

async function failingOf(sequences: readonly Sequence[]): Promise<(Failing | null)[]> {
  const results = await takeOnRealXen(sequences.map(expectAsModel), {
    engine: 'bochs',
    told: false,
    onResult: (done) => progress(done, sequences.length),
  });
  return sequences.map((sequence, i) => {
    const result = results[i];
    if (result?.failure !== undefined) throw new Error(`sequence ${i} could not be taken: ${result.failure}`);
    return cut(sequence, result?.mismatches ?? []);
  });
}

/** Tries to make each difference shorter, all of them in one boot a round. */
async function shrink(found: readonly Failing[]): Promise<Failing[]> {
  let current = [...found];
  for (let round = 0; round < SHRINK_BOOTS; round++) {
    const tries = current.map(candidates);
    const flat = tries.flat();
    if (flat.length === 0) break;
    console.error(`shrinking: ${flat.length} shorter sequences`);
    const outcomes = await failingOf(flat);
    let offset = 0;
    current = current.map((failing, i) => {
      const mine = outcomes.slice(offset, offset + (tries[i]?.length ?? 0));
      offset += tries[i]?.length ?? 0;
      const shorter = mine.filter((one): one is Failing => one !== null && alike(one.mismatch, failing.mismatch));
      return shorter.reduce(
        (best, one) => (one.sequence.steps.length < best.sequence.steps.length ? one : best),
        failing,
      );
    });
  }
  return current;
}

/** Writes a difference as a recording of real Xen: replaying it on the model shows the mismatch. */
async function report(failing: readonly Failing[]): Promise<void> {
  const results = await takeOnRealXen(
    failing.map(({ sequence }) => sequence),
    { engine: 'bochs', told: true },
  );
  for (const [i, { sequence, mismatch }] of failing.entries()) {
    const steps = sequence.steps.map((step, k) => expecting(step, results[i]?.told?.[k]));
    const file = join('build', 'difference', `difference-${seed}-${i}.json`);
    const recording = { ...sequence, xen: sequence.release, hypervisor: 'real Xen in Bochs', steps };
    writeFileSync(file, `${JSON.stringify(recording, null, 1)}\n`);
    console.log(`${mismatch.call} ${JSON.stringify(mismatch.args)} after ${sequence.steps.length - 1} steps:`);
    for (const { what, expected, got } of mismatch.differences) {
      console.log(`  ${what}: the model says ${JSON.stringify(expected)}, real Xen ${JSON.stringify(got)}`);
    }
    console.log(`  npm run replay -- ${file}`);
  }
}

async function main(): Promise<number> {
  const sequences = generate(seed, count, length);
  const steps = sequences.reduce((sum, { steps }) => sum + steps.length, 0);
  console.log(`seed ${seed}: ${count} sequences, ${steps} steps`);
  const failing = (await failingOf(sequences)).filter((one) => one !== null);
  console.log(`${count - failing.length} of ${count} sequences agree`);
  if (failing.length === 0) return 0;
  for (const { sequence, mismatch } of failing) {
    const told = mismatch.differences.map(
      ({ what, expected, got }) => `${what} ${JSON.stringify(expected)}/${JSON.stringify(got)}`,
    );
    console.log(
      `  step ${sequence.steps.length}: ${mismatch.call} ${JSON.stringify(mismatch.args)}: ${told.join(', ')}`,
    );
  }
  await report(await shrink(failing.slice(0, MOST_SHRUNK)));
  return 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
