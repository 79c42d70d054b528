#!/usr/bin/env node
/**
 * `npm run test:lab`: the conformance tests on real Xen, by privcmd and by libxen in QEMU, those of altp2m and of events in
 * Bochs, the difference run, and the list of processes of a real kernel's memory. `npm run test:lab -- PART...` runs only
 * those: qemu-privcmd, qemu-vif, linux-image, qemu-libxen, bochs, difference.
 *
 * An emulator keeps one processor busy, so QEMU's parts and Bochs' run side by side where there are two. What a part
 * prints then comes when it ends.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism, setPriority } from 'node:os';
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

/** Each part: whose processor time it takes, and the arguments of node. */
const PARTS = {
  'qemu-privcmd': { engine: 'qemu', args: () => inQemu('privcmd') },
  'qemu-vif': { engine: 'qemu', args: () => conformance('qemu', 'privcmd', [VIF], ['--timeout', '300']) },
  'linux-image': { engine: 'qemu', args: () => [join('scripts', 'linux-image.mjs')] },
  'qemu-libxen': { engine: 'qemu', args: () => inQemu('libxen') },
  difference: { engine: 'bochs', args: () => [join('build', 'test', 'difference', 'run.js')] },
  bochs: {
    engine: 'bochs',
    args: () =>
      conformance(
        'bochs',
        'privcmd',
        files().filter((file) => /^(altp2m|mem_access|monitor|stealth)/.test(file)),
        ['--timeout', '900'],
      ),
  },
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

const engines = [...new Set(names.map((name) => PARTS[name].engine))];
const beside = engines.length > 1 && availableParallelism() > 1;
const lanes = beside ? engines.map((engine) => names.filter((name) => PARTS[name].engine === engine)) : [names];
const outcomes = [];

async function run(name) {
  const start = Date.now();
  console.log(beside ? `== ${name} begins` : `\n== ${name}`);
  const part = spawn(process.execPath, PARTS[name].args(), { stdio: beside ? 'pipe' : 'inherit' });
  running.add(part);
  // Bochs' lane is the longer one, so it gets a processor to itself
  if (beside && PARTS[name].engine === 'qemu' && part.pid !== undefined) setPriority(part.pid, 10);
  const said = [];
  part.stdout?.on('data', (piece) => said.push(piece));
  part.stderr?.on('data', (piece) => said.push(piece));
  const [status] = await once(part, 'close');
  running.delete(part);
  if (beside) process.stdout.write(`\n== ${name}\n${Buffer.concat(said)}`);
  outcomes.push({ name, status: status ?? 1, seconds: Math.round((Date.now() - start) / 1000) });
}

async function runInTurn(lane) {
  for (const name of lane) if (!interrupted) await run(name);
}

await Promise.all(lanes.map(runInTurn));

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
