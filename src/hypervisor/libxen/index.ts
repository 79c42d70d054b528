/** The adapter for a real dom0 by the distribution's libraries. */

import type { Adapter } from '../open.js';
import { deviceRefusal } from '../privcmd/device.js';
import { firstLine } from './ffi.js';
import { LibxenHypervisor } from './hypervisor.js';
import { loadLibraries } from './libraries.js';

export const libxenAdapter: Adapter = {
  unavailable() {
    // first, since libxencall complains on stderr when it cannot open the device
    const refused = deviceRefusal();
    if (refused !== null) return refused;
    try {
      loadLibraries();
      return null;
    } catch (error) {
      return firstLine(error);
    }
  },
  open: () => new LibxenHypervisor(),
};
