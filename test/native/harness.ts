/**
 * Runs test cases in Node processes of their own that have the stub kernel (stub.c) in front of libc. A test file gives
 * its cases to {@link stubbed}; run by node:test it starts itself once for each case.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { XenError } from '#dist/hypervisor/error.js';
import { loadAddon } from '#dist/hypervisor/privcmd/load.js';

/** The checkout. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export interface Case {
  /** Environment of the process, `STUB_...` among it. A STUB_LOG of `''` becomes a file of its own: see {@link logged}. */
  readonly env?: Readonly<Record<string, string>>;
  /** Flags for Node. */
  readonly flags?: readonly string[];
  /** Whether nothing may be printed, by native code either. */
  readonly silent?: boolean;
  /** Why the case cannot run here. */
  readonly skip?: string | false;
  run(): void | Promise<void>;
}

/** Registers the cases with node:test, or, in a process started for one of them, runs it. */
export function stubbed(url: string, cases: Readonly<Record<string, Case>>): void {
  const wanted = process.env['XENCTRL_TEST_CASE'];
  if (wanted !== undefined) {
    void runCase(wanted, cases);
    return;
  }
  const stub = buildStub();
  for (const [name, one] of Object.entries(cases)) {
    const skip = stub.skip ?? addonMissing() ?? one.skip ?? false;
    test(name, { skip }, () => startCase(url, name, one, stub.path));
  }
}

async function runCase(name: string, cases: Readonly<Record<string, Case>>): Promise<void> {
  const one = cases[name];
  assert.ok(one, `no case ${name}`);
  try {
    await one.run();
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}

async function startCase(url: string, name: string, one: Case, stub: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'xenctrl-test-'));
  try {
    const env: Record<string, string> = { ...one.env, XENCTRL_TEST_CASE: name };
    if (env['STUB_LOG'] === '') env['STUB_LOG'] = join(scratch, 'log');
    const { output, outcome } = await runStubbed([...(one.flags ?? []), fileURLToPath(url)], env, stub);
    assert.equal(outcome, 'exit 0', output);
    if (one.silent) assert.equal(output, '');
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Runs a Node process on the stub. */
export function runStubbed(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stub = buildStub().path,
): Promise<{ output: string; outcome: string }> {
  // a sanitizer's runtime, when there is one, has to stay in front
  const preload = [process.env['LD_PRELOAD'], stub].filter(Boolean).join(' ');
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env, LD_PRELOAD: preload },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  return new Promise((done) => {
    child.on('close', (code, signal) => done({ output, outcome: signal ? `signal ${signal}` : `exit ${code}` }));
  });
}

export function addonMissing(): string | null {
  const loaded = loadAddon();
  return loaded.addon === null ? loaded.reason : null;
}

/** The stub kernel's sources. */
const STUB = ['stub.c', 'stub_privcmd.c', 'stub_evtchn.c', 'stub_grants.c'];

function buildStub(): { path: string; skip?: string } {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { path: '', skip: 'the stub kernel is for x86-64 Linux' };
  const sources = STUB.map((source) => join(ROOT, 'test', 'native', source));
  const path = join(ROOT, 'build', 'stub', 'stub.so');
  const newest = Math.max(
    ...[...sources, join(ROOT, 'test', 'native', 'stub.h')].map((from) => statSync(from).mtimeMs),
  );
  if (existsSync(path) && statSync(path).mtimeMs > newest) return { path };
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}`; // several test files may come here at once
  const flags = '-std=gnu11 -O2 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -lpthread'.split(' ');
  try {
    execFileSync('cc', [...sources, '-o', fresh, ...flags], {
      env: { ...process.env, LD_PRELOAD: '' },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { path, skip: 'no C compiler (cc) to build the stub kernel with' };
  }
  renameSync(fresh, path);
  return { path };
}

/** The hypercalls so far, one a line: op and five arguments in hex, for an altp2m operation its 80 bytes, too. */
export function logged(): string[] {
  return readFileSync(process.env['STUB_LOG'] ?? '', 'utf8')
    .trim()
    .split('\n');
}

/** What this process has open of the stub: privcmd descriptors, and mappings by kind. */
export function inUse(): { privcmd: number; guest: number; arena: number } {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the descriptor of the listing itself
    }
  });
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const count = (name: string): number => maps.filter((line) => line.includes(`memfd:${name}`)).length;
  return {
    privcmd: links.filter((link) => link.includes('stub-privcmd')).length,
    guest: count('stub-guest'),
    arena: count('stub-hypercall'),
  };
}

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** For assert.throws: an error of Xen's with this code and these properties. */
export function xenError(code: string, more: object = {}) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof XenError, String(error));
    assert.deepEqual({ ...error, code: error.code }, { ...error, ...more, code });
    return true;
  };
}
