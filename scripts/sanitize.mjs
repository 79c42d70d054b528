// Runs tests on an addon built with AddressSanitizer and UndefinedBehaviorSanitizer, its warnings errors.
//
//   node scripts/sanitize.mjs           the tests of the native layer, looking for leaks, too
//   node scripts/sanitize.mjs --all     every test; no leaks are looked for, since other programs run under it then
//
// Needs gcc and Node's headers; compile the tests first (npm test does).

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const all = process.argv.includes('--all');
const addon = join(root, 'build', 'sanitize', 'xenctrl.node');

function build() {
  const headers = process.env.npm_config_nodedir ?? resolve(realpathSync(process.execPath), '..', '..');
  const addonApi = dirname(createRequire(join(root, 'package.json')).resolve('node-addon-api/package.json'));
  mkdirSync(dirname(addon), { recursive: true });
  console.log('building build/sanitize/xenctrl.node ...');
  execFileSync(
    'g++',
    [
      '-std=c++17 -fno-exceptions -fno-rtti -fPIC -shared -g -O1 -fno-omit-frame-pointer',
      '-Wall -Wextra -Werror -Wshadow',
      '-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined',
      '-DNODE_GYP_MODULE_NAME=xenctrl -DNAPI_VERSION=8 -DNAPI_DISABLE_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED',
    ]
      .join(' ')
      .split(' ')
      .concat(['-isystem', join(headers, 'include', 'node'), '-isystem', addonApi, '-o', addon], sources()),
    { stdio: 'inherit' },
  );
}

function sources() {
  return readdirSync('native')
    .filter((file) => file.endsWith('.cc'))
    .map((file) => join('native', file));
}

function runtime(name) {
  return execFileSync('gcc', [`-print-file-name=${name}.so`], { encoding: 'utf8' }).trim();
}

function testFiles() {
  const folders = all ? ['.'] : ['native', 'hypervisor', 'net', 'xenstore'];
  return folders.flatMap(
    (folder) =>
      readdirSync(join('build', 'test', folder), { recursive: true })
        .filter((file) => String(file).endsWith('.test.js'))
        .map((file) => join('build', 'test', folder, String(file)))
        .filter((file) => !file.includes(join('net', 'peers'))), // which start kernels
  );
}

build();
// Not ours: what the foreign function interfaces leak, and Node when it loads old addons. And Node frees a promise's
// deferred only when it is resolved, which an environment that ends does not let happen.
const suppressions = join(root, 'build', 'sanitize', 'lsan.supp');
writeFileSync(
  suppressions,
  'leak:koffi.node\nleak:ffi-napi\nleak:ref-napi\nleak:napi_module_register\nleak:napi_create_promise\n',
);
console.log('running the tests under the sanitizers ...');
// by itself node leaves one processor idle
const { status } = spawnSync(
  process.execPath,
  ['--test', `--test-concurrency=${availableParallelism()}`, ...testFiles()],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      XENCTRL_ADDON: addon,
      LD_PRELOAD: `${runtime('libasan')} ${runtime('libubsan')}`,
      ASAN_OPTIONS: `detect_leaks=${all ? 0 : 1}`,
      LSAN_OPTIONS: `suppressions=${suppressions}:print_suppressions=0`,
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
);
process.exitCode = status ?? 1;
