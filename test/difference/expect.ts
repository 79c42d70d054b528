/** Runs a sequence on the model and writes down what it answered, so that another Xen can be held against it. */

import { ModelSession } from '#dist/replay/session.js';
import { playXenRecording } from '#dist/replay/xen_recording.js';
import type { RawStep, Sequence } from './generate.js';

/** The sequence with expectations: a recording. */
export function expectAsModel(sequence: Sequence): Sequence {
  const told: unknown[] = [];
  playXenRecording(
    sequence,
    (machine) => new ModelSession(machine),
    (one) => told.push(one),
  );
  return { ...sequence, steps: sequence.steps.map((step, i) => expecting(step, told[i])) };
}

/** The step, expecting what was told. */
export function expecting(step: RawStep, told: unknown): RawStep {
  if (told === undefined) return step;
  const expect: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(told as Record<string, unknown>)) {
    // the emulator keeps a stale EPTP index after dom0 switched the view: docs/fidelity.md
    if (value === undefined || key === 'eptp_index') continue;
    expect[key] = value;
  }
  return { ...step, expect };
}
