// Fuzzes the addon's napi-free code with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
//
//   node scripts/fuzz.mjs [seconds]     for each target, default 20; a finding is kept in build/fuzz/ and fails the run
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

/** What is fuzzed, each by a program of its own: test/native/fuzz_NAME.cc and what it needs. */
const TARGETS = {
  core: ['native/privcmd.cc', 'native/memory.cc'],
  esp: ['native/esp.cc', 'native/libcrypto.cc'],
  net: ['nat', 'nat_many', 'nat_ports', 'conntrack', 'packet', 'checksum'].map((name) => `native/${name}.cc`),
};

const FLAGS =
  '-DXENCTRL_FAKE_KERNEL -std=c++17 -g -O1 -fno-rtti -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize=vptr';
const seconds = Number(process.argv[2] ?? 20);
if (!(seconds > 0)) throw new RangeError(`seconds must be a number above 0, not ${process.argv[2]}`);

for (const [name, sources] of Object.entries(TARGETS)) {
  const folder = join('build', 'fuzz', name);
  const corpus = join(folder, 'corpus');
  mkdirSync(corpus, { recursive: true });
  console.log(`building ${folder}/${name} ...`);
  const program = join(folder, name);
  const files = [`test/native/fuzz_${name}.cc`, ...sources];
  const options = [...FLAGS.split(' '), '-fno-sanitize-recover=undefined', ...files, '-ldl', '-o', program];
  execFileSync('clang++', options, { stdio: 'inherit' });

  console.log(`fuzzing for ${seconds} s ...`);
  const run = spawnSync(
    program,
    [`-max_total_time=${seconds}`, `-artifact_prefix=${folder}/`, '-print_final_stats=1', corpus],
    { encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  const [, executed] = /number_of_executed_units: (\d+)/.exec(run.stderr) ?? [];
  if (run.status !== 0) process.stderr.write(run.stderr.split('\n').slice(-60).join('\n'));
  console.log(run.status === 0 ? `${name}: ${executed} inputs, no findings` : `${name}: a finding: see above`);
  if (run.status !== 0) process.exitCode = run.status ?? 1;
}
