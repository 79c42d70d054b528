/** `xenctrl vcpu`: the commands on a domain's vCPUs. */

import { type Command, commands } from '../command.js';

export const vcpu: Command = {
  name: 'vcpu',
  summary: "look at a domain's virtual processors",
  description: ['DOMAIN is an id, a UUID, or the name of a guest of a software Xen.'],
  commands: commands({
    regs: async () => (await import('./regs.js')).regs,
  }),
  examples: [['vcpu regs 1', 'the registers of domain 1']],
};
