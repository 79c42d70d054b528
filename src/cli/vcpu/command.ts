/** `xenctrl vcpu`: the commands on a domain's vCPUs. */

import type { Command } from '../command.js';
import { regs } from './regs.js';

export const vcpu: Command = {
  name: 'vcpu',
  summary: "look at a domain's virtual processors",
  description: ['DOMAIN is an id, a UUID, or the name of a guest of a software Xen.'],
  commands: [regs],
  examples: [['vcpu regs 1', 'the registers of domain 1']],
};
