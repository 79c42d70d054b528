/**
 * Runs test cases in Node processes that have the stub kernel (stub.c) in front of libc. A test file gives its cases to
 * {@link stubbed}; run by node:test it starts itself for them: those that need nothing of their own follow each other in
 * one process, every other has one to itself.
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
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { XenError } from '#dist/hypervisor/error.js';
import { loadAddon } from '#dist/native/load.js';

/** The checkout. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export interface Case {
  /** Environment of the process, `STUB_...` among it. A STUB_LOG of `''` becomes a file of its own: see {@link logged}. */
  readonly env?: Readonly<Record<string, string>>;
  /** Flags for Node. */
  readonly flags?: readonly string[];
  /** Whether nothing may be printed, by native code either. */
  readonly silent?: boolean;
  /** It ends its process, or leaves something in it. */
  readonly alone?: boolean;
  /** Why the case cannot run here. */
  readonly skip?: string | false;
  run(): void | Promise<void>;
}

/** Registers the cases with node:test, or, in a process started for some of them, runs those. */
export function stubbed(url: string, cases: Readonly<Record<string, Case>>): void {
  const wanted = process.env['XENCTRL_TEST_CASES'];
  if (wanted !== undefined) {
    void runCases(JSON.parse(wanted) as readonly string[], cases);
    return;
  }
  const stub = buildStub();
  const processes = new Map<string, Shared>();
  for (const [name, one] of Object.entries(cases)) {
    const skip = stub.skip ?? addonMissing() ?? one.skip ?? false;
    if (!skip && isSociable(one)) {
      const key = JSON.stringify(one.env ?? {});
      const shared = processes.get(key) ?? { names: [], outcomes: null };
      processes.set(key, shared);
      shared.names.push(name);
      test(name, async () => {
        shared.outcomes ??= startCases(url, shared.names, one, stub.path);
        assert.equal((await shared.outcomes).get(name), '');
      });
    } else {
      test(name, { skip }, async () => {
        assert.equal((await startCases(url, [name], one, stub.path)).get(name), '');
      });
    }
  }
}

/** Cases that share a process, and what came of each: nothing, or what was wrong. */
interface Shared {
  readonly names: string[];
  outcomes: Promise<ReadonlyMap<string, string>> | null;
}

function isSociable({ env = {}, flags, silent, alone }: Case): boolean {
  return !flags && !silent && !alone && !Object.keys(env).some((name) => name.startsWith('STUB_'));
}

/** Where a process says what came of a case: a line of JSON, its name and what was wrong. */
const REPORT_FD = 3;

async function runCases(names: readonly string[], cases: Readonly<Record<string, Case>>): Promise<void> {
  for (const name of names) {
    const one = cases[name];
    assert.ok(one, `no case ${name}`);
    let wrong = '';
    try {
      await one.run();
    } catch (error) {
      wrong = inspect(error);
      process.exitCode = 1;
    }
    if (names.length > 1) writeSync(REPORT_FD, `${JSON.stringify([name, wrong])}\n`);
    else if (wrong !== '') console.error(wrong);
  }
  // what a case that failed has left running must not keep the process, and whoever waits for it
  if (process.exitCode === 1) process.exit();
}

/** @returns what was wrong with each case, if only that its process ended before it */
async function startCases(
  url: string,
  names: readonly string[],
  one: Case,
  stub: string,
): Promise<ReadonlyMap<string, string>> {
  const scratch = mkdtempSync(join(tmpdir(), 'xenctrl-test-'));
  try {
    const env: Record<string, string> = { ...one.env, XENCTRL_TEST_CASES: JSON.stringify(names) };
    if (env['STUB_LOG'] === '') env['STUB_LOG'] = join(scratch, 'log');
    const run = await runStubbed([...(one.flags ?? []), fileURLToPath(url)], env, stub);
    const { output, outcome, reported } = run;
    const said = new Map<string, string>(
      reported.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as [string, string]])),
    );
    const failed = [...said.values()].some((wrong) => wrong !== '');
    const end =
      outcome === (failed ? 'exit 1' : 'exit 0') && !(one.silent && output !== '') ? '' : `${outcome}: ${output}`;
    const last = names.at(-1);
    // a process that has run all of its cases has still to end well
    return new Map(
      names.map((name) => {
        const alone = names.length === 1;
        return [
          name,
          alone ? end : (said.get(name) ?? `its process ended before it, ${end}`) || (name === last ? end : ''),
        ];
      }),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Runs a Node process on the stub. */
export function runStubbed(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stub = buildStub().path,
): Promise<{ output: string; outcome: string; reported: string }> {
  // a sanitizer's runtime, when there is one, has to stay in front
  const preload = [process.env['LD_PRELOAD'], stub].filter(Boolean).join(' ');
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env, LD_PRELOAD: preload },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let reported = '';
  child.stdout?.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (output += data.toString()));
  child.stdio[REPORT_FD]?.on('data', (data: Buffer) => (reported += data.toString()));
  return new Promise((done) => {
    child.on('close', (code, signal) => {
      done({ output, outcome: signal ? `signal ${signal}` : `exit ${code}`, reported });
    });
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

/** What this process has open of the stub: privcmd descriptors, pages of guests, arenas. */
export function inUse(): { privcmd: number; guest: number; arena: number } {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the descriptor of the listing itself
    }
  });
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const linesOf = (name: string): string[] => maps.filter((line) => line.includes(`memfd:${name}`));
  // mappings that lie side by side by chance, of pages that do so in the file, are one line
  const pages = linesOf('stub-guest').map((line) => {
    const [start = 0, end = 0] = line.split(/[- ]/, 2).map((address) => Number.parseInt(address, 16));
    return (end - start) / 4096;
  });
  return {
    privcmd: links.filter((link) => link.includes('stub-privcmd')).length,
    guest: pages.reduce((sum, count) => sum + count, 0),
    arena: linesOf('stub-hypercall').length,
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
