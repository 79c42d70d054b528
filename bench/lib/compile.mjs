// Builds the stub kernel and the rivals that are written in C.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Why something cannot be measured here. */
export class Missing extends Error {}

/**
 * Compiles a program unless that was done since it was last changed.
 *
 * @param sources one file, or several
 * @returns the program's path @throws Missing
 */
export function compile(sources, output, flags) {
  const built = join(ROOT, 'build', 'bench', output);
  const files = [sources].flat().map((source) => join(ROOT, source));
  const headers = files.flatMap((file) => headersBeside(file));
  const changed = Math.max(...[...files, ...headers].map((file) => statSync(file).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs > changed) return built;
  // the lab's dom0 has this folder for reading only
  const path = writable(dirname(built)) ? built : join(mkdtempSync(join(tmpdir(), 'xenctrl-bench-')), output);
  const args = ['-std=gnu11', '-O2', ...files, '-o', path, ...flags];
  const { error, status, stderr } = spawnSync('cc', args, { encoding: 'utf8' });
  if (error) throw new Missing('no C compiler (cc)');
  if (status === 0) return path;
  const header = /fatal error: (\S+): No such file/.exec(stderr)?.[1];
  if (header) throw new Missing(`${header} is not installed (Debian: apt install libxen-dev)`);
  throw new Error(stderr);
}

function headersBeside(file) {
  const folder = dirname(file);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.h'))
    .map((name) => join(folder, name));
}

function writable(folder) {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The stub kernel of the tests, to be preloaded.
 *
 * @param more sources to build it with
 * @throws Missing
 */
export function stubKernel(more = [], output = 'stub.so') {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Missing('the stub kernel is for x86-64 Linux');
  const own = ['stub', 'stub_privcmd', 'stub_evtchn', 'stub_grants'].map((name) => `test/native/${name}.c`);
  return compile([...own, ...more], output, ['-fPIC', '-shared', '-fvisibility=hidden', '-lpthread']);
}

/** @throws Missing when the addon is not built */
export function requireAddon() {
  const places = ['build/Release/xenctrl.node', `prebuilds/${process.platform}-${process.arch}/xenctrl.node`];
  if (!process.env.XENCTRL_ADDON && !places.some((place) => existsSync(join(ROOT, place)))) {
    throw new Missing('the native addon is not built (npm run build:native)');
  }
}

/** The folder that has ffi-napi, for NODE_PATH. @throws Missing */
export function ffiNapi() {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts', 'ffi-napi.mjs')], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Missing(stderr.trim());
  return stdout.trim();
}

/** Runs a benchmark's generator; what it misses is told instead of measured. */
export async function* orSkipped(name, rows) {
  try {
    yield* rows();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    yield { case: name, skipped: error.message };
  }
}
