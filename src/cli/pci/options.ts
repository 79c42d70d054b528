/** Options of the pci commands. */

import { RELEASES } from '../../abi/release.js';
import type { Option } from '../command.js';
import { XEN_OPTIONS } from '../option_list.js';

/** A switch of every pci command. */
export const DEMO: Option = {
  name: 'demo',
  help: 'a software Xen with a network card, 00:10.0, an NVMe disk, 00:11.0, and a guest to give them to: domain 1',
};

export const DOM0_OPTIONS: readonly Option[] = [
  ...XEN_OPTIONS,
  DEMO,
  { name: 'state', value: 'FOLDER', help: 'where what was done is noted; default /run/xenctrl/pci' },
];

/** Options of the commands that only look. */
export const SOURCE_OPTIONS: readonly Option[] = [
  {
    name: 'release',
    value: 'X.YY',
    values: RELEASES,
    help: 'the Xen that the devices are for; default the one that runs here, else what holds for all is said',
  },
  DEMO,
];
