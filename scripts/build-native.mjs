// Builds the native addon into build/Release/xenctrl.node.
//
//   node scripts/build-native.mjs               build
//   node scripts/build-native.mjs --prebuild    and copy it to prebuilds/<platform>-<arch>/, where the package ships it;
//                                               fails when it needs a newer glibc than Node itself
//
// Needs a C++ compiler, make, python3 and Node's headers.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const BUILT = join(root, 'build', 'Release', 'xenctrl.node');

/** What the oldest system that runs Node 20 has. */
const GLIBC_FLOOR = '2.28';
const GLIBCXX_FLOOR = '3.4.25';

/**
 * Builds the addon.
 *
 * @returns {{ built: true } | { built: false, reason: string, mend: string, log?: string }}
 */
export function buildNative() {
  if (process.platform !== 'linux') {
    return {
      built: false,
      reason: `the addon is for Linux, this is ${process.platform}`,
      mend: 'nothing: use the model',
    };
  }
  const missing = missingTool();
  if (missing) return { built: false, ...missing };
  const headers = localHeaders();
  const run = spawnSync(
    process.execPath,
    [nodeGyp(), 'configure', 'build', '--release', ...(headers ? [`--nodedir=${headers}`] : [])],
    { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, env: { ...process.env, FORCE_COLOR: '0' } },
  );
  if (run.status === 0) return { built: true };
  const log = `${run.stdout}${run.stderr}`;
  if (!headers && /ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|network/.test(log)) {
    return {
      built: false,
      reason: "Node's headers are not on this machine and could not be fetched",
      mend: 'install them (Debian: libnode-dev), or say where they are: npm_config_nodedir=/usr npm run build:native',
    };
  }
  return { built: false, reason: 'the compiler or node-gyp failed', mend: 'npm run build:native shows why', log };
}

function nodeGyp() {
  const from = createRequire(join(root, 'package.json'));
  return join(dirname(from.resolve('node-gyp/package.json')), 'bin', 'node-gyp.js');
}

function missingTool() {
  const from = createRequire(join(root, 'package.json'));
  for (const name of ['node-gyp', 'node-addon-api']) {
    try {
      from.resolve(`${name}/package.json`);
    } catch {
      // a checkout brings them along unless it was told not to; an installed package does not
      const installed = root.includes('node_modules');
      const mend = installed
        ? 'npm install --save-dev node-gyp@12 node-addon-api@8 && npm explore xenctrl -- npm run build:native'
        : 'npm install, without --omit=dev';
      return { reason: `${name} is not installed`, mend };
    }
  }
  const compiler = (process.env.CXX ?? 'g++').split(' ')[0];
  for (const tool of [compiler, 'make', 'python3']) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error) {
      return {
        reason: `${tool} is not installed`,
        mend: 'apt install g++ make python3 (Debian), then npm run build:native',
      };
    }
  }
  return null;
}

/** The headers of the running Node. node-gyp itself looks only where npm tells it, and else fetches them. */
function localHeaders() {
  const candidates = [process.env.npm_config_nodedir, resolve(realpathSync(process.execPath), '..', '..')];
  return candidates.find((directory) => directory && existsSync(join(directory, 'include/node/node_api.h')));
}

/** Copies what was built to where the package ships it. @returns {string} the copy's path, from the root */
export function copyPrebuild() {
  const directory = join('prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(join(root, directory), { recursive: true });
  copyFileSync(BUILT, join(root, directory, 'xenctrl.node'));
  return join(directory, 'xenctrl.node');
}

/** The newest versioned symbols that the addon needs, such as `{ GLIBC: '2.17' }`; null where objdump is missing. */
function neededVersions() {
  let symbols;
  try {
    symbols = execFileSync('objdump', ['-T', BUILT], { encoding: 'utf8' });
  } catch {
    return null;
  }
  const newest = { GLIBC: '0', GLIBCXX: '0' };
  for (const [, name, version] of symbols.matchAll(/\((GLIBC|GLIBCXX)_([\d.]+)\)/g)) {
    if (isNewer(version, newest[name])) newest[name] = version;
  }
  return newest;
}

function isNewer(version, than) {
  return version.localeCompare(than, 'en', { numeric: true }) > 0;
}

function main() {
  console.log('building the native addon ...');
  const result = buildNative();
  if (!result.built) {
    if (result.log) process.stderr.write(result.log);
    console.error(`not built: ${result.reason}. To mend it: ${result.mend}`);
    return 1;
  }
  console.log('built build/Release/xenctrl.node');
  if (!process.argv.includes('--prebuild')) return 0;
  const needs = neededVersions();
  if (!needs) {
    console.error('objdump (Debian: binutils) is needed to see which glibc the addon asks for');
    return 1;
  }
  console.log(`needs glibc ${needs.GLIBC} and libstdc++ ${needs.GLIBCXX}`);
  if (isNewer(needs.GLIBC, GLIBC_FLOOR) || isNewer(needs.GLIBCXX, GLIBCXX_FLOOR)) {
    console.error(`that is newer than glibc ${GLIBC_FLOOR} and libstdc++ ${GLIBCXX_FLOOR}, with which Node 20 runs`);
    return 1;
  }
  console.log(`copied to ${copyPrebuild()}`);
  return 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) process.exitCode = main();
