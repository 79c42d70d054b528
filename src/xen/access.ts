/** Memory access types by name: `'rx'` reads better than a number, and better than the symbols of two of them. */

import { encodeAccess, XENMEM_access, type XenmemAccess } from '../abi/memory.js';
import type { ReleaseAbi } from '../abi/release.js';
import { checkU8 } from '../hypervisor/check.js';

/** `'n'`, `'r'`, `'rw'`, `'rx'` ...: the members of {@link XENMEM_access}. */
export type AccessName = keyof typeof XENMEM_access;

/** An access type as callers give it: its name, a member of {@link XENMEM_access}, or Xen's number. */
export type Access = AccessName | XenmemAccess;

const BY_NAME: Readonly<Record<string, XenmemAccess>> = XENMEM_access;

/** All names, in Xen's order. */
export const ACCESS_NAMES: readonly AccessName[] = Object.keys(XENMEM_access) as AccessName[];

/**
 * The number that stands for an access type in one release.
 *
 * @throws TypeError for what is no access type. RangeError for a number outside 0..255, and for `'r_pw'` before Xen 4.20.
 */
export function accessCode(access: Access, abi: ReleaseAbi, name: string): number {
  if (typeof access !== 'string') {
    const code = encodeAccess(access, abi);
    checkU8(code, name);
    return code;
  }
  const known = Object.hasOwn(BY_NAME, access) ? BY_NAME[access] : undefined;
  if (known === undefined) {
    throw new TypeError(`${name} must be one of ${ACCESS_NAMES.join(', ')}, not ${JSON.stringify(access)}`);
  }
  return encodeAccess(known, abi);
}

/** Name of an access type that Xen told; the number itself when this package does not know it. */
export function accessName(access: XenmemAccess): AccessName | number {
  const name = ACCESS_NAMES.find((one) => BY_NAME[one] === access);
  if (name !== undefined) return name;
  return typeof access === 'number' ? access : Number.NaN;
}
