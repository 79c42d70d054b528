/** Options that several commands take. */

import { RELEASES } from '../abi/release.js';
import type { Option } from './command.js';

/** Options of every command. */
export const COMMON: readonly Option[] = [
  { name: 'json', help: 'print the result as JSON, alone on stdout; messages go to stderr' },
  { name: 'help', short: 'h', help: 'explain the command' },
  { name: 'version', help: 'print the version of xenctrl' },
];

/** Options of the commands that talk to Xen. */
export const XEN_OPTIONS: readonly Option[] = [
  {
    name: 'backend',
    value: 'NAME',
    values: ['auto', 'privcmd', 'libxen', 'model'],
    help: 'how to reach Xen; auto takes the real one, and the software model only where there is none',
  },
  { name: 'scenario', value: 'FILE', help: 'a software Xen as FILE describes it (docs/scenario.md)' },
  { name: 'release', value: 'X.YY', values: RELEASES, help: 'the release that the software Xen behaves as' },
];

/** Option of the commands that change a domain. */
export const FORCE: Option = { name: 'force', help: 'really do it to domain 0, which is dom0 itself' };
