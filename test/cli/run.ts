/** Runs the `xenctrl` command as a process of its own. */

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from '#dist/cli/main.js';
import { Output, type Sink } from '#dist/cli/output.js';
import { scratchFolder } from '../scratch.js';

export const BIN = fileURLToPath(new URL('../../../bin/xenctrl.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment without what would change the command's behaviour. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^(XENCTRL_.*|NO_COLOR|FORCE_COLOR|COLUMNS|NODE_OPTIONS|NODE_V8_COVERAGE)$/.test(name)) delete env[name];
  }
  return env;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Sent so many milliseconds after the start. */
  readonly interrupt?: { readonly after: number; readonly signal: NodeJS.Signals };
}

export function run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const { interrupt } = options;
    if (interrupt) setTimeout(() => child.kill(interrupt.signal), interrupt.after);
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs the command inside this process: as {@link run}, but for its streams, its signals and its environment. */
export async function runInside(args: readonly string[]): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  const out: Sink = {
    write: (text) => {
      stdout += text;
    },
  };
  const err: Sink = {
    write: (text) => {
      stderr += text;
    },
  };
  const code = await main(args, { output: new Output(out, err, {}), signal: new AbortController().signal });
  return { code, signal: null, stdout, stderr };
}

/** Runs a command line of a shell, with `xenctrl` in it. */
export function runShell(shell: string, script: string): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const env = { ...cleanEnvironment(), XENCTRL: BIN, NODE: process.execPath };
    const child = spawn(shell, ['-c', script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text: Buffer) => {
      stdout += text.toString();
    });
    child.stderr.on('data', (text: Buffer) => {
      stderr += text.toString();
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** The result of a command with `--json`, which must be all that is on stdout. */
export async function runJson(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished & { json: unknown }> {
  const finished = await run([...args, '--json'], options);
  return { ...finished, json: JSON.parse(finished.stdout) as unknown };
}

/** As {@link runJson}, inside this process. */
export async function runJsonInside(args: readonly string[]): Promise<Finished & { json: unknown }> {
  const finished = await runInside([...args, '--json']);
  return { ...finished, json: JSON.parse(finished.stdout) as unknown };
}

const folder = scratchFolder();
let files = 0;

/** A file with this text. */
export function fileOf(text: string): string {
  const path = join(folder, `${files++}.json`);
  writeFileSync(path, text);
  return path;
}

/** A scenario file: a guest called "box" in external mode with a view that forbids writes, and a PV guest. */
export function boxScenario(changes: Record<string, unknown> = {}): string {
  const box = {
    name: 'box',
    uuid: '01234567-89ab-cdef-0123-456789abcdef',
    vcpus: 2,
    memoryPages: 512,
    pages: '4K',
    altp2m: 'external',
    views: [{ defaultAccess: 'rx', access: { '0x40': 'r' } }],
    ...changes,
  };
  return fileOf(JSON.stringify({ guests: [box, { name: 'pv', type: 'pv' }] }));
}
