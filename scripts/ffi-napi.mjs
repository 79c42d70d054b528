// Installs ffi-napi into build/ffi-napi and prints the folder to put into NODE_PATH. The tests and benchmarks use it;
// the package itself must not depend on it: its install script compiles, and that fails on current Nodes. The binary
// that it brings along works.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = resolve(dirname(fileURLToPath(import.meta.url)), '..', 'build', 'ffi-napi');
const modules = join(folder, 'node_modules');

if (!existsSync(join(modules, 'ffi-napi'))) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{}'); // npm would look for one further up
  const { status, stderr, error } = spawnSync('npm', ['install', '--ignore-scripts', 'ffi-napi@4'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (status !== 0) {
    console.error(`ffi-napi cannot be installed: ${error?.message ?? stderr.trim().split('\n').at(-1)}`);
    process.exit(1);
  }
}
console.log(modules);
