/** Grant tables of any domain, as libxc's `xc_gnttab.c`. To map and to share pages: `xch.hypervisor.grantTable()`. */

import { errno } from '../abi/errno.js';
import {
  GNTST_bad_domain,
  GNTST_okay,
  GNTST_permission_denied,
  GNTTABOP_get_version,
  GNTTABOP_query_size,
  gnttab_query_size as SIZE,
  gnttab_get_version as VERSION,
} from '../abi/grant_table.js';
import { __HYPERVISOR_grant_table_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

function issue(xch: XcInterface, syscall: string, cmd: number, size: number, domid: number): DataView {
  const hypervisor = requireOpen(xch);
  const { bytes, view, operandAddress } = hypervisor.arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + size);
  view.setUint16(OPERAND_OFFSET, domid, true);
  const rc = hypervisor.hypercall(__HYPERVISOR_grant_table_op, cmd, operandAddress, 1);
  if (rc < 0) throw refusal(syscall, rc, domid);
  return view;
}

/** How large a grant table is. */
export interface GrantTableSize {
  /** Frames that it has. */
  readonly nr_frames: number;
  /** Frames that it may have. */
  readonly max_nr_frames: number;
}

/**
 * Tells how large a domain's grant table is.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: it is not the caller's, who is not privileged. Other statuses of
 *   Xen's are `EINVAL`.
 */
export function xc_gnttab_query_size(xch: XcInterface, domid: number): GrantTableSize {
  const call = 'xc_gnttab_query_size';
  checkDomid(domid);
  const view = issue(xch, call, GNTTABOP_query_size, SIZE.size, domid);
  const status = view.getInt16(OPERAND_OFFSET + SIZE.at.status, true);
  if (status !== GNTST_okay) throw refusal(call, -(STATUS[status] ?? errno.EINVAL), domid);
  return {
    nr_frames: view.getUint32(OPERAND_OFFSET + SIZE.at.nr_frames, true),
    max_nr_frames: view.getUint32(OPERAND_OFFSET + SIZE.at.max_nr_frames, true),
  };
}

/** Grant operations answer with statuses of their own. */
const STATUS: Readonly<Record<number, number>> = {
  [GNTST_bad_domain]: errno.ESRCH,
  [GNTST_permission_denied]: errno.EPERM,
};

/**
 * Tells which version of the interface a domain's grant table has: 1 or 2; 0: it has chosen none yet.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: it is not the caller's, who is not privileged.
 */
export function xc_gnttab_get_version(xch: XcInterface, domid: number): number {
  checkDomid(domid);
  const view = issue(xch, 'xc_gnttab_get_version', GNTTABOP_get_version, VERSION.size, domid);
  return view.getUint32(OPERAND_OFFSET + VERSION.at.version, true);
}
