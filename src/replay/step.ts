/** A step of a recording, read and ready to be taken. */

import type { Fields } from './fields.js';
import type { Difference } from './result.js';
import type { Session } from './session.js';

export interface Step {
  /** What it is called in a mismatch: `xc_altp2m_create_view`, `guest vmfunc`, `createGuest`. */
  readonly call: string;
  /** What it was given, as the recording has it. */
  readonly args: unknown;
  /** Takes the step. @returns what differed */
  take(session: Session): readonly Difference[];
}

/** What a step tells instead of an answer when it cannot be taken. */
export function impossible(reason: string): readonly Difference[] {
  return [{ what: 'outcome', expected: 'an answer', got: reason }];
}

/** Reads the target of a step: a function that finds the domain; null when there is no guest. */
export function readTarget(fields: Fields): (session: Session) => number | null {
  if (!fields.has('target')) return (session) => session.current;
  const domid = fields.u16('target');
  return () => domid;
}

export const NO_GUEST = 'there is no guest: it could not be made';
