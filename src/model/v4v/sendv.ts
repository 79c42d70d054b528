/** V4VOP_sendv: one message, gathered from pieces of the sender's memory. */

import { errno } from '../../abi/errno.js';
import { v4v_iov, v4v_ring_message_header, v4v_send_addr, v4vMessageSpace } from '../../abi/v4v.js';
import { decodeAddr, rulesAccept } from '../../abi/v4v_rules.js';
import { DOMID_FIRST_RESERVED } from '../../abi/xen.js';
import type { Caller } from '../caller.js';
import type { V4vDomain } from './domain.js';
import { fetchArgument, fetchInto } from './fetch.js';
import type { V4vRing } from './ring.js';
import type { V4vCore } from './v4v.js';

/** As posted, more than this was EMSGSIZE: there was no other limit. */
const POSTED_LIMIT = 0x8000_0000;

/** A piece of the sender's memory. */
interface Piece {
  readonly base: number;
  readonly length: number;
}

/**
 * @param address `v4v_send_addr`
 * @param iovs `v4v_iov[niov]`
 * @returns bytes of payload sent, or a negative errno
 */
export function sendv(
  v4v: V4vCore,
  caller: Caller,
  own: V4vDomain | undefined,
  address: number,
  iovs: number,
  niov: number,
  messageType: number,
): number {
  if (!own) return -errno.EINVAL;
  if (!v4v.posted[2] && niov > own.limits.maxSendv) return -errno.EACCES;
  const { memory, domain } = caller;
  if (!fetchArgument(caller, v4v.onFetch, address, v4v_send_addr.size)) return -errno.EFAULT;
  const claimed = decodeAddr(memory.view, memory.at + v4v_send_addr.at.src);
  const dst = decodeAddr(memory.view, memory.at + v4v_send_addr.at.dst);
  // who sends is for Xen to say
  const src = v4v.posted.a ? claimed : { port: claimed.port, domain: domain.domid };
  if (dst.domain >= DOMID_FIRST_RESERVED || !caller.lookup(dst.domain)) return -errno.EINVAL;
  if (!rulesAccept(v4v.tables.rules, src, dst)) {
    v4v.rejected(src, dst);
    if (v4v.posted.g) v4v.lost.domainReferences++;
    return -errno.ECONNREFUSED;
  }
  const target = v4v.domain(dst.domain);
  const ring = target?.ringFor(dst.port, src.domain);
  if (!target || !ring) return -errno.ECONNREFUSED;
  const sent = insertv(v4v, caller, own, ring, { iovs, niov, messageType, port: src.port });
  if (sent === -errno.EAGAIN || sent >= 0) {
    if (sent >= 0) v4v.signal(target);
    return sent;
  }
  // as posted, an early way out of the call went past the release of the destination's lock
  if (v4v.posted.g) target.lostReadLocks++;
  return sent;
}

interface Message {
  readonly iovs: number;
  readonly niov: number;
  readonly messageType: number;
  /** The sender's port. */
  readonly port: number;
}

function insertv(v4v: V4vCore, caller: Caller, own: V4vDomain, ring: V4vRing, message: Message): number {
  const { onFetch } = v4v;
  const { domid } = caller.domain;
  const pieces: Piece[] = [];
  const length = fetchPieces(v4v, caller, own, message, pieces);
  if (length < 0) return length;
  const space = v4v.posted[4] ? postedSpace(length) : v4vMessageSpace(length);
  if (space >= ring.len) return -errno.EMSGSIZE;
  if (!ring.hasRoom(space)) {
    v4v.enqueue(ring, domid, length);
    return -errno.EAGAIN;
  }
  const header = v4v_ring_message_header.size;
  let at = ring.writeHeader(ring.txPtr, length + header, message.messageType, message.port, domid);
  if (at < 0) return -errno.EFAULT;
  for (let i = 0; i < message.niov; i++) {
    const piece = v4v.posted[12] ? fetchPiece(v4v, caller, message.iovs, i) : pieces[i];
    if (!piece) return -errno.EFAULT;
    const { base } = piece;
    at = ring.fill(at, piece.length, (target, from) => fetchInto(caller, onFetch, 'payload', base + from, target));
    if (at < 0) return -errno.EFAULT;
  }
  ring.publish(ring.nextSlot(at));
  return length;
}

/**
 * Copies the vector, once: what is checked here is what is sent.
 *
 * @returns the payload's length, or a negative errno
 */
function fetchPieces(v4v: V4vCore, caller: Caller, own: V4vDomain, { iovs, niov }: Message, pieces: Piece[]): number {
  const limit = v4v.posted[2] ? POSTED_LIMIT : own.limits.maxSendSize;
  let length = 0;
  for (let i = 0; i < niov; i++) {
    const piece = fetchPiece(v4v, caller, iovs, i);
    if (!piece) return -errno.EFAULT;
    length += piece.length;
    if (length > limit) return v4v.posted[2] ? -errno.EMSGSIZE : -errno.EACCES;
    pieces.push(piece);
  }
  return length;
}

function fetchPiece(v4v: V4vCore, caller: Caller, iovs: number, index: number): Piece | null {
  if (!fetchArgument(caller, v4v.onFetch, iovs + index * v4v_iov.size, v4v_iov.size)) return null;
  const { view, at } = caller.memory;
  const base = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
  return { base, length: view.getUint32(at + v4v_iov.at.iov_len, true) };
}

/** As posted, V4V_ROUNDUP kept 32 bits of its result. */
function postedSpace(length: number): number {
  return (((length + 0xf) & ~0xf) >>> 0) + v4v_ring_message_header.size;
}
