#!/usr/bin/env node
/**
 * `npm run test:net`: packets through our dom0 between real peers (test/net/peers), one file after the other, as root.
 * `npm run test:net -- NAME...` runs only those: nat, vif ...
 *
 * A file whose peers are not on this machine is NOT RUN, and that is a failure unless `--allow-not-run` is given.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

const PEERS = join('build', 'test', 'net', 'peers');
/** What all of them need. */
const TOOLS = [
  ['ip', 'iproute2'],
  ['ethtool', 'ethtool'],
  ['sysctl', 'procps'],
];

const words = process.argv.slice(2);
const allowNotRun = words.includes('--allow-not-run');
const chosen = words.filter((word) => !word.startsWith('--'));

function build() {
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
  const steps = [
    [tsc, '-p', 'tsconfig.json'],
    [tsc, '-p', 'test/tsconfig.json'],
    [join('scripts', 'build-native.mjs')],
  ];
  for (const args of steps) {
    const { status, error } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    if (error) throw error;
    if (status !== 0) process.exit(status ?? 1);
  }
}

/** Why nothing can run here; null: it can. */
function missing() {
  if (process.platform !== 'linux') return `this is ${process.platform}: the peers are Linux kernels`;
  if (process.getuid() !== 0) return 'network namespaces and packet sockets need root: sudo npm run test:net';
  const gone = TOOLS.filter(([tool]) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error);
  if (gone.length === 0) return null;
  return `missing: ${gone.map(([tool]) => tool).join(', ')} (apt install ${gone.map(([, name]) => name).join(' ')})`;
}

let interrupted = false;
let running = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true;
    running?.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal); // it takes its namespaces away
  });
}

/** @returns {Promise<{said: string, detail: string}>} */
async function run(file) {
  const start = Date.now();
  // in its own process, and not by --test: so the signal reaches whoever has made the namespaces
  running = spawn(process.execPath, [join(PEERS, file)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  running.stdout.on('data', (piece) => {
    output += piece;
    process.stdout.write(piece);
  });
  const [status] = await once(running, 'close');
  running = null;
  const seconds = `${Math.round((Date.now() - start) / 1000)} s`;
  if (status !== 0) return { said: 'FAILED', detail: seconds };
  // a suite that is skipped as a whole has no tests of its own
  const count = (what) => Number(new RegExp(`^(?:#|ℹ) ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  const skipped = [...output.matchAll(/# SKIP ?(.*)$/gm)].map(([, why]) => why);
  if (count('pass') === 0) return { said: 'NOT RUN', detail: skipped[0] ?? 'it has no tests' };
  if (skipped.length > 0) return { said: 'NOT RUN', detail: `a part: ${skipped[0]}` };
  return { said: 'passed', detail: `${count('pass')} tests, ${seconds}` };
}

build();
const files = readdirSync(PEERS)
  .filter((file) => file.endsWith('.test.js'))
  .sort();
const names = files.map((file) => file.replace('.test.js', ''));
const unknown = chosen.find((name) => !names.includes(name));
if (unknown !== undefined) {
  console.error(`test:net has no part '${unknown}'; there are: ${names.join(', ')}`);
  process.exit(2);
}
const why = missing();
const outcomes = new Map();
for (const name of chosen.length > 0 ? chosen : names) {
  if (interrupted) break;
  console.log(`\n== ${name}`);
  outcomes.set(name, why === null ? await run(`${name}.test.js`) : { said: 'NOT RUN', detail: why });
}
console.log('');
for (const [name, { said, detail }] of outcomes) console.log(`${said.padEnd(8)} ${name} (${detail})`);
const good = [...outcomes.values()].every(({ said }) => said === 'passed' || (allowNotRun && said === 'NOT RUN'));
process.exit(interrupted ? 130 : good ? 0 : 1);
