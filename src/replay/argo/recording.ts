/** The format `xen-argo-recording/1`: Argo calls that were made on a Xen built with it, boot by boot. */

import type { ArgoMode } from '../../model/argo/argo.js';
import { RecordingError } from '../error.js';
import { Fields } from '../fields.js';
import type { Difference, Mismatch, ReplayResult } from '../result.js';
import { readCallRow, takeCall } from './call.js';
import { readEvent } from './event.js';
import { ArgoMachine } from './machine.js';

interface Row {
  readonly row: string;
  readonly phase: string;
  readonly call: string;
  readonly args: unknown;
  /** A call of Argo; the rest prepares them, and counts only when it goes otherwise. */
  readonly counts: boolean;
  take(machine: ArgoMachine): readonly Difference[];
}

interface Boot {
  readonly mode: ArgoMode;
  readonly rows: readonly Row[];
}

/** Replays each boot on a software Xen of its own. The whole recording is read before the first row is taken. */
export function replayArgoRecording(recording: unknown): ReplayResult {
  const fields = new Fields(recording, '');
  fields.ignore('format', 'meta');
  const boots = fields.list('boots').map((boot, i) => readBoot(new Fields(boot, `boots[${i}]`)));
  fields.end();
  const mismatches: Mismatch[] = [];
  let total = 0;
  for (const { mode, rows } of boots) {
    const machine = new ArgoMachine(mode);
    for (const { take, counts, ...labels } of rows) {
      const differences = take(machine);
      if (differences.length > 0) mismatches.push({ ...labels, differences });
      if (counts || differences.length > 0) total++;
    }
  }
  return { matched: total - mismatches.length, total, mismatches };
}

function readBoot(fields: Fields): Boot {
  const name = fields.string('name');
  const on = fields.boolean('argo_on');
  const permissive = fields.boolean('mac_permissive');
  const mode = !fields.boolean('argo_built') ? 'not-compiled-in' : on && permissive ? 'mac-permissive' : on;
  return {
    mode,
    rows: fields.list('rows').map((row, i) => readRow(new Fields(row, `${fields.place('rows')}[${i}]`), name)),
  };
}

function readRow(fields: Fields, boot: string): Row {
  const op = fields.string('op');
  const counts = fields.has('args');
  const call = counts ? readCallRow(fields) : null;
  const event = call ? null : readEvent(fields);
  return {
    row: `${boot} row ${String(fields.raw('n'))}`,
    phase: String(fields.raw('phase') ?? ''),
    call: `${fields.string('who')} ${op}`,
    args: fields.raw('req') ?? fields.raw('args') ?? null,
    counts,
    take: (machine) => playable(() => (call ? takeCall(machine, call) : (event?.(machine) ?? []))),
  };
}

/** A row that cannot be taken, for what came before it went otherwise than recorded or says too little, is a mismatch. */
function playable(take: () => readonly Difference[]): readonly Difference[] {
  try {
    return take();
  } catch (error) {
    if (!(error instanceof RecordingError || error instanceof RangeError)) throw error;
    return [{ what: 'outcome', expected: 'an answer', got: error.message }];
  }
}
