/** `xenctrl altp2m`: the commands on a domain's views. */

import { type Command, commands } from '../command.js';

export const altp2m: Command = {
  name: 'altp2m',
  summary: "look at and change a domain's altp2m views",
  description: ['DOMAIN is an id, a UUID, or the name of a guest of a software Xen. Numbers may be hexadecimal: 0x40.'],
  commands: commands({
    status: async () => (await import('./status.js')).status,
    enable: async () => (await import('./state.js')).enable,
    disable: async () => (await import('./state.js')).disable,
    create: async () => (await import('./create.js')).create,
    destroy: async () => (await import('./destroy.js')).destroy,
    switch: async () => (await import('./switch.js')).switchView,
    hide: async () => (await import('./visibility.js')).hide,
    show: async () => (await import('./visibility.js')).show,
    access: async () => (await import('./access.js')).access,
    remap: async () => (await import('./remap.js')).remap,
  }),
  examples: [
    ['altp2m create 1 --access rx', 'make a view'],
    ['altp2m hide 1 1', 'keep the guest from entering it'],
    ['altp2m status 1', 'look'],
  ],
};
