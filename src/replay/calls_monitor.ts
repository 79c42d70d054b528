/** The monitor's calls, and memory access of the host's p2m. The agent is a function in the place of the ring. */

import { errno } from '../abi/errno.js';
import {
  XENMEM_access_op,
  XENMEM_access_op_get_access,
  XENMEM_access_op_set_access,
  XENMEM_access_op_set_access_multi,
  xen_mem_access_op,
} from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import { putU64 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { XcInterface } from '../xc/interface.js';
import { readAccessLists } from './access_lists.js';
import type { CallTable } from './call.js';
import { u32 } from './expected.js';
import type { Session } from './session.js';

const F = xen_mem_access_op.at;

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
        const domain = hvmDomain(session, domid, 'xc_monitor_singlestep');
        check('xc_monitor_singlestep', domid, domain.monitorSinglestepEvents(enable));
      };
    },
  },
  xc_set_mem_access: {
    prepare: (args) => {
      const gfn = args.u64('gfn');
      const access = args.u8('access');
      const count = args.has('nr') ? args.u32('nr') : 1;
      return ({ xch }, domid) => {
        accessOp(xch, 'xc_set_mem_access', domid, XENMEM_access_op_set_access, gfn, access, count);
      };
    },
  },
  xc_set_mem_access_multi: {
    prepare: (args) => {
      const { gfns, access } = readAccessLists(args);
      return ({ xch }, domid) => accessMulti(xch, domid, gfns, access);
    },
  },
  xc_get_mem_access: {
    out: { access: u32 },
    prepare: (args) => {
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => ({
        access: accessOp(xch, 'xc_get_mem_access', domid, XENMEM_access_op_get_access, gfn, 0, 0),
      });
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

/** Makes the call and gives the structure's access as Xen left it. */
function accessOp(
  xch: XcInterface,
  call: string,
  domid: number,
  op: number,
  gfn: number | bigint,
  access: number,
  count: number,
): number {
  const { hypervisor } = xch;
  const { view } = hypervisor.arena;
  using operand = hypervisor.arena.alloc(xen_mem_access_op.size);
  const { offset } = operand;
  view.setUint8(offset + F.op, op);
  view.setUint8(offset + F.access, access);
  view.setUint16(offset + F.domid, domid, true);
  view.setUint32(offset + F.nr, count, true);
  putU64(view, offset + F.pfn, gfn);
  check(call, domid, hypervisor.hypercall(__HYPERVISOR_memory_op, XENMEM_access_op, operand.address));
  return view.getUint8(offset + F.access);
}

function accessMulti(xch: XcInterface, domid: number, gfns: readonly (number | bigint)[], access: Uint8Array): void {
  const { hypervisor } = xch;
  const { view } = hypervisor.arena;
  using operand = hypervisor.arena.alloc(xen_mem_access_op.size);
  using lists = hypervisor.arena.alloc(Math.max(1, gfns.length) * 9);
  const { offset } = operand;
  view.setUint8(offset + F.op, XENMEM_access_op_set_access_multi);
  view.setUint16(offset + F.domid, domid, true);
  view.setUint32(offset + F.nr, gfns.length, true);
  putU64(view, offset + F.pfn_list, lists.address);
  putU64(view, offset + F.access_list, lists.address + gfns.length * 8);
  gfns.forEach((gfn, i) => {
    putU64(view, lists.offset + i * 8, gfn);
  });
  lists.bytes.set(access, gfns.length * 8);
  const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, XENMEM_access_op, operand.address);
  check('xc_set_mem_access_multi', domid, rc);
}
