/** Takes recordings on real Xen: boots the lab once for all of them. */

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Sequence } from './generate.js';
import type { RealResult } from './on_real.js';

const FOLDER = join('build', 'difference');
/** Before the first result: the boot of the emulator, of dom0 and of node in it. */
const BOOT_S = 400;
/** For each recording; a guest that is stuck takes a second and a half. */
const EACH_S = 3;
/** Where QEMU puts the devices that recordings may ask for. */
const DEVICES: Readonly<Record<string, string>> = { e1000e: 'e1000e,addr=10', nvme: 'nvme,addr=11,serial=1' };
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Bochs' machine has Intel's processor and altp2m, QEMU's AMD's without. */
export type Engine = 'bochs' | 'qemu';

export interface LabRun {
  readonly engine: Engine;
  /** Results hold what each step gave. */
  readonly told: boolean;
  /** Hears of each result. */
  readonly onResult?: (done: number, result: RealResult) => void;
}

/** @throws Error when the lab or the program in it fails, or results are missing */
export async function takeOnRealXen(sequences: readonly Sequence[], options: LabRun): Promise<RealResult[]> {
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, 'sequences.jsonl');
  writeFileSync(file, sequences.map((sequence) => `${JSON.stringify(sequence)}\n`).join(''));
  const devices = [...new Set(sequences.flatMap(({ pci = [] }) => pci))];
  const timeout = BOOT_S + sequences.length * EACH_S;
  const lab = spawn(
    process.execPath,
    [
      join('dist', 'lab', 'cli.js'),
      ...['--engine', options.engine, '--timeout', String(timeout)],
      ...devices.flatMap((name) => ['--device', DEVICES[name] ?? name]),
      ...['--include', join('build', 'test'), '--include', FOLDER, '--'],
      ...['node', '--max-semi-space-size=32', join('build', 'test', 'difference', 'on_real.js'), file],
      ...(options.told ? ['--told'] : []),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const closed = new Promise<number | null>((resolve, reject) => {
    lab.once('error', reject);
    lab.once('close', resolve);
  });
  // whoever ends us ends the emulator, too
  const stop = (): void => {
    lab.kill('SIGTERM');
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  const results: RealResult[] = [];
  for await (const line of createInterface({ input: lab.stdout })) {
    const result: RealResult = JSON.parse(line);
    results.push(result);
    options.onResult?.(results.length, result);
  }
  const status = await closed;
  for (const signal of SIGNALS) process.off(signal, stop);
  if (status !== 0) throw new Error(`the lab ended with status ${status} after ${results.length} recordings`);
  if (results.length !== sequences.length) {
    throw new Error(`the lab gave ${results.length} results for ${sequences.length} recordings`);
  }
  return results;
}
