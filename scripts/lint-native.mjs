// Checks the C and C++ code: clang-format's layout, and what clang-tidy finds (.clang-format, .clang-tidy).

import { execFile } from 'node:child_process';
import { readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const execute = promisify(execFile);

function files(folder, pattern) {
  return readdirSync(folder)
    .filter((file) => pattern.test(file))
    .map((file) => join(folder, file));
}

/** Runs a tool over `sources`, a share of them on each processor. */
async function run(tool, args, sources, more = []) {
  const count = Math.min(availableParallelism(), sources.length);
  const shares = Array.from({ length: count }, (_, i) => sources.filter((_, j) => j % count === i));
  const done = await Promise.all(
    shares.map((share) => execute(tool, [...args, ...share, ...more], { maxBuffer: 64 << 20 }).catch((error) => error)),
  );
  const failed = done.filter((one) => one instanceof Error);
  if (failed.some(({ code }) => code === 'ENOENT')) {
    console.log(`${tool}: skipped, it is not installed (Debian: apt install clang-format clang-tidy)`);
    return true;
  }
  for (const { stdout, stderr } of failed) process.stderr.write(stdout + stderr);
  console.log(`${tool}: ${failed.length === 0 ? 'no findings' : 'findings'}`);
  return failed.length === 0;
}

const headers = process.env.npm_config_nodedir ?? resolve(realpathSync(process.execPath), '..', '..');
const addonApi = dirname(createRequire(join(root, 'package.json')).resolve('node-addon-api/package.json'));
const flags = `-std=c++17 -fno-exceptions -fno-rtti -DNODE_GYP_MODULE_NAME=xenctrl -DNAPI_VERSION=8
  -DNAPI_DISABLE_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED`.split(/\s+/);
const includes = ['-isystem', join(headers, 'include', 'node'), '-isystem', addonApi];

const formatted = await run(
  'clang-format',
  ['--dry-run', '-Werror'],
  [...files('native', /\.(cc|h)$/), ...files(join('test', 'native'), /\.(cc|c|h)$/)],
);
const tidy = await run('clang-tidy', ['--quiet'], files('native', /\.cc$/), ['--', ...flags, ...includes]);
process.exitCode = formatted && tidy ? 0 : 1;
