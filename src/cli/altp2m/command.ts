/** `xenctrl altp2m`: the commands on a domain's views. */

import type { Command } from '../command.js';
import { access } from './access.js';
import { create } from './create.js';
import { destroy } from './destroy.js';
import { remap } from './remap.js';
import { disable, enable } from './state.js';
import { status } from './status.js';
import { switchView } from './switch.js';
import { hide, show } from './visibility.js';

export const altp2m: Command = {
  name: 'altp2m',
  summary: "look at and change a domain's altp2m views",
  description: ['DOMAIN is an id, a UUID, or the name of a guest of a software Xen. Numbers may be hexadecimal: 0x40.'],
  commands: [status, enable, disable, create, destroy, switchView, hide, show, access, remap],
  examples: [
    ['altp2m create 1 --access rx', 'make a view'],
    ['altp2m hide 1 1', 'keep the guest from entering it'],
    ['altp2m status 1', 'look'],
  ],
};
