/** The control domain as it is after a boot: PV, running, with memory. */

import type { Domain, DomainConfig } from './domain.js';
import { ORDER_1G } from './p2m.js';

const DOM0_PAGES = 0x4_0000;
/** What dom0 may ask for beyond that, for the rings of its programs say: as `dom0_mem=1G,max:1088M` has it. */
const DOM0_SPARE_PAGES = 0x4000;

export function makeDom0(add: (config: DomainConfig) => Domain): Domain {
  const dom0 = add({
    domid: 0,
    type: 'pv',
    hap: false,
    nestedVirt: false,
    maxVcpus: 4,
    handle: new Uint8Array(16),
    altp2mMode: 0,
    nrAltp2m: 10,
    ssidref: 0,
    emulationFlags: 0,
    maxEvtchnPort: 2 ** 31 - 1,
    maxGrantFrames: 64,
    vmtraceSize: 0,
  });
  dom0.makeVcpus();
  dom0.maxPages = DOM0_PAGES + DOM0_SPARE_PAGES;
  dom0.populateFromZero(DOM0_PAGES, ORDER_1G);
  for (const vcpu of dom0.vcpus) vcpu.start();
  dom0.pauseCount = 0;
  return dom0;
}
