// Fuzzes the addon's napi-free code with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
//
//   node scripts/fuzz.mjs [seconds]     default 20; a finding is kept in build/fuzz/ and fails the run
//
// Needs clang with its runtimes (Debian: clang libclang-rt-dev).
//
//   node scripts/fuzz.mjs v4v [seconds]     hostile domains on the model's V4V (test/model/v4v_fuzz.ts); default 600

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(resolve(dirname(fileURLToPath(import.meta.url)), '..'));
if (process.argv[2] === 'v4v') fuzzModel('build/test/model/v4v-fuzz.test.js', process.argv[3] ?? '600');

/** Runs a test that looks for new seeds as long as it is told to, and ends with it. */
function fuzzModel(file, seconds) {
  for (const project of ['tsconfig.json', 'test/tsconfig.json']) {
    execFileSync(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', project], {
      stdio: 'inherit',
    });
  }
  const env = { ...process.env, XENCTRL_FUZZ_SECONDS: seconds };
  process.exit(spawnSync(process.execPath, ['--test', file], { stdio: 'inherit', env }).status ?? 1);
}

const seconds = Number(process.argv[2] ?? 20);
if (!(seconds > 0)) throw new RangeError(`seconds must be a number above 0, not ${process.argv[2]}`);
const folder = join('build', 'fuzz');
mkdirSync(join(folder, 'corpus'), { recursive: true });

console.log('building build/fuzz/core ...');
const flags =
  '-DXENCTRL_FAKE_KERNEL -std=c++17 -g -O1 -fno-rtti -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize=vptr';
const sources = ['test/native/fuzz_core.cc', 'native/privcmd.cc', 'native/memory.cc'];
execFileSync(
  'clang++',
  [...flags.split(' '), '-fno-sanitize-recover=undefined', ...sources, '-o', join(folder, 'core')],
  {
    stdio: 'inherit',
  },
);

console.log(`fuzzing for ${seconds} s ...`);
const run = spawnSync(
  join(folder, 'core'),
  [`-max_total_time=${seconds}`, `-artifact_prefix=${folder}/`, '-print_final_stats=1', join(folder, 'corpus')],
  { encoding: 'utf8', maxBuffer: 64 << 20 },
);
const [, executed] = /number_of_executed_units: (\d+)/.exec(run.stderr) ?? [];
if (run.status !== 0) process.stderr.write(run.stderr.split('\n').slice(-60).join('\n'));
console.log(run.status === 0 ? `${executed} inputs, no findings` : 'a finding: see above');
process.exitCode = run.status ?? 1;
