/** V4VOP_register_ring and V4VOP_unregister_ring. */

import { errno } from '../../abi/errno.js';
import {
  V4V_MAX_RING_PAGES,
  V4V_MIN_RING_LEN,
  V4V_RING_MAGIC,
  V4V_ROUNDUP,
  v4v_ring,
  v4vPointerIsSound,
  v4vRingPages,
} from '../../abi/v4v.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import type { Caller } from '../caller.js';
import type { V4vDomain } from './domain.js';
import { fetchArgument, fetchInto } from './fetch.js';
import { INVALID_MFN, releaseFrames, V4vRing } from './ring.js';
import type { V4vCore } from './v4v.js';

const F = v4v_ring.at;
const PORT = F.id;
const DOMAIN = F.id + 4;
const PARTNER = F.id + 8;
const PFN_SIZE = 8;

/** A ring's header as its owner has filled it in. */
interface Header {
  readonly port: number;
  readonly partner: number;
  readonly len: number;
  readonly rxPtr: number;
  readonly txPtr: number;
}

/** Reads a header, or says why it is none. */
function readHeader(v4v: V4vCore, caller: Caller, address: number): Header | number {
  const { memory } = caller;
  if (!fetchArgument(caller, v4v.onFetch, address, v4v_ring.size)) return -errno.EFAULT;
  const { view, at } = memory;
  if (view.getBigUint64(at + F.magic, true) !== V4V_RING_MAGIC) return -errno.EINVAL;
  return {
    port: view.getUint32(at + PORT, true),
    partner: view.getUint16(at + PARTNER, true),
    len: view.getUint32(at + F.len, true),
    rxPtr: view.getUint32(at + F.rx_ptr, true),
    txPtr: view.getUint32(at + F.tx_ptr, true),
  };
}

/** Tells the owner its own domid and where Xen will write first, in the header that it gave. */
function writeBack(caller: Caller, address: number, txPtr: number): boolean {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, caller.domain.domid, true);
  if (!caller.memory.write(address + DOMAIN, bytes.subarray(0, 2))) return false;
  view.setUint32(4, txPtr, true);
  return caller.memory.write(address + F.tx_ptr, bytes.subarray(4));
}

/**
 * @param address the ring's header, at the start of a page
 * @param npage how many frame numbers follow at `pfns`
 */
export function registerRing(
  v4v: V4vCore,
  caller: Caller,
  own: V4vDomain | undefined,
  address: number,
  pfns: number,
  npage: number,
): number {
  if (address % PAGE_SIZE !== 0 || !own) return -errno.EINVAL;
  const header = readHeader(v4v, caller, address);
  if (typeof header === 'number') return header;
  const refused = checkHeader(v4v, own, header, npage);
  if (refused !== 0 && !(v4v.posted[17] && refused === -errno.EEXIST)) return refused;
  // an invalid pointer starts afresh; a valid one is kept: the ring may have slept through a suspension to disk
  const txPtr = v4vPointerIsSound(header.txPtr, header.len) ? header.txPtr : header.rxPtr;
  if (refused === -errno.EEXIST) {
    writeBack(caller, address, txPtr);
    own.lostReadLocks++;
    return refused;
  }
  const mfns = takeFrames(v4v, caller, pfns, npage);
  if (typeof mfns === 'number') return mfns;
  if (!writeBack(caller, address, txPtr)) {
    releaseFrames(caller.domain, mfns, v4v.posted);
    return -errno.EFAULT;
  }
  const ring = new V4vRing(caller.domain, { ...header, txPtr }, mfns, v4v.posted, v4v.onFetch);
  ring.publish(txPtr);
  own.add(ring);
  return 0;
}

function checkHeader({ posted }: V4vCore, own: V4vDomain, header: Header, npage: number): number {
  const { port, partner, len, rxPtr } = header;
  if (len < V4V_MIN_RING_LEN || V4V_ROUNDUP(len) !== len) return -errno.EINVAL;
  if (own.ring(port, partner)) return -errno.EEXIST;
  if (!posted[16] && !v4vPointerIsSound(rxPtr, len)) return -errno.EINVAL;
  if (!posted[1] && (own.ringCount >= own.limits.maxRings || npage > V4V_MAX_RING_PAGES)) return -errno.EACCES;
  const bytes = posted.c ? (npage << 12) >>> 0 : npage * PAGE_SIZE;
  const enough = posted.b ? bytes >= len : bytes === v4vRingPages(len) * PAGE_SIZE;
  return enough ? 0 : -errno.EINVAL;
}

/** Takes references to the frames of a ring, all or none. */
function takeFrames(v4v: V4vCore, caller: Caller, pfns: number, npage: number): number[] | number {
  const { domain } = caller;
  const mfns: number[] = [];
  const pfn = new Uint8Array(PFN_SIZE);
  const view = new DataView(pfn.buffer);
  for (let i = 0; i < npage; i++) {
    const read = fetchInto(caller, v4v.onFetch, 'argument', pfns + i * PFN_SIZE, pfn);
    const mfn = read ? frameOf(caller, view) : INVALID_MFN;
    if (mfn === INVALID_MFN) {
      releaseFrames(domain, mfns, v4v.posted);
      return read ? -errno.EINVAL : -errno.EFAULT;
    }
    domain.host.memory.hold(domain.domid, mfn);
    mfns.push(mfn);
  }
  return mfns;
}

function frameOf({ domain }: Caller, view: DataView): number {
  const gfn = Number(view.getBigUint64(0, true));
  if (!Number.isSafeInteger(gfn)) return INVALID_MFN;
  const { present, mfn } = domain.p2m.lookup(gfn);
  const type = domain.frameTypes.of(gfn);
  return present && (type === 'ram_rw' || type === 'ram_logdirty') ? mfn : INVALID_MFN;
}

/** @param address a header whose id is the ring's */
export function unregisterRing(v4v: V4vCore, caller: Caller, own: V4vDomain | undefined, address: number): number {
  if (!own) return -errno.EINVAL;
  const header = readHeader(v4v, caller, address);
  if (typeof header === 'number') return header;
  const ring = own.ring(header.port, header.partner);
  if (!ring) return -errno.ENOENT;
  own.remove(ring);
  return 0;
}
