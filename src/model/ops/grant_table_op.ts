/** The grant_table_op hypercall (`common/grant_table.c`), as far as it asks about tables. */

import { errno } from '../../abi/errno.js';
import {
  GNTST_bad_domain,
  GNTST_permission_denied,
  GNTTABOP_get_version,
  GNTTABOP_query_size,
  gnttab_query_size as SIZE,
  gnttab_get_version as VERSION,
} from '../../abi/grant_table.js';
import { type Caller, xsmTarget } from '../caller.js';

export function grantTableOp(caller: Caller, cmd: number, address: number, count: number): number {
  switch (cmd) {
    case GNTTABOP_query_size:
      return count === 1 ? querySize(caller, address) : -errno.EINVAL;
    case GNTTABOP_get_version:
      return count === 1 ? getVersion(caller, address) : -errno.EINVAL;
    default:
      return -errno.ENOSYS;
  }
}

/** What is wrong is told in the structure's status. */
function querySize(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, SIZE.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + SIZE.at.dom, true));
  let status = 0;
  if (!domain) status = GNTST_bad_domain;
  else if (xsmTarget(caller, domain)) status = GNTST_permission_denied;
  else {
    view.setUint32(at + SIZE.at.nr_frames, domain.grants.count, true);
    view.setUint32(at + SIZE.at.max_nr_frames, domain.grants.max, true);
  }
  view.setInt16(at + SIZE.at.status, status, true);
  return memory.copyOut(address, SIZE.size) ? 0 : -errno.EFAULT;
}

function getVersion(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, VERSION.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + VERSION.at.dom, true));
  if (!domain) return -errno.ESRCH;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  view.setUint32(at + VERSION.at.version, domain.grants.version, true);
  return memory.copyOut(address, VERSION.size) ? 0 : -errno.EFAULT;
}
