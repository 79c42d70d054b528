/** Makes a sequence that real Xen answers otherwise than the model as short as it gets and still is so. */

import type { Mismatch } from '#dist/replay/result.js';
import type { Sequence } from './generate.js';

/** A sequence that differs, without expectations, cut behind the step that does. */
export interface Failing {
  readonly sequence: Sequence;
  /** How the last step differs. */
  readonly mismatch: Mismatch;
}

/** Steps that every sequence begins with: the guest. */
const PRELUDE = 8;

/** Cuts a sequence behind its first mismatch. */
export function cut(sequence: Sequence, mismatches: readonly Mismatch[]): Failing | null {
  const [first] = mismatches;
  if (!first) return null;
  // rows are unnumbered: they are called `step N`, from 1
  const position = Number(first.row.replace(/\D+/g, ''));
  return { sequence: { ...sequence, steps: sequence.steps.slice(0, position) }, mismatch: first };
}

/** Shorter sequences that may differ in the same way: without one run of steps each. */
export function candidates({ sequence }: Failing): Sequence[] {
  const body = sequence.steps.length - PRELUDE - 1;
  const made: Sequence[] = [];
  for (let size = Math.ceil(body / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = PRELUDE; start < PRELUDE + body; start += size) {
      const steps = sequence.steps.filter((_, i) => i < start || i >= Math.min(start + size, PRELUDE + body));
      made.push({ ...sequence, steps });
    }
  }
  return made;
}

/** True when two mismatches look like the same fault. */
export function alike(one: Mismatch, other: Mismatch): boolean {
  const shape = ({ call, differences }: Mismatch): string =>
    JSON.stringify([call, differences.map(({ what, expected, got }) => [what, expected, got])]);
  return shape(one) === shape(other);
}
