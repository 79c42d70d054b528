/** The adapter for a real dom0 by the native addon. */

import { loadAddon } from '../../native/load.js';
import type { Adapter } from '../open.js';
import { deviceRefusal } from './device.js';
import { PrivcmdHypervisor } from './hypervisor.js';

export const privcmdAdapter: Adapter = {
  unavailable() {
    const refused = deviceRefusal();
    if (refused !== null) return refused;
    const loaded = loadAddon();
    return loaded.addon === null ? loaded.reason : null;
  },
  open: () => new PrivcmdHypervisor(),
};
