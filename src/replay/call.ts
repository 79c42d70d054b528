/** How a recorded call of dom0 is read and made again. */

import type { Got, Readers } from './expected.js';
import type { Fields } from './fields.js';
import type { Session } from './session.js';

/** Makes the call on a domain; throws XenError when Xen refuses it. */
export type MakeCall = ((session: Session, domid: number) => Got) | ((session: Session, domid: number) => void);

export interface CallSpec {
  /** What `expect.out` may hold. */
  readonly out?: Readers;
  /** Reads the arguments. */
  prepare(args: Fields, place: CallPlace): MakeCall;
  /** The call is about no guest: it can be made when there is none. */
  readonly needsNoGuest?: boolean;
  /** What is told whether or not the call succeeded; `out` of a call that did comes before it. */
  readonly always?: (session: Session, domid: number) => Got;
}

/** What a call's reader may have to know beside its arguments. */
export interface CallPlace {
  /** `expect.out`, as it stands in the file. */
  readonly expectedOut: unknown;
}

export type CallTable = Readonly<Record<string, CallSpec>>;
