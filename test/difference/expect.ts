/** Runs a sequence on the model and writes down what it answered, so that another Xen can be held against it. */

import { ModelSession } from '#dist/replay/session.js';
import type { Taken } from '#dist/replay/step.js';
import { playXenRecording } from '#dist/replay/xen_recording.js';
import type { Sequence } from './generate.js';
import type { RawStep } from './steps.js';

/** What a step gave, as JSON can hold it. */
export type Told = Pick<Taken, 'told' | 'events'>;

/** The sequence with expectations: a recording. */
export function expectAsModel(sequence: Sequence): Sequence {
  const told: Told[] = [];
  playXenRecording(
    sequence,
    (machine) => new ModelSession(machine),
    (one) => told.push(one),
  );
  return { ...sequence, steps: sequence.steps.map((step, i) => expecting(step, told[i])) };
}

/** The guest's own code: the model does not know which of its instructions is next. */
const CODE_FRAME = 0x10;

/**
 * The step, expecting what was told, as far as that is the same each time. Its `events` are those that there were; answers
 * that nobody needed are gone.
 */
export function expecting(step: RawStep, taken: Told | undefined): RawStep {
  const { told, events } = taken ?? {};
  if (told === undefined || told === null) return step;
  const expect: Record<string, unknown> = {};
  const given = Object.entries(told as Record<string, unknown>);
  const inCode = given.some(([key, value]) => key === 'gpa' && Number(value) >> 12 === CODE_FRAME);
  for (const [key, value] of given) {
    if (value === undefined || (inCode && (key === 'gla' || key === 'gpa'))) continue;
    // the emulator keeps a stale EPTP index after dom0 switched the view: docs/fidelity.md
    if (key === 'eptp_index') continue;
    // whether an exception of the waiting guest comes before or with the request that does nothing is chance
    if (step['call'] === 'nop' && key === 'exception') continue;
    expect[key] = value;
  }
  const answers = (step['events'] ?? []) as readonly RawStep[];
  const heard = answers.slice(0, events?.length ?? 0).map((one, i) => ({ ...one, ...events?.[i] }));
  const { events: _, ...bare } = step;
  return { ...bare, ...(heard.length > 0 && { events: heard }), expect };
}
