/** The argo_op hypercall (`do_argo_op`, `compat_argo_op`), number 39. */

import {
  XEN_ARGO_OP_notify,
  XEN_ARGO_OP_register_ring,
  XEN_ARGO_OP_sendv,
  XEN_ARGO_OP_unregister_ring,
} from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import type { Caller } from '../caller.js';
import type { Argo } from './argo.js';
import { notify } from './notify.js';
import { registerRing, unregisterRing } from './register.js';
import { sendv } from './sendv.js';

const U32 = 2 ** 32;

/**
 * Answers what Xen leaves in the caller's register, as a signed number: for a 64-bit caller most errors of sendv are
 * positive there (0xffffff91 for ECONNREFUSED), for they went through an unsigned 32-bit number.
 */
export function argoOp(
  argo: Argo,
  caller: Caller,
  cmd: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
): number {
  if (argo.mode === 'not-compiled-in') return -errno.ENOSYS;
  if (caller.abi === 32) [a1, a2, a3, a4] = [a1 % U32, a2 % U32, a3 % U32, a4 % U32];
  if (a3 >= U32 || a4 >= U32) return -errno.EINVAL;
  if (!argo.on) return -errno.EOPNOTSUPP;
  const denied = argo.policy.enable(caller.domain);
  if (denied) return denied;
  switch (cmd % U32) {
    case XEN_ARGO_OP_register_ring:
      return registerRing(argo, caller, a1, a2, a3, a4);
    case XEN_ARGO_OP_unregister_ring:
      return a2 || a3 || a4 ? -errno.EINVAL : unregisterRing(argo, caller, a1);
    case XEN_ARGO_OP_sendv:
      return sendv(argo, caller, a1, a2, a3, a4);
    case XEN_ARGO_OP_notify:
      return a2 || a3 || a4 ? -errno.EINVAL : notify(argo, caller, a1);
    default:
      return -errno.EOPNOTSUPP;
  }
}
