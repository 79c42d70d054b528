// Fuzzes the addon's napi-free code with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
//
//   node scripts/fuzz.mjs [seconds]     default 20; a finding is kept in build/fuzz/ and fails the run
//
// Needs clang with its runtimes (Debian: clang libclang-rt-dev).

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(resolve(dirname(fileURLToPath(import.meta.url)), '..'));
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
