#!/usr/bin/env node
/**
 * `npm run test:lab`: the conformance tests on real Xen, by privcmd and by libxen in QEMU, the altp2m ones in Bochs, and
 * the difference run. `npm run test:lab -- PART...` runs only those: qemu-privcmd, qemu-libxen, bochs, difference.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) throw error;
  return status ?? 1;
}

const tests = join('build', 'test', 'conformance');
const files = () => readdirSync(tests).filter((file) => file.endsWith('.test.js'));

/** The tests as one process in dom0: each file as a process of its own would take the emulator a second each. */
function conformance(engine, target, chosen, options) {
  const lab = [join('dist', 'lab', 'cli.js'), '--engine', engine, '--include', join('build', 'test'), ...options, '--'];
  const program = ['node', join(tests, 'all.js'), ...chosen];
  return run(process.execPath, [...lab, 'env', `XENCTRL_TEST_TARGET=${target}`, ...program]);
}

const PARTS = {
  'qemu-privcmd': () => conformance('qemu', 'privcmd', files(), ['--timeout', '1200']),
  'qemu-libxen': () => conformance('qemu', 'libxen', files(), ['--timeout', '1200']),
  bochs: () =>
    conformance(
      'bochs',
      'privcmd',
      files().filter((file) => file.startsWith('altp2m')),
      [],
    ),
  difference: () => run(process.execPath, [join('build', 'test', 'difference', 'run.js')]),
};

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in PARTS));
if (unknown !== undefined) {
  console.error(`test:lab has no part '${unknown}'; there are: ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}

const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
for (const args of [
  [tsc, '-p', 'tsconfig.json'],
  [tsc, '-p', 'test/tsconfig.json'],
  [join('scripts', 'build-guest.mjs')],
]) {
  const status = run(process.execPath, args);
  if (status !== 0) process.exit(status);
}

const outcomes = [];
for (const [name, part] of Object.entries(PARTS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const start = Date.now();
  console.log(`\n== ${name}`);
  const status = part();
  outcomes.push({ name, status, seconds: Math.round((Date.now() - start) / 1000) });
}

console.log('');
for (const { name, status, seconds } of outcomes) {
  // 124 and 125: the lab did not get the command done, so nothing was tested
  const said = status === 0 ? 'passed' : status === 124 || status === 125 ? 'NOT RUN' : 'FAILED';
  console.log(`${said.padEnd(8)} ${name} (${seconds} s)`);
}
process.exit(outcomes.every(({ status }) => status === 0) ? 0 : 1);
