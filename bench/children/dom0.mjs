// On a real Xen: the package on the addon, or with the argument `libxen` on the distribution's libraries.

import { LibxenHypervisor } from '#dist/hypervisor/libxen/hypervisor.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { xc_altp2m_set_visibility, xc_interface_open, xc_physinfo } from '#dist/index.js';
import { begin } from '#dist/xc/altp2m.js';
import { serve } from '../lib/loop.mjs';

const XEN_VERSION = 17;
const HVM_OP = 34;
const HVMOP_ALTP2M = 25;
const SET_VISIBILITY = 16;
const hypervisor = process.argv[2] === 'libxen' ? new LibxenHypervisor() : new PrivcmdHypervisor();
const xch = xc_interface_open({ hypervisor });

await serve({
  hypercall(count) {
    for (let i = 0; i < count; i++) if (hypervisor.hypercall(XEN_VERSION, 0, 0) <= 0) throw new Error('failed');
  },
  physinfo(count) {
    for (let i = 0; i < count; i++) xc_physinfo(xch);
  },
  altp2m(count) {
    for (let i = 0; i < count; i++) {
      begin(xch, SET_VISIBILITY, 0);
      if (hypervisor.hypercall(HVM_OP, HVMOP_ALTP2M, hypervisor.arena.operandAddress) >= 0) throw new Error('taken');
    }
  },
  refused(count) {
    for (let i = 0; i < count; i++) {
      try {
        xc_altp2m_set_visibility(xch, 0, 1, true);
        throw new Error('dom0 has views');
      } catch (error) {
        if (error.code !== 'EOPNOTSUPP') throw error;
      }
    }
  },
});
