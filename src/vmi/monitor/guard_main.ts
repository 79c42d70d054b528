/** The guard's process: `guard_main.js BACKEND DOMID`. It lives as long as the pipe on its standard input. */

import '../../adapters.js';
import { readFileSync } from 'node:fs';
import type { BackendName } from '../../hypervisor/open.js';
import { xc_interface_open } from '../../xc/interface.js';
import { ALL_IS_WELL } from './guard.js';
import { recoverMonitor } from './recover.js';

const [, , backend, domid] = process.argv;

if (!readFileSync(0, 'utf8').includes(ALL_IS_WELL)) {
  console.error(`xenctrl: the agent of domain ${domid} is gone: letting the domain go`);
  try {
    using xch = xc_interface_open({ backend: backend as BackendName });
    const { vcpus } = recoverMonitor(xch, Number(domid));
    console.error(`xenctrl: domain ${domid} is free: ${vcpus} vCPUs go on`);
  } catch (error) {
    console.error(`xenctrl: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
