/** The two lists of a call that sets the access of many frames. */

import { RecordingError } from './error.js';
import { type Fields, integerValue, u64Value } from './fields.js';

/** The most entries that a replay makes up or takes for one call. */
const MOST_ENTRIES = 2 ** 20;
/** A recorder lists so many entries of a list, and for longer ones ... */
const LISTED = 6;
/** ... it always set this access on consecutive frames from this one on. */
const LONG_ACCESS = 7;
const LONG_FIRST = 0x20;

export interface AccessLists {
  readonly gfns: readonly (number | bigint)[];
  readonly access: Uint8Array;
}

/** Reads `nr`, `pfns` and `access`. */
export function readAccessLists(args: Fields): AccessLists {
  const count = args.integer('nr', 0, MOST_ENTRIES);
  const gfns = args.list('pfns').map((gfn, i) => u64Value(gfn, `${args.place('pfns')}[${i}]`));
  const access = args.list('access').map((code, i) => integerValue(code, `${args.place('access')}[${i}]`, 0, 0xff));
  if (gfns.length !== access.length) {
    throw new RecordingError(
      `${args.at} has ${gfns.length} pfns and ${access.length} access: it must have as many of both`,
    );
  }
  if (gfns.length !== count) {
    const shortened = count > LISTED && gfns.length === LISTED;
    const usual = gfns.every((gfn, i) => gfn === LONG_FIRST + i) && access.every((code) => code === LONG_ACCESS);
    if (!shortened || !usual) {
      throw new RecordingError(`${args.at} lists ${gfns.length} of ${count} entries: the others cannot be told`);
    }
    for (let i = LISTED; i < count; i++) {
      gfns.push(LONG_FIRST + i);
      access.push(LONG_ACCESS);
    }
  }
  return { gfns, access: Uint8Array.from(access) };
}
