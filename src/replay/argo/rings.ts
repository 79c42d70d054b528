/** What a call did to the pages of rings, compared with what a recording says. */

import { XEN_ARGO_MSG_SLOT_SIZE, xen_argo_ring, xen_argo_ring_message_header } from '../../abi/argo.js';
import { Fields } from '../fields.js';
import type { Difference } from '../result.js';
import type { ArgoMachine } from './machine.js';
import type { PageSet } from './page_set.js';

const RING = xen_argo_ring;
/** Rings of at most so many bytes are recorded as a whole. */
const SMALL = 256;
/** Messages of more bytes may be recorded in part. */
const LONG = 4096;

/** A message that was sent, and to whom. */
export interface SentMessage {
  readonly from: string;
  readonly domid: number;
  readonly aport: number;
  readonly length: number;
}

/** Compares all page sets that have changed, and looks at them anew. */
export function compareRings(
  machine: ArgoMachine,
  recorded: readonly unknown[],
  sent: SentMessage | null,
): Difference[] {
  const differences: Difference[] = [];
  const expected = new Map<string, Fields>();
  for (const [i, one] of recorded.entries()) {
    const fields = new Fields(one, `rings[${i}]`);
    expected.set(fields.string('pages'), fields);
  }
  for (const pages of machine.pageSets.values()) {
    const now = pages.changed();
    const ring = expected.get(pages.name);
    expected.delete(pages.name);
    if (ring) differences.push(...compareRing(machine, ring, pages, now ?? pages.before, sent));
    else if (now) differences.push({ what: `rings: ${pages.name}`, expected: 'no change', got: 'a change' });
    if (now) pages.before.set(now);
  }
  for (const name of expected.keys()) differences.push({ what: `rings: ${name}`, expected: 'a change', got: 'none' });
  return differences;
}

function compareRing(
  machine: ArgoMachine,
  expected: Fields,
  pages: PageSet,
  now: Uint8Array,
  sent: SentMessage | null,
): Difference[] {
  const view = new DataView(now.buffer, now.byteOffset, now.length);
  const reserved = [RING.at.reserved, RING.size] as const;
  const got: Record<string, unknown> = {
    rx_ptr: [pages.wordBefore(RING.at.rx_ptr), view.getUint32(RING.at.rx_ptr, true)],
    tx_ptr: [pages.wordBefore(RING.at.tx_ptr), view.getUint32(RING.at.tx_ptr, true)],
    reserved_changed: Buffer.compare(now.subarray(...reserved), pages.before.subarray(...reserved)) !== 0,
    ...(sent ? messageIn(machine, sent, now) : {}),
  };
  const differences: Difference[] = [];
  for (const what of ['rx_ptr', 'tx_ptr', 'reserved_changed', 'msg_at', 'msg', 'ring']) {
    const wanted = expected.raw(what);
    if (wanted === undefined && what !== 'rx_ptr') continue;
    if (JSON.stringify(wanted) === JSON.stringify(got[what]) || beginsLong(wanted, got[what])) continue;
    differences.push({ what: `rings[${pages.name}].${what}`, expected: wanted, got: got[what] });
  }
  const wrong = wrongDiff(expected, pages.before, now);
  if (wrong !== null) {
    differences.push({ what: `rings[${pages.name}].diff`, expected: expected.raw('diff'), got: wrong });
  }
  return differences;
}

/** Long messages may be recorded by their beginning. */
function beginsLong(wanted: unknown, got: unknown): boolean {
  if (typeof wanted !== 'string' || typeof got !== 'string') return false;
  return got.length > LONG * 2 && wanted.length >= 2 && got.startsWith(wanted);
}

/** The message at the place where it was put, wrap undone, and a small ring as a whole. */
function messageIn(machine: ArgoMachine, sent: SentMessage, now: Uint8Array): Record<string, unknown> {
  const { xen } = machine;
  const receiver = xen.domains.get(sent.domid);
  const owner = receiver && xen.argo.of(receiver);
  const ring = owner && xen.argo.match(owner, sent.aport, machine.domain(sent.from).domid);
  if (!ring) return {};
  const size = xen_argo_ring_message_header.size + Math.ceil(sent.length / XEN_ARGO_MSG_SLOT_SIZE) * 16;
  const at = (ring.tx - size + ring.len) % ring.len;
  const data = Buffer.from(now.buffer, now.byteOffset + RING.size, ring.len);
  const message = Buffer.concat([data.subarray(at, at + size), data.subarray(0, Math.max(0, at + size - ring.len))]);
  return {
    msg_at: at,
    msg: message.toString('hex'),
    ...(ring.len <= SMALL ? { ring: data.toString('hex') } : {}),
  };
}

/**
 * Null when the recorded pieces are all that has changed; else the first offset that is otherwise. A piece whose `new` is
 * shorter than its `len` says only how it begins.
 */
function wrongDiff(expected: Fields, before: Uint8Array, now: Uint8Array): string | null {
  if (!expected.has('diff')) return null;
  const wanted = before.slice();
  for (const [i, one] of expected.list('diff').entries()) {
    const piece = new Fields(one, `${expected.place('diff')}[${i}]`);
    const at = piece.u32('off');
    const length = piece.u32('len');
    if (at + length > wanted.length) return `no offset ${at + length}`;
    wanted.set(now.subarray(at, at + length), at);
    if (piece.has('new')) wanted.set(piece.bytes('new', { most: length }), at);
  }
  const at = wanted.findIndex((byte, i) => byte !== now[i]);
  return at < 0 ? null : `offset ${at}: ${now[at]?.toString(16)}, not ${wanted[at]?.toString(16)}`;
}
