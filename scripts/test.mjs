#!/usr/bin/env node
/**
 * `npm test`: builds, then runs the tests that need nothing but this checkout, and says what it did not run.
 * `npm test -- NAME...` runs the test files whose path contains one of the names.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

/** Runs a command to its end; its failure is ours. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function testFiles(folder) {
  return readdirSync(folder, { recursive: true })
    .map((file) => join(folder, String(file)))
    .filter((file) => file.endsWith('.test.js'))
    .sort();
}

const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
if (!existsSync(tsc)) {
  console.error('npm test needs the development dependencies: run npm install first');
  process.exit(1);
}
run(process.execPath, [tsc, '-p', 'tsconfig.json']);
run(process.execPath, [tsc, '-p', 'test/tsconfig.json']);

const names = process.argv.slice(2);
/** Real peers for packets need root and network namespaces: `npm run test:net`. */
const peers = join('build', 'test', 'net', 'peers');
const files = testFiles(join('build', 'test')).filter((file) => !file.startsWith(peers));
const chosen = names.length === 0 ? files : files.filter((file) => names.some((name) => file.includes(name)));
if (chosen.length === 0) {
  console.error(`no test file matches ${names.join(' ')}`);
  process.exit(1);
}
// by itself node leaves one processor idle
run(process.execPath, ['--test', `--test-concurrency=${availableParallelism()}`, ...chosen]);
console.log('Not run: the same conformance tests on real Xen, in emulators: npm run test:lab (docs/lab.md)');
console.log('Not run: packets between real peers, which need root: npm run test:net (docs/net.md)');
