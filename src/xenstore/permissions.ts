/** Who may read and write a node. */

import { checkDomid } from './path.js';

const LETTERS = { none: 'n', read: 'r', write: 'w', both: 'b' } as const;

export type XenstoreAccess = keyof typeof LETTERS;

/**
 * An entry of a node's list. The first is special: its domain owns the node and may do everything, and its access is
 * that of all domains that the list does not name.
 */
export interface XenstorePermission {
  readonly domid: number;
  readonly access: XenstoreAccess;
}

/** `n0`, `r5`. @throws TypeError, RangeError */
export function formatPermissions(permissions: readonly XenstorePermission[]): string[] {
  if (!Array.isArray(permissions) || permissions.length === 0) {
    throw new TypeError('permissions must be a list that begins with the owner: [{ domid: 0, access: "none" }]');
  }
  return permissions.map(({ domid, access }: XenstorePermission) => {
    checkDomid(domid);
    const letter = Object.hasOwn(LETTERS, access) ? LETTERS[access] : undefined;
    if (letter === undefined) throw new RangeError(`access must be one of ${Object.keys(LETTERS).join(', ')}`);
    return `${letter}${domid}`;
  });
}

/** Null: it is not what {@link formatPermissions} gives. */
export function parsePermission(text: string): XenstorePermission | null {
  const [, letter, digits] = /^([nrwb])(\d{1,5})$/.exec(text) ?? [];
  const access = (Object.keys(LETTERS) as XenstoreAccess[]).find((name) => LETTERS[name] === letter);
  const domid = Number(digits);
  return access === undefined || !(domid <= 0xffff) ? null : { domid, access };
}
