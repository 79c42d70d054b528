/** `xenctrl pci`: devices, and giving them to guests. */

import { type Command, commands } from '../command.js';
import { ABOUT_SOURCE } from './source.js';

export const pci: Command = {
  name: 'pci',
  summary: 'look at PCI devices and their MSI-X pages, and give them to guests',
  description: [ABOUT_SOURCE],
  commands: commands({
    inspect: async () => (await import('./inspect.js')).inspect,
    list: async () => (await import('./list.js')).list,
    plan: async () => (await import('./plan.js')).plan,
    attach: async () => (await import('./plan.js')).attach,
    detach: async () => (await import('./plan.js')).detach,
    recover: async () => (await import('./plan.js')).recover,
  }),
  examples: [
    ['pci list', 'the devices of this machine'],
    ['pci inspect 03:00.0', 'one of them: what a guest could write of it, and what would go wrong'],
    ['pci inspect dump.txt', 'the same from text of `lspci -vvxxxx`, on any machine'],
    ['pci attach 00:10.0 1 --demo', 'give a device to a guest of a software Xen'],
  ],
};
