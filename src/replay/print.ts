/** Mismatches as text: one line each. */

import type { Difference, Mismatch } from './result.js';

/** JSON, and whole 64-bit numbers as they are. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
}

function listed(differences: readonly Difference[], side: 'expected' | 'got'): string {
  return differences.map((difference) => `${difference.what} = ${shown(difference[side])}`).join(', ');
}

/** `row 413 [guest-vmfunc] guest vmfunc {"leaf":0,"index":3}: expected exception = 20, got exception = null`. */
export function formatMismatch({ row, phase, call, args, differences }: Mismatch): string {
  const where = phase === '' ? row : `${row} [${phase}]`;
  return `${where} ${call} ${shown(args)}: expected ${listed(differences, 'expected')}; got ${listed(differences, 'got')}`;
}
