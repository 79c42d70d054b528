// We ourselves: the package's functions on the addon.

import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { XENMEM_access, xc_altp2m_set_mem_access, xc_altp2m_set_visibility, xc_interface_open } from '#dist/index.js';
import { serve } from '../lib/loop.mjs';

const xch = xc_interface_open({ hypervisor: new PrivcmdHypervisor() });

await serve({
  set_visibility(count) {
    for (let i = 0; i < count; i++) xc_altp2m_set_visibility(xch, 1, 1, (i & 1) === 1);
  },
  set_mem_access(count) {
    for (let i = 0; i < count; i++) xc_altp2m_set_mem_access(xch, 1, 1, i, XENMEM_access.rx);
  },
});
