/**
 * XENMEM_access_op: what a domain's vCPUs may do with its frames before its agent is told (`mem_access_memop`,
 * `common/mem_access.c`). Only processors with EPT can.
 */

import { errno } from '../../abi/errno.js';
import {
  XENMEM_access_op_get_access,
  XENMEM_access_op_set_access,
  XENMEM_access_op_set_access_multi,
  xen_mem_access_op,
} from '../../abi/memory.js';
import { DOMID_SELF } from '../../abi/xen.js';
import { getU64 } from '../../hypervisor/check.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Domain } from '../domain.js';
import { accessOf } from './altp2m_op.js';

const ACCESS = xen_mem_access_op.at;

/** @param start frames that an earlier part of the call has done: Xen goes on with a preempted one so */
export function memAccessOp(caller: Caller, start: number, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_mem_access_op.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domid = view.getUint16(at + ACCESS.domid, true);
  const domain = domid === DOMID_SELF ? null : caller.lookup(domid);
  if (!domain) return -errno.ESRCH;
  if (domain === caller.domain) return -errno.EPERM;
  if (domain.dying) return -errno.EINVAL;
  if (!domain.isHvm || !domain.config.hap || domain.host.cpu.vendor !== 'intel') return -errno.EINVAL;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  if (!domain.ring) return -errno.ENODEV;
  const op = view.getUint8(at + ACCESS.op);
  switch (op) {
    case XENMEM_access_op_set_access:
      return setAccess(domain, view, at, start);
    case XENMEM_access_op_set_access_multi:
      return setAccessMulti(caller, domain, view, at, start);
    case XENMEM_access_op_get_access:
      return start === 0 ? getAccess(caller, domain, address) : -errno.ENOSYS;
    default:
      return -errno.ENOSYS;
  }
}

function isAllOnes(view: DataView, offset: number): boolean {
  return view.getUint32(offset, true) === 0xffff_ffff && view.getUint32(offset + 4, true) === 0xffff_ffff;
}

function setAccess(domain: Domain, view: DataView, at: number, start: number): number {
  const access = accessOf(domain, view.getUint8(at + ACCESS.access));
  if (isAllOnes(view, at + ACCESS.pfn)) {
    if (access === null) return -errno.EINVAL;
    domain.defaultAccess = access;
    return 0;
  }
  const first = getU64(view, at + ACCESS.pfn);
  const count = view.getUint32(at + ACCESS.nr, true);
  const last = first + count - 1;
  if (count < start || last < first || last > domain.p2m.maxMapped || access === null) return -errno.EINVAL;
  for (let i = start; i < count; i++) {
    const rc = domain.altp2m.setMemAccess(0, first + i, access);
    if (rc) return rc;
  }
  return 0;
}

function setAccessMulti(caller: Caller, domain: Domain, view: DataView, at: number, start: number): number {
  const count = view.getUint32(at + ACCESS.nr, true);
  const gfns = getU64(view, at + ACCESS.pfn_list);
  const accesses = getU64(view, at + ACCESS.access_list);
  const { memory } = caller;
  for (let i = start; i < count; i++) {
    if (!memory.copyIn(accesses + i, 1)) return -errno.EFAULT;
    const access = accessOf(domain, memory.view.getUint8(memory.at));
    if (!memory.copyIn(gfns + i * 8, 8)) return -errno.EFAULT;
    if (access === null) return -errno.EINVAL;
    const rc = domain.altp2m.setMemAccess(0, getU64(memory.view, memory.at), access);
    if (rc) return rc;
  }
  return 0;
}

function getAccess(caller: Caller, domain: Domain, address: number): number {
  const { view, at } = caller.memory;
  let access = domain.defaultAccess;
  if (!isAllOnes(view, at + ACCESS.pfn)) {
    const gfn = getU64(view, at + ACCESS.pfn);
    if (gfn > domain.p2m.maxMapped) return -errno.EINVAL;
    const entry = domain.p2m.lookup(gfn);
    if (!entry.present) return -errno.ESRCH;
    access = entry.access;
  }
  view.setUint8(at + ACCESS.access, access);
  return caller.memory.copyOut(address, xen_mem_access_op.size) ? 0 : -errno.EFAULT;
}
