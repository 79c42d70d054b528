/** What there is to say about a function, in plain sentences. */

export interface Finding {
  /** A `problem` stops something, or makes it go wrong; a `note` is good to know. */
  readonly level: 'problem' | 'note';
  /** For programs: what kind it is. */
  readonly code: FindingCode;
  /** What is so, and what comes of it. */
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string;
}

export type FindingCode =
  | 'source' // the dump or the folder is damaged
  | 'gone' // configuration space is all ones
  | 'unreadable' // capabilities cannot be read
  | 'capability-list'
  | 'bir'
  | 'unassigned'
  | 'decode-off'
  | 'past-end'
  | 'disagreement' // register and kernel
  | 'virtual-function'
  | 'overlap' // of table and PBA
  | 'pba-length' // Xen protects too little
  | 'shared-function'
  | 'shared-registers'
  | 'masked'
  | 'in-use'
  | 'driver'
  | 'pciback'
  | 'reset'
  | 'group'
  | 'power'
  | 'small-bars'
  | 'bridge';

export function problem(code: FindingCode, text: string, advice?: string): Finding {
  return { level: 'problem', code, text, ...(advice === undefined ? {} : { advice }) };
}

export function note(code: FindingCode, text: string, advice?: string): Finding {
  return { level: 'note', code, text, ...(advice === undefined ? {} : { advice }) };
}

/** A finding as one text. */
export function sentence({ text, advice }: Finding): string {
  return advice === undefined ? text : `${text} ${advice}`;
}
