/** One run of the lab from its preparation to the last file. */

import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkTogether } from './arguments.js';
import { startBochs } from './bochs.js';
import { ConsoleWatch, tailOf } from './console.js';
import { dom0Environment } from './dom0.js';
import { EXIT_TIMED_OUT, LabError } from './error.js';
import { type Kernel, prepareKernel } from './kernel.js';
import type { Finished, LabMachine } from './machine.js';
import { DEFAULT_MEMORY_MIB, DEFAULT_TIMEOUT_SECONDS, type LabOptions, type LabResult } from './options.js';
import { startQemu } from './qemu.js';
import { findTools, type Tools } from './requirements.js';

/** How often new output is looked for. Short beside the emulated machine's own pace. */
const POLL_MS = 50;

/**
 * Boots a real Xen in an emulator, runs one command in its dom0 and brings back what it printed and wrote.
 *
 * @throws LabError when there is no exit code of the command's own; its `exitCode` is 124 (time) or 125
 */
export async function runLab(options: LabOptions): Promise<LabResult> {
  checkTogether(options);
  const stage = options.onStage ?? ((): void => {});
  stage('preparing');
  const tools = findTools(options.engine ?? 'qemu');
  return runPrepared(options, { tools, kernel: await prepareKernel(tools.busybox, stage) });
}

/** What a run takes from the machine and the cache. Tests bring their own. */
export interface LabInputs {
  readonly tools: Tools;
  readonly kernel: Kernel;
}

/** {@link runLab} with everything at hand. */
export async function runPrepared(options: LabOptions, inputs: LabInputs): Promise<LabResult> {
  const stage = options.onStage ?? ((): void => {});
  if (options.out !== undefined) await makeFolder(options.out);
  const folder = await mkdtemp(join(tmpdir(), 'xenctrl-lab-'));
  // For the ways out that do not come by `finally`.
  const removeNow = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', removeNow);
  try {
    options.signal?.throwIfAborted();
    const machine = await boot(options, folder, inputs);
    try {
      const { exitCode } = await waitForEnd(machine, options, stage);
      await machine.collect();
      return { exitCode };
    } finally {
      await machine.emulator.kill();
      machine.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.off('exit', removeNow);
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: Error) => {
    throw new LabError(`${path} cannot be the folder for the command's files: ${error.message}`);
  });
}

async function boot(options: LabOptions, folder: string, inputs: LabInputs): Promise<LabMachine> {
  const { engine = 'qemu', command, xenArgs = '', memoryMiB = DEFAULT_MEMORY_MIB } = options;
  const cwd = resolve(options.cwd ?? process.cwd());
  const outputs = { stdout: options.stdout ?? process.stdout, stderr: options.stderr ?? process.stderr };
  const environment = dom0Environment(engine);
  const out = options.out === undefined ? null : resolve(options.out);
  if (engine === 'bochs') {
    const run = { command, cwd, xenArgs, memoryMiB, out, environment, include: options.include ?? [] };
    return startBochs(folder, run, inputs, outputs);
  }
  const share = out ?? join(folder, 'out');
  await mkdir(share, { recursive: true });
  const plan = { xenArgs, memoryMiB, devices: options.devices ?? [], out: share };
  return startQemu(folder, plan, { ...inputs, command: { argv: command, cwd, environment } }, outputs);
}

/** Hands output on until the command has ended, the machine is dead, or the time is up. */
async function waitForEnd(
  machine: LabMachine,
  { engine = 'qemu', timeoutSeconds = DEFAULT_TIMEOUT_SECONDS[engine], signal }: LabOptions,
  stage: (name: string) => void,
): Promise<Finished> {
  const watch = new ConsoleWatch(machine.console);
  const deadline = Date.now() + timeoutSeconds * 1000;
  stage(`${engine} is starting`);
  for (;;) {
    // Asked for before the poll: what the machine wrote before its end is then seen.
    const ended = machine.emulator.ended;
    const finished = await machine.poll();
    if (finished !== null) return finished;
    const reached = watch.update();
    if (reached !== null) stage(reached);
    signal?.throwIfAborted();
    if (watch.death !== null) throw failure(`Xen or dom0 died: ${watch.death}`, machine);
    if (ended !== null) {
      const own = tailOf(machine.log, 8);
      const said = own === '' ? '' : `, saying:\n${own}\n`;
      throw failure(`${engine} ended before the command did (${ended})${said}`, machine);
    }
    if (Date.now() > deadline) {
      throw failure(`the command did not end within ${timeoutSeconds} s`, machine, EXIT_TIMED_OUT);
    }
    await delay(POLL_MS);
  }
}

function failure(what: string, { console }: LabMachine, exitCode?: number): LabError {
  const last = tailOf(console);
  return new LabError(last === '' ? what : `${what}. The console's last lines:\n${last}`, exitCode);
}
