/** sendv: a message from up to eight pieces, all or nothing. */

import {
  XEN_ARGO_DOMID_ANY,
  XEN_ARGO_MAXIOV,
  xen_argo_addr,
  xen_argo_iov,
  xen_argo_send_addr,
} from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import { getU64 } from '../../hypervisor/check.js';
import type { Caller } from '../caller.js';
import type { Argo } from './argo.js';
import { type Iov, MAX_MESSAGE_SIZE } from './ring.js';

const ADDR = xen_argo_addr.at;
const SEND = xen_argo_send_addr.at;
const IOV = xen_argo_iov.at;

/** The pieces of the message at hand; Xen, too, copies them once, to its stack. */
const pieces: readonly Iov[] = Array.from({ length: XEN_ARGO_MAXIOV }, () => ({ address: 0, len: 0, pad: 0 }));

export function sendv(
  argo: Argo,
  caller: Caller,
  address: number,
  iovs: number,
  niov: number,
  messageType: number,
): number {
  const { memory, domain } = caller;
  if (!memory.copyIn(address, xen_argo_send_addr.size)) return -errno.EFAULT;
  const { view } = memory;
  const from = memory.at + SEND.src;
  const to = memory.at + SEND.dst;
  const sourcePort = view.getUint32(from + ADDR.aport, true);
  const source = view.getUint16(from + ADDR.domain_id, true);
  const port = view.getUint32(to + ADDR.aport, true);
  const target = view.getUint16(to + ADDR.domain_id, true);
  const pads = view.getUint16(from + ADDR.pad, true) | view.getUint16(to + ADDR.pad, true);
  if (niov > XEN_ARGO_MAXIOV) return -errno.EINVAL;
  if (!readIovs(caller, iovs, niov)) return -errno.EFAULT;
  if (pads !== 0) return -errno.EINVAL;
  if (source !== XEN_ARGO_DOMID_ANY && source !== domain.domid) return -errno.EPERM;
  const receiver = argo.domains.get(target);
  if (!receiver) return -errno.ESRCH;
  const denied = argo.policy.send(domain, receiver);
  if (denied) return denied;

  if (!argo.of(domain)) return late(caller, -errno.ENODEV);
  const owner = argo.of(receiver);
  const ring = owner && argo.match(owner, port, domain.domid);
  if (!ring) return late(caller, -errno.ECONNREFUSED);
  const len = messageLength(niov);
  if (len < 0) return late(caller, len);
  const rc = ring.insert(caller, sourcePort, messageType, pieces, niov, len);
  if (rc === -errno.EAGAIN) return late(caller, ring.wait(domain.domid, len) || rc);
  if (rc < 0) return late(caller, rc);
  argo.signal(receiver);
  return len;
}

/** An error of the second half, which goes through Xen's unsigned length. */
function late(caller: Caller, rc: number): number {
  return caller.abi === 64 ? rc >>> 0 : rc;
}

/** A 32-bit caller's pieces have a pointer of 4 bytes, and 12 in all. */
function readIovs({ memory, abi }: Caller, address: number, count: number): boolean {
  const size = abi === 64 ? xen_argo_iov.size : xen_argo_iov.size - 4;
  if (count > 0 && !memory.copyIn(address, count * size)) return false;
  const { view, at } = memory;
  for (let i = 0; i < count; i++) {
    const piece = pieces[i];
    if (!piece) return false;
    const iov = at + i * size;
    piece.address = abi === 64 ? getU64(view, iov + IOV.iov_hnd) : view.getUint32(iov, true);
    piece.len = view.getUint32(iov + size - 8, true);
    piece.pad = view.getUint32(iov + size - 4, true);
  }
  return true;
}

/** Sum of the pieces' lengths, or -EINVAL: a pad, or one too long; -EMSGSIZE: together too long. */
function messageLength(niov: number): number {
  let len = 0;
  for (let i = 0; i < niov; i++) {
    const piece = pieces[i];
    if (piece?.pad !== 0 || piece.len > MAX_MESSAGE_SIZE) return -errno.EINVAL;
    len += piece.len;
    if (len > MAX_MESSAGE_SIZE) return -errno.EMSGSIZE;
  }
  return len;
}
