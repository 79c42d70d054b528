/** The observers themselves, put in place; see `observe.ts`. */

import type { Hypervisor } from '../hypervisor/port.js';
import { decorate } from './decorate.js';
import { Recorder, Recording } from './recorder.js';
import { type Tracer, traceToFile, traceToStderr } from './tracer.js';

/**
 * Puts the observers asked for between the calls and a hypervisor.
 *
 * @param trace value of `XENCTRL_TRACE`; empty: none
 * @param record value of `XENCTRL_RECORD`; empty: none
 */
export function putObservers(hypervisor: Hypervisor, trace: string, record: string): Hypervisor {
  const recorded = record === '' ? hypervisor : decorate(hypervisor, recorderOf(hypervisor, record));
  // the tracer is outside: it sees the session's calls, and not the recorder's own questions
  return trace === '' ? recorded : decorate(recorded, tracerOf(recorded, trace));
}

function tracerOf(hypervisor: Hypervisor, wanted: string): Tracer {
  if (wanted === '1') return traceToStderr(hypervisor);
  try {
    return traceToFile(hypervisor, wanted);
  } catch (error) {
    throw cannotWrite('XENCTRL_TRACE', wanted, error);
  }
}

/** Recordings by machine, and by the name asked for. A software Xen is a machine of its own, the real one is one. */
const recordings = new WeakMap<object, Map<string, Recording>>();
const REAL_XEN = {};
/** How many machines wrote to a name already. */
const machines = new Map<string, number>();

function recorderOf(hypervisor: Hypervisor, wanted: string): Recorder {
  const machine = hypervisor.kind === 'model' ? hypervisor : REAL_XEN;
  const known = recordings.get(machine) ?? new Map<string, Recording>();
  recordings.set(machine, known);
  const recording = known.get(wanted) ?? openRecording(hypervisor, wanted);
  known.set(wanted, recording);
  return new Recorder(hypervisor, recording);
}

function openRecording(hypervisor: Hypervisor, wanted: string): Recording {
  const before = machines.get(wanted) ?? 0;
  try {
    const recording = new Recording(hypervisor, pathOf(wanted, before));
    machines.set(wanted, before + 1);
    return recording;
  } catch (error) {
    throw cannotWrite('XENCTRL_RECORD', wanted, error);
  }
}

/** The first machine's file has the name asked for, the others' a number before the ending: `session.2.json`. */
function pathOf(wanted: string, before: number): string {
  const path = wanted.replaceAll('%p', String(process.pid));
  return before === 0 ? path : path.replace(/(\.[^./]*)?$/, (ending) => `.${before + 1}${ending}`);
}

function cannotWrite(variable: string, value: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`${variable}=${value}: ${reason}`, { cause: error });
}
