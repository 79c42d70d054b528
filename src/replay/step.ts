/** A step of a recording, read and ready to be taken. */

import type { ToldEvent } from './agent.js';
import type { Fields } from './fields.js';
import type { Difference } from './result.js';
import type { Session } from './session.js';

export interface Step {
  /** What it is called in a mismatch: `xc_altp2m_create_view`, `guest vmfunc`, `createGuest`. */
  readonly call: string;
  /** What it was given, as the recording has it. */
  readonly args: unknown;
  take(session: Session): Taken;
}

/** What came of a step. */
export interface Taken {
  /** What was not as expected. */
  readonly differences: readonly Difference[];
  /** What it gave, as `expect` of a recording holds it; undefined for steps that expect nothing. */
  readonly told: unknown;
  /** The events that there were meanwhile, for steps that the guest takes. */
  readonly events?: readonly ToldEvent[];
}

/** What a step tells instead of an answer when it cannot be taken. */
export function impossible(reason: string): Taken {
  return { differences: [{ what: 'outcome', expected: 'an answer', got: reason }], told: { impossible: reason } };
}

/** Reads the target of a step: a function that finds the domain; null when there is no guest. */
export function readTarget(fields: Fields): (session: Session) => number | null {
  if (!fields.has('target')) return (session) => session.current;
  const domid = fields.u16('target');
  return () => domid;
}

export const NO_GUEST = 'there is no guest: it could not be made';
