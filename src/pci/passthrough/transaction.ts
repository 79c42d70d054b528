/** Gives a device to a guest and takes it back, all or nothing. */

import { formatSbdf } from '../../abi/pci/sbdf.js';
import { XenError } from '../../hypervisor/error.js';
import { xc_domain_getinfo_single } from '../../xc/domain_info.js';
import { type Action, type Dom0, isDone, isNothingToDo, perform, type Step } from './action.js';
import { Journal, type JournalEntry } from './journal.js';
import { folderOf, type Plan } from './plan.js';

/** Giving away or taking back did not come to its end. */
export class PassthroughError extends Error {
  override readonly name = 'PassthroughError';
  /**
   * `ERR_PCI_REFUSED`: nothing was done. `ERR_PCI_FAILED`: a step failed, and everything is as it was before.
   * `ERR_PCI_STUCK`: a step failed, and then one of those that should have taken it back: {@link left} are done still.
   * `ERR_PCI_BUSY`: another run has begun with this device. `ERR_PCI_UNKNOWN`: there is nothing to take back.
   */
  readonly code: 'ERR_PCI_REFUSED' | 'ERR_PCI_FAILED' | 'ERR_PCI_STUCK' | 'ERR_PCI_BUSY' | 'ERR_PCI_UNKNOWN';
  /** In words: the steps that are done and should not be. */
  readonly left: readonly string[];

  constructor(code: PassthroughError['code'], message: string, cause?: unknown, left: readonly string[] = []) {
    super(message, { cause });
    this.code = code;
    this.left = left;
  }
}

export interface RunOptions {
  readonly journal?: Journal;
  /** Told of each step before it is done, or taken back. */
  readonly onStep?: (step: Step, way: 'do' | 'undo') => void;
  /** Does an action; for tests. */
  readonly perform?: (action: Action, dom0: Dom0) => void;
}

/** How steps are done in one run. */
interface Run {
  readonly dom0: Dom0;
  readonly sbdf: number;
  readonly journal: Journal;
  readonly onStep: (step: Step, way: 'do' | 'undo') => void;
  readonly perform: (action: Action, dom0: Dom0) => void;
}

function runOf(dom0: Dom0, sbdf: number, options: RunOptions): Run {
  const { journal = new Journal(), onStep = () => {} } = options;
  return { dom0, sbdf, journal, onStep, perform: options.perform ?? perform };
}

/**
 * Does what was planned. When a step fails, those before it are taken back.
 *
 * @throws PassthroughError
 */
export function attach(dom0: Dom0, plan: Plan, options: RunOptions = {}): void {
  const { sbdf, domid, uuid, steps, refusals } = plan;
  const run = runOf(dom0, sbdf, options);
  if (run.journal.read(sbdf)) throw busy(sbdf);
  if (refusals.length > 0) throw new PassthroughError('ERR_PCI_REFUSED', refusals.join(' '));
  begin(run, { version: 1, sbdf, domid, uuid, steps, states: [], complete: false });
  const states: JournalEntry['states'] = steps.map(() => undefined);
  const failed = forward(run, steps, states);
  if (!failed) {
    run.journal.note(sbdf, { is: 'complete' });
    return;
  }
  const why = `${failed.step.what}: ${message(failed.error)}`;
  const entry = { ...plan, version: 1 as const, states: failed.states, complete: false };
  const stuck = backward(run, entry);
  if (stuck) throw stuckError(`${why}. Taking back failed, too: ${message(stuck.error)}`, failed.error, entry, stuck);
  run.journal.end(sbdf);
  throw new PassthroughError('ERR_PCI_FAILED', `${why}. All is as it was before`, failed.error);
}

/**
 * Takes a device back that {@link attach} gave away, to the driver that it had. When that fails, the guest has it as
 * before.
 *
 * @throws PassthroughError
 */
export function detach(dom0: Dom0, sbdf: number, options: RunOptions = {}): void {
  const run = runOf(dom0, sbdf, options);
  const entry = run.journal.read(sbdf);
  if (!entry) throw unknown(sbdf);
  if (!entry.complete) throw busy(sbdf);
  const stuck = backward(run, entry);
  if (!stuck) {
    run.journal.end(sbdf);
    return;
  }
  const why = `${stuck.step.what} could not be taken back: ${message(stuck.error)}`;
  const failed = forward(run, entry.steps, stuck.states);
  if (failed)
    throw stuckError(
      `${why}. Giving it back to the guest failed, too: ${message(failed.error)}`,
      stuck.error,
      entry,
      failed,
    );
  run.journal.note(sbdf, { is: 'complete' });
  throw new PassthroughError('ERR_PCI_FAILED', `${why}. The guest has the device as before`, stuck.error);
}

