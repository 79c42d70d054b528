/** `xenctrl net vif`: what guests' network cards and dom0 leave to each other. */

import { type Command, commands } from '../../command.js';

export const vif: Command = {
  name: 'vif',
  summary: 'checksum offload between guests and dom0: find who is wrong, and mend it',
  commands: commands({
    status: async () => (await import('./status.js')).status,
    set: async () => (await import('./set.js')).set,
    undo: async () => (await import('./set.js')).undo,
  }),
  examples: [
    ['net vif status vif1.0 --observe 10 --uplink eth0', 'who leaves checksums to whom, and is anything broken?'],
    ['net vif set vif1.0 tx off', 'dom0 completes the checksums itself'],
  ],
};
