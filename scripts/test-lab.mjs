#!/usr/bin/env node
/**
 * `npm run test:lab`: the conformance tests on real Xen, by privcmd and by libxen in QEMU, those of altp2m and of events in
 * Bochs, the difference run, and the list of processes of a real kernel's memory. `npm run test:lab -- PART...` runs only
 * those: difference, qemu-privcmd, qemu-libxen, bochs, qemu-vif, linux-image.
 *
 * An emulator keeps one processor busy, so two parts run side by side where there are two. What a part prints then comes
 * when it ends, and at the very end if it failed.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const tests = join('build', 'test', 'conformance');
const files = () => readdirSync(tests).filter((file) => file.endsWith('.test.js'));

/** The tests as one process in dom0: each file as a process of its own would take the emulator a second each. */
function conformance(engine, target, chosen, options) {
  const lab = [join('dist', 'lab', 'cli.js'), '--engine', engine, '--include', join('build', 'test'), ...options, '--'];
  return [...lab, 'env', `XENCTRL_TEST_TARGET=${target}`, 'node', join(tests, 'all.js'), ...chosen];
}

/** The devices of msix.test. */
const DEVICES = ['--device', 'e1000e,addr=10', '--device', 'nvme,addr=11,serial=1'];

/** Loads drivers and keeps a xenstored, so it has a dom0 to itself. */
const VIF = 'vif.test.js';

function inQemu(target) {
  const chosen = files().filter((file) => file !== VIF);
  return conformance('qemu', target, chosen, [...DEVICES, '--timeout', '1200']);
}

/** The same sequences each time, so that what fails can be tried again; other seeds are for whoever looks for faults. */
const SEED = '412';

/** The arguments of node for each part, the longest first: two of them in turn then end at about the same time. */
const PARTS = {
  difference: () => [join('build', 'test', 'difference', 'run.js'), '--seed', SEED],
  'qemu-privcmd': () => inQemu('privcmd'),
  'qemu-libxen': () => inQemu('libxen'),
  bochs: () =>
    conformance(
      'bochs',
      'privcmd',
      files().filter((file) => /^(altp2m|mem_access|monitor|stealth)/.test(file)),
      ['--timeout', '900'],
    ),
  'qemu-vif': () => conformance('qemu', 'privcmd', [VIF], ['--timeout', '300']),
  'linux-image': () => [join('scripts', 'linux-image.mjs')],
};

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in PARTS));
if (unknown !== undefined) {
  console.error(`test:lab has no part '${unknown}'; there are: ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}
const names = chosen.length > 0 ? chosen : Object.keys(PARTS);

const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
for (const args of [
  [tsc, '-p', 'tsconfig.json'],
  [tsc, '-p', 'test/tsconfig.json'],
  [join('scripts', 'build-native.mjs')],
  [join('scripts', 'build-guest.mjs')],
]) {
  const { status, error } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

// the parts get the signal, too, and end by themselves: no emulator is left behind
let interrupted = false;
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true;
    for (const part of running) part.kill(signal);
  });
}

const beside = names.length > 1 && availableParallelism() > 1;
const outcomes = [];

async function run(name) {
  const start = Date.now();
  console.log(beside ? `== ${name} begins` : `\n== ${name}`);
  const part = spawn(process.execPath, PARTS[name](), { stdio: beside ? 'pipe' : 'inherit' });
  running.add(part);
  const said = [];
  part.stdout?.on('data', (piece) => said.push(piece));
  part.stderr?.on('data', (piece) => said.push(piece));
  const [status] = await once(part, 'close');
  running.delete(part);
  const output = beside ? `\n== ${name}\n${Buffer.concat(said)}` : '';
  if (status === 0) process.stdout.write(output);
  outcomes.push({ name, output, status: status ?? 1, seconds: Math.round((Date.now() - start) / 1000) });
}

const waiting = [...names];
async function runWhatWaits() {
  for (let name = waiting.shift(); name !== undefined && !interrupted; name = waiting.shift()) await run(name);
}

await Promise.all((beside ? [1, 2] : [1]).map(runWhatWaits));

// what failed is told last, where it is looked for
for (const { output } of outcomes.filter(({ status }) => status !== 0)) process.stdout.write(output);

console.log('');
for (const name of names) {
  const outcome = outcomes.find((one) => one.name === name);
  // 124 and 125: the lab did not get the command done; 2: nor did the difference run's
  const notRun = !outcome || [2, 124, 125].includes(outcome.status);
  const said = outcome?.status === 0 ? 'passed' : notRun ? 'NOT RUN' : 'FAILED';
  console.log(`${said.padEnd(8)} ${name}${outcome ? ` (${outcome.seconds} s)` : ''}`);
}
const passed = outcomes.length === names.length && outcomes.every(({ status }) => status === 0);
process.exit(interrupted ? 130 : passed ? 0 : 1);
