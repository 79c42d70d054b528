// Checks the C and C++ code: clang-format's layout, and what clang-tidy finds (.clang-format, .clang-tidy).

import { spawnSync } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

function files(folder, pattern) {
  return readdirSync(folder)
    .filter((file) => pattern.test(file))
    .map((file) => join(folder, file));
}

function run(tool, args) {
  const { status, error, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (error) {
    console.log(`${tool}: skipped, it is not installed (Debian: apt install clang-format clang-tidy)`);
    return true;
  }
  if (status !== 0) process.stderr.write(stdout + stderr);
  console.log(`${tool}: ${status === 0 ? 'no findings' : 'findings'}`);
  return status === 0;
}

const headers = process.env.npm_config_nodedir ?? resolve(realpathSync(process.execPath), '..', '..');
const addonApi = dirname(createRequire(join(root, 'package.json')).resolve('node-addon-api/package.json'));
const flags = `-std=c++17 -fno-exceptions -fno-rtti -DNODE_GYP_MODULE_NAME=xenctrl -DNAPI_VERSION=8
  -DNAPI_DISABLE_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED`.split(/\s+/);
const includes = ['-isystem', join(headers, 'include', 'node'), '-isystem', addonApi];

const formatted = run('clang-format', [
  '--dry-run',
  '-Werror',
  ...files('native', /\.(cc|h)$/),
  ...files(join('test', 'native'), /\.(cc|c|h)$/),
]);
const tidy = run('clang-tidy', ['--quiet', ...files('native', /\.cc$/), '--', ...flags, ...includes]);
process.exitCode = formatted && tidy ? 0 : 1;
