// MSI-X: dumps inspected (lib/pci_inspect.mjs), and the set of frames that nobody may write, with ranges all over the
// machine's addresses. Aim: a million ranges in O(n log n), so an operation among 1,000,000 costs little more than one among
// 125,000. The rival, @flatten-js/interval-tree 2.0, keeps intervals and counts nothing; the package does not depend on it:
// `npm i --no-save @flatten-js/interval-tree`.

import { execFileSync } from 'node:child_process';
import { ROOT } from './lib/compile.mjs';
import { inspectCases } from './lib/pci_inspect.mjs';

const MANY = 1_000_000;
const FEW = 125_000;

const SETUP = `
const count = Number(process.argv[1]);
const at = new Float64Array(count);
for (let i = 0, x = 1; i < count; i++) { x = (Math.imul(x, 1103515245) + 12345) >>> 0; at[i] = x * 64; }
const nanoseconds = (body) => {
  const start = performance.now();
  for (let i = 0; i < count; i++) body(at[i]);
  return ((performance.now() - start) / count) * 1e6;
};
const measure = (add, has, remove) => {
  const adds = nanoseconds((frame) => add(frame, frame + 2));
  let found = 0;
  const lookups = nanoseconds((frame) => { if (has(frame + 1)) found++; });
  if (found !== count) throw new Error('found ' + found);
  const removes = nanoseconds((frame) => remove(frame, frame + 2));
  console.log(JSON.stringify({ adds, lookups, removes }));
};`;

const OURS = `${SETUP}
import { RangeSet } from '#dist/model/pci/range_set.js';
const set = new RangeSet();
measure((first, last) => set.add(first, last), (frame) => set.contains(frame), (first, last) => set.remove(first, last));
if (!set.isEmpty) throw new Error('something is left');`;

const RIVAL = `${SETUP}
import { createRequire } from 'node:module';
const { default: IntervalTree } = createRequire(import.meta.url)('@flatten-js/interval-tree');
const tree = new IntervalTree();
measure((first, last) => tree.insert([first, last]), (frame) => tree.intersect_any([frame, frame]),
  (first, last) => tree.remove([first, last]));`;

const run = (script, count, stderr = 'inherit') =>
  JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script, String(count)], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', stderr],
    }),
  );

/** The rival's figures, or null where it is not installed. */
function rivalFigures(count) {
  try {
    return run(RIVAL, count, 'ignore');
  } catch {
    return null;
  }
}

function* rangeSet() {
  const few = run(OURS, FEW);
  const many = run(OURS, MANY);
  const rival = rivalFigures(FEW);
  for (const what of ['adds', 'lookups', 'removes']) {
    const against = rival ? { rival: rival[what], rivalName: '@flatten-js/interval-tree' } : {};
    yield { case: `range set: ${FEW} ${what}, each`, ours: few[what], unit: 'ns', ...against };
    yield { case: `range set: ${MANY} ${what}, each`, ours: many[what], unit: 'ns' };
  }
}

export async function* bench() {
  yield* inspectCases();
  yield* rangeSet();
}
