/** Names of numbers, for people and for recordings. */

import * as params from '../abi/hvm/params.js';

const PREFIX = 'HVM_PARAM_';

/** `HVM_PARAM_*` without the prefix, by number; unknown numbers are holes. */
export const HVM_PARAM_NAMES: readonly string[] = Object.entries(params).reduce<string[]>((names, [name, value]) => {
  if (name.startsWith(PREFIX)) names[value] = name.slice(PREFIX.length);
  return names;
}, []);

/** `xenmem_access_t` up to where the releases agree. */
const ACCESS_NAMES = ['n', 'r', 'w', 'rw', 'x', 'rx', 'wx', 'rwx', 'rx2rw', 'n2rwx'] as const;

/** Name of an access type; a number that is none stays a number. `accessDefault` is the release's own. */
export function accessName(access: number, accessDefault: number): string {
  if (access === accessDefault) return 'default';
  return ACCESS_NAMES[access] ?? (access === 10 && accessDefault === 11 ? 'r_pw' : String(access));
}
