/** The format `xen-recording/1`: calls that were made on a Xen, in order, and what it answered. */

import { RELEASES } from '../abi/release.js';
import { ArenaFullError } from '../hypervisor/arena.js';
import { e1000e, nvme, type PciDeviceOptions } from '../model/index.js';
import type { ModelOptions } from '../model/options.js';
import { RecordingError } from './error.js';
import { Fields } from './fields.js';
import type { Mismatch, ReplayResult } from './result.js';
import { ModelSession, type Session } from './session.js';
import type { Step, Taken } from './step.js';
import { readDoStep } from './step_do.js';
import { readDom0Step } from './step_dom0.js';
import { readGuestStep } from './step_guest.js';

interface LabelledStep {
  readonly row: string;
  readonly phase: string;
  readonly at: string;
  readonly step: Step;
}

/** A machine as a recording describes it. */
export type RecordedMachine = ModelOptions & { readonly release: (typeof RELEASES)[number] };

/** Replays on a software Xen. Reads the whole recording before the first step is taken: a mistake in it stops all. */
export function replayXenRecording(recording: unknown): ReplayResult {
  return playXenRecording(recording, (machine) => new ModelSession(machine));
}

/**
 * Takes the steps of a recording where `open` says.
 *
 * @param note hears what each step gave, in order
 * @param until where to stop: `total` is the number of steps taken
 */
export function playXenRecording(
  recording: unknown,
  open: (machine: RecordedMachine) => Session,
  note: (taken: Taken) => void = () => {},
  until: 'the end' | 'the first mismatch' = 'the end',
): ReplayResult {
  const fields = new Fields(recording, '');
  const machine = readMachine(fields);
  const steps = fields.list('steps').map(readStep);
  fields.end();
  using session = open(machine);
  const mismatches: Mismatch[] = [];
  let total = 0;
  for (const { row, phase, at, step } of steps) {
    total++;
    const taken = takeStep(session, at, step);
    note(taken);
    const { differences } = taken;
    if (differences.length === 0) continue;
    mismatches.push({ row, phase, call: step.call, args: step.args, differences });
    if (until === 'the first mismatch') break;
  }
  return { matched: total - mismatches.length, total, mismatches };
}

/** The machine that the recording was made on. */
function readMachine(fields: Fields): RecordedMachine {
  fields.ignore('format', 'xen', 'hypervisor', 'notes', 'exact');
  const cpu = fields.object('cpu');
  cpu.ignore('count');
  const options = {
    release: fields.oneOf('release', RELEASES),
    altp2m: fields.boolean('bootedWithAltp2m'),
    shadow: fields.has('shadow') ? fields.boolean('shadow') : false,
    cpu: {
      vendor: cpu.oneOf('vendor', ['intel', 'amd']),
      hap: cpu.boolean('hap'),
      vmfunc: cpu.boolean('vmfunc'),
      ve: cpu.boolean('ve'),
      mtf: cpu.boolean('mtf'),
      pt: cpu.has('pt') ? cpu.boolean('pt') : false,
      maxphysaddr: cpu.integer('maxphysaddr', 32, 52),
    },
  };
  cpu.end();
  // as the lab's QEMU has them, without an IOMMU
  return fields.has('pci') ? { ...options, pci: { devices: readDevices(fields), iommu: false } } : options;
}

function readDevices(fields: Fields): PciDeviceOptions[] {
  const devices = fields.list('pci').map((name) => {
    if (name === 'e1000e') return e1000e();
    if (name === 'nvme') return nvme();
    throw new RecordingError(`${fields.place('pci')} must be of "e1000e" and "nvme", not ${JSON.stringify(name)}`);
  });
  return [{ sbdf: '0000:00:00.0', classCode: 0x06_0000 }, ...devices];
}

function readStep(value: unknown, index: number): LabelledStep {
  const fields = new Fields(value, `steps[${index}]`);
  const number = fields.raw('row');
  const phase = fields.raw('phase');
  const row = number === undefined ? `step ${index + 1}` : `row ${String(number)}`;
  const step = fields.has('do') ? readDoStep(fields) : readCall(fields);
  fields.end();
  return { row, phase: phase === undefined ? '' : String(phase), at: fields.at, step };
}

function readCall(fields: Fields): Step {
  const by = fields.oneOf('as', ['dom0', 'guest']);
  const call = fields.string('call');
  return by === 'dom0' ? readDom0Step(fields, call) : readGuestStep(fields, call);
}

function takeStep(session: Session, at: string, step: Step): Taken {
  try {
    return step.take(session);
  } catch (error) {
    // arguments that a call itself refuses, before Xen sees them: no recorder can have made such a call
    const misuse = error instanceof RangeError || error instanceof TypeError || error instanceof ArenaFullError;
    if (!misuse) throw error;
    throw new RecordingError(`${at}: ${step.call} cannot be made: ${error.message}`);
  }
}
