/** The model as an adapter of the port: what `backend: 'model'` opens. */

import type { Adapter } from '../hypervisor/open.js';
import { DEFAULT_SCENARIO, runScenario } from './scenario.js';

/** Works everywhere. Each opening makes a Xen of its own, with one HVM guest: see {@link DEFAULT_SCENARIO}. */
export const modelAdapter: Adapter = {
  unavailable: () => null,
  open: () => runScenario(DEFAULT_SCENARIO).xen,
};
