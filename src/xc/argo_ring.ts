/** Rings that dom0 receives Argo messages in. */

import {
  XEN_ARGO_DOMID_ANY,
  XEN_ARGO_MAX_RING_SIZE,
  XEN_ARGO_OP_register_ring,
  XEN_ARGO_OP_unregister_ring,
  XEN_ARGO_REGISTER_FLAG_FAIL_EXIST,
  xen_argo_register_ring,
  xen_argo_ring,
  xen_argo_unregister_ring,
} from '../abi/argo.js';
import { errno } from '../abi/errno.js';
import { __HYPERVISOR_argo_op, PAGE_SIZE } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid, checkU32, putU64 } from '../hypervisor/check.js';
import { argoError, probeRc } from './argo.js';
import { allocateRingMemory, type RingMemory } from './argo_frames.js';
import type { XcInterface } from './interface.js';

const SMALLEST_RING = 48;
const LARGEST_RING = XEN_ARGO_MAX_RING_SIZE - xen_argo_ring.size;

export interface ArgoRingOptions {
  readonly aport: number;
  /** The one domain that may send to it; absent: any may, which takes `mac-permissive=1`. */
  readonly partner_id?: number;
  /** Bytes of data: a multiple of 16, from 48 to 16777152. On a PVH dom0 what fits into the hypercall arena. */
  readonly len: number;
}

/** Where a ring's pages come from, when not from Xen or the hypercall arena: zeroed, and never to move. */
export type RingAllocator = (pages: number) => RingMemory;

/** A ring that Xen writes messages into until {@link close}. */
export interface ArgoRing extends Disposable {
  readonly aport: number;
  /** XEN_ARGO_DOMID_ANY (0x7ff4): any domain may send to it. */
  readonly partner_id: number;
  readonly len: number;
  /** 64 bytes of header (rx_ptr and tx_ptr first), then the data. Xen writes it at any time. */
  readonly memory: Uint8Array;
  /**
   * Unregisters it and gives the memory back; domains that wait for room in it are not told. Twice is harmless. Do not end
   * the process without it: see `argo_frames.ts`.
   */
  close(): void;
}

/**
 * Registers a ring of this domain. VIRQ_ARGO says that a message has come.
 *
 * @throws XenError `EEXIST`: this domain has a ring on this port for this partner. `EPERM`: for any sender, and Xen was
 *   booted without `mac-permissive=1`. `ESRCH`: no such partner. `ECONNREFUSED`: it has no part in Argo. `ENOSPC`: 128 rings.
 *   `ENOMEM`: dom0 may not have more memory. `EOPNOTSUPP`: Argo is off, or rings cannot be had in this domain (the hint says
 *   which). `EACCES`, `ENODEV`, `ENOSYS`: see {@link argo_probe}
 * @param allocate for callers whose memory is not a dom0 process's
 */
export function argo_register_ring(
  xch: XcInterface,
  options: ArgoRingOptions,
  allocate: RingAllocator = (pages) => allocateRingMemory(xch, pages),
): ArgoRing {
  if (typeof options !== 'object' || options === null)
    throw new TypeError('options must be { aport, partner_id, len }');
  const { aport, partner_id = XEN_ARGO_DOMID_ANY, len } = options;
  checkU32(aport, 'aport');
  checkDomid(partner_id);
  checkU32(len, 'len');
  if (len % 16 !== 0 || len < SMALLEST_RING || len > LARGEST_RING) {
    throw new RangeError(`len must be a multiple of 16 from ${SMALLEST_RING} to ${LARGEST_RING}, not ${len}`);
  }
  const off = probeRc(xch);
  if (off < 0) throw argoError('argo_register_ring', off);
  const ring = allocate(Math.ceil((len + xen_argo_ring.size) / PAGE_SIZE));
  const rc = register(xch, aport, partner_id, len, ring);
  if (rc < 0) {
    ring.close();
    throw argoError('argo_register_ring', rc, partner_id === XEN_ARGO_DOMID_ANY ? undefined : partner_id);
  }
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    const gone = unregister(xch, aport, partner_id);
    // ENOENT: the partner has died, and the ring with it. Otherwise Xen still writes to the pages: they must stay.
    if (gone < 0 && gone !== -errno.ENOENT) throw argoError('argo_unregister_ring', gone);
    ring.close();
  };
  const memory = ring.bytes.subarray(0, xen_argo_ring.size + len);
  return { aport, partner_id, len, memory, close, [Symbol.dispose]: close };
}

/** FAIL_EXIST always: a ring that somebody else of this domain has is not to be taken away from them. */
function register(xch: XcInterface, aport: number, partner: number, len: number, { gfns }: RingMemory): number {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  using list = arena.alloc(gfns.length * 8);
  const { view } = arena;
  for (const [i, gfn] of gfns.entries()) putU64(view, list.offset + i * 8, gfn);
  const { at } = xen_argo_register_ring;
  view.setUint32(OPERAND_OFFSET + at.aport, aport, true);
  view.setUint32(OPERAND_OFFSET + at.partner_id, partner, true); // and the pad
  view.setUint32(OPERAND_OFFSET + at.len, len, true);
  const rc = hypervisor.hypercall(
    __HYPERVISOR_argo_op,
    XEN_ARGO_OP_register_ring,
    arena.operandAddress,
    list.address,
    gfns.length,
    XEN_ARGO_REGISTER_FLAG_FAIL_EXIST,
  );
  return rc | 0;
}

function unregister(xch: XcInterface, aport: number, partner: number): number {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  const { at } = xen_argo_unregister_ring;
  arena.view.setUint32(OPERAND_OFFSET + at.aport, aport, true);
  arena.view.setUint32(OPERAND_OFFSET + at.partner_id, partner, true); // and the pad
  return hypervisor.hypercall(__HYPERVISOR_argo_op, XEN_ARGO_OP_unregister_ring, arena.operandAddress, 0, 0, 0) | 0;
}
