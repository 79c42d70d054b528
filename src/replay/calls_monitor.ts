/** The monitor's calls, and memory access of the host's p2m. The agent is a function in the place of the ring. */

import { errno } from '../abi/errno.js';
import { encodeAccess } from '../abi/memory.js';
import { XenError } from '../hypervisor/error.js';
import { xc_get_mem_access, xc_set_mem_access, xc_set_mem_access_multi } from '../xc/mem_access.js';
import { xc_monitor_singlestep } from '../xc/monitor.js';
import { readAccessLists } from './access_lists.js';
import type { CallTable } from './call.js';
import { u32 } from './expected.js';
import type { Session } from './session.js';

export const MONITOR_CALLS: CallTable = {
  xc_monitor_enable: {
    prepare: () => (session, domid) => {
      const domain = hvmDomain(session, domid, 'xc_monitor_enable');
      check('xc_monitor_enable', domid, domain.enableMonitor(session.agent(domid).listener));
    },
  },
  xc_monitor_disable: {
    prepare: () => (session, domid) => {
      check('xc_monitor_disable', domid, hvmDomain(session, domid, 'xc_monitor_disable').disableMonitor());
    },
  },
  xc_monitor_singlestep: {
    prepare: (args) => {
      const enable = args.flag('enable');
      return (session, domid) => {
        xc_monitor_singlestep(session.xch, domid, enable);
      };
    },
  },
  xc_set_mem_access: {
    prepare: (args) => {
      const gfn = args.u64('gfn');
      const access = args.u8('access');
      const count = args.has('nr') ? args.u32('nr') : 1;
      return ({ xch }, domid) => xc_set_mem_access(xch, domid, access, gfn, count);
    },
  },
  xc_set_mem_access_multi: {
    prepare: (args) => {
      const { gfns, access } = readAccessLists(args);
      return ({ xch }, domid) => xc_set_mem_access_multi(xch, domid, access, gfns);
    },
  },
  xc_get_mem_access: {
    out: { access: u32 },
    prepare: (args) => {
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => ({ access: encodeAccess(xc_get_mem_access(xch, domid, gfn), xch.abi) });
    },
  },
};

function hvmDomain(session: Session, domid: number, call: string): ReturnType<Session['domain']> {
  const domain = session.domain(domid, call);
  check(call, domid, domain.isHvm ? 0 : -errno.EINVAL);
  return domain;
}

function check(call: string, domid: number, rc: number): void {
  if (rc < 0) throw new XenError(call, rc, { domid });
}