/**
 * Takes back whatever a run left that was killed or stuck, and may be said twice. The device is dom0's again.
 *
 * @throws PassthroughError `ERR_PCI_STUCK`: something still cannot be taken back; the rest is, and this can be repeated
 */
export function recover(dom0: Dom0, sbdf: number, options: RunOptions = {}): void {
  const run = runOf(dom0, sbdf, options);
  const entry = run.journal.read(sbdf);
  if (!entry) throw unknown(sbdf);
  const stuck = backward(run, entry);
  if (stuck)
    throw stuckError(`${stuck.step.what} could not be taken back: ${message(stuck.error)}`, stuck.error, entry, stuck);
  run.journal.end(sbdf);
}

function begin({ journal }: Run, { states: _, complete: __, ...head }: JournalEntry): void {
  try {
    journal.begin(head);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw busy(head.sbdf);
    throw error;
  }
}

interface Failure {
  readonly step: Step;
  readonly error: unknown;
  /** What is done and what is not, the failed step included. */
  readonly states: JournalEntry['states'];
}

/** Does the steps that are not done, in order, up to one that fails. */
function forward(run: Run, steps: readonly Step[], from: JournalEntry['states']): Failure | null {
  const states = [...from];
  for (const [i, step] of steps.entries()) {
    if (states[i] === 'done') continue;
    run.onStep(step, 'do');
    try {
      run.journal.note(run.sbdf, { step: i, is: 'begun' });
      states[i] = 'begun';
      run.perform(step.action, run.dom0);
      run.journal.note(run.sbdf, { step: i, is: 'done' });
      states[i] = 'done';
    } catch (error) {
      // what Xen refuses it has not done; whether anything else happened nobody knows
      if (error instanceof XenError) states[i] = 'undone';
      return { step, error, states };
    }
  }
  return null;
}

/** Takes back the steps that are done, or may be, the last one first, up to one that does not go. */
function backward(run: Run, { steps, states: from, domid, uuid }: JournalEntry): Failure | null {
  const { dom0 } = run;
  const states = [...from];
  const gone = !isDomain(dom0, domid, uuid);
  for (const [i, step] of [...steps.entries()].reverse()) {
    const state = states[i];
    if (state === undefined || state === 'undone') continue;
    const { inverse } = step;
    try {
      // a domain that has gone took all with it that it had, and its id may be another's now
      const needless = inverse === null || (gone && 'domid' in inverse && inverse.domid === domid);
      if (!needless && (state === 'done' || isDone(step, dom0) !== false)) {
        run.onStep(step, 'undo');
        run.journal.note(run.sbdf, { step: i, is: 'begun' });
        takeBack(run, inverse);
      }
      run.journal.note(run.sbdf, { step: i, is: 'undone' });
      states[i] = 'undone';
    } catch (error) {
      return { step, error, states };
    }
  }
  return null;
}

function takeBack({ perform: act, dom0, sbdf }: Run, inverse: Action): void {
  try {
    act(inverse, dom0);
  } catch (error) {
    // of a device that was pulled out drivers know no more
    const pulled = !(error instanceof XenError) && dom0.sysfs.list(folderOf(sbdf)).length === 0;
    if (!pulled && !isNothingToDo(inverse, error)) throw error;
  }
}

/** Whether the id is still that domain's. */
function isDomain({ xch }: Dom0, domid: number, uuid: string): boolean {
  try {
    return xc_domain_getinfo_single(xch, domid).handle === uuid;
  } catch (error) {
    if (error instanceof XenError && error.code === 'ESRCH') return false;
    throw error;
  }
}

function stuckError(
  text: string,
  cause: unknown,
  { steps, sbdf }: JournalEntry,
  { states }: Failure,
): PassthroughError {
  const left = steps.flatMap(({ what }, i) => (states[i] === 'done' || states[i] === 'begun' ? [what] : []));
  const next = `\`xenctrl pci recover ${formatSbdf(sbdf)}\` takes the rest back, once the cause is mended`;
  return new PassthroughError('ERR_PCI_STUCK', `${text}. ${next}`, cause, left);
}

function busy(sbdf: number): PassthroughError {
  const name = formatSbdf(sbdf);
  const text = `${name} is given away already, or a run with it was cut off: \`xenctrl pci detach ${name}\` or \`recover ${name}\``;
  return new PassthroughError('ERR_PCI_BUSY', text);
}

function unknown(sbdf: number): PassthroughError {
  const text = `nothing is known of giving ${formatSbdf(sbdf)} away: what xl has attached, xl detaches`;
  return new PassthroughError('ERR_PCI_UNKNOWN', text);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
