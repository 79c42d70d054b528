/**
 * V4V, the messages between domains that were proposed for Xen and became Argo: numbers and layouts of the draft that
 * followed the ninth posting ("V10"), and where the ninth ("V9") differs. No release of Xen has them: there, hypercall
 * 39 is Argo. docs/v4v.h says the same in C.
 */

import { struct } from './layout.js';

/** V4V's hypercall. Upstream gave the number to Argo. */
export const __HYPERVISOR_v4v_op = 39;

export const V4VOP_register_ring = 1;
export const V4VOP_unregister_ring = 2;
export const V4VOP_notify = 4;
export const V4VOP_sendv = 5;
export const V4VOP_info = 6;
export const V4VOP_config = 7;
export const V4VOP_tables_add = 8;
export const V4VOP_tables_del = 9;
export const V4VOP_tables_list = 10;

/** Which of the two numberings: V9 has no config, so that its tables operations are 7, 8 and 9. */
export type V4vAbi = 'v9' | 'v10';

/** Operation numbers that the two differ in. `config` is -1 where there is none. */
export interface V4vNumbers {
  readonly config: number;
  readonly tables_add: number;
  readonly tables_del: number;
  readonly tables_list: number;
}

export const V4V_NUMBERS: Readonly<Record<V4vAbi, V4vNumbers>> = {
  v9: { config: -1, tables_add: 7, tables_del: 8, tables_list: 9 },
  v10: {
    config: V4VOP_config,
    tables_add: V4VOP_tables_add,
    tables_del: V4VOP_tables_del,
    tables_list: V4VOP_tables_list,
  },
};

/** First word of a ring, so that nobody takes other memory for one. */
export const V4V_RING_MAGIC = 0xa822_f72b_b0b9_d8ccn;
/** First word of notify's argument. */
export const V4V_RING_DATA_MAGIC = 0x45fe_8522_20b8_01d4n;

/** Message types: a whole message, and a piece of a stream (which starts with {@link v4v_stream_header}). */
export const V4V_MESSAGE_DGRAM = 0x3c2c_1db8;
export const V4V_MESSAGE_STREAM = 0x70f6_a8e5;

/** Any domain: as a ring's partner, and in rules. */
export const V4V_DOMID_ANY = 0x7ff4;
/** Any port, in rules. No ring can have port 0 for itself alone. */
export const V4V_PORT_ANY = 0;

/** What notify answers about a ring. */
export const V4V_RING_DATA_F_EMPTY = 1;
export const V4V_RING_DATA_F_EXISTS = 2;
/** The caller will be signalled when there is room. */
export const V4V_RING_DATA_F_PENDING = 4;
export const V4V_RING_DATA_F_SUFFICIENT = 8;

export const V4V_STREAM_SYN = 1;
export const V4V_STREAM_ACK = 2;
export const V4V_STREAM_RST = 4;
export const V4V_STREAM_PING = 0x100;
export const V4V_STREAM_PONG = 0x200;

/** What a domain may do unless the control domain has said otherwise (config). More is EACCES. */
export const V4V_MAX_RINGS = 128;
export const V4V_MAX_SENDV = 128;
export const V4V_MAX_NOTIFY = 256;
export const V4V_MAX_SEND_SIZE = 0x200_0000;
/** Pages of one ring, at most; nobody can raise it. */
export const V4V_MAX_RING_PAGES = 4096;
/** Bytes of the smallest ring: two message headers, and 16 bytes that always stay free. */
export const V4V_MIN_RING_LEN = 48;

const H = 'v4v.h';

export const v4v_addr = struct('v4v_addr', H, 8, { port: [0, 4], domain: [4, 2], pad: [6, 2] });

export const v4v_ring_id = struct('v4v_ring_id', H, 12, { addr: [0, 8], partner: [8, 2], pad: [10, 2] });

export const v4v_send_addr = struct('v4v_send_addr', H, 16, { src: [0, 8], dst: [8, 8] });

export const v4v_iov = struct('v4v_iov', H, 16, { iov_base: [0, 8], iov_len: [8, 4], pad: [12, 4] });

/** A ring. Its `len` bytes of data follow, at offset 64. */
export const v4v_ring = struct('v4v_ring', H, 64, {
  magic: [0, 8],
  id: [8, 12],
  len: [20, 4],
  rx_ptr: [24, 4],
  tx_ptr: [28, 4],
  reserved: [32, 32],
});

/** What precedes each message in a ring. `len` counts header and payload, without padding. */
export const v4v_ring_message_header = struct('v4v_ring_message_header', H, 16, {
  len: [0, 4],
  message_type: [4, 4],
  source: [8, 8],
});

export const v4v_ring_data_ent = struct('v4v_ring_data_ent', H, 20, {
  ring: [0, 8],
  flags: [8, 2],
  pad: [10, 2],
  space_required: [12, 4],
  max_message_size: [16, 4],
});

/** notify's argument. `nent` entries follow. */
export const v4v_ring_data = struct('v4v_ring_data', H, 48, {
  magic: [0, 8],
  nent: [8, 4],
  pad: [12, 4],
  reserved: [16, 32],
});

export const v4vtables_rule = struct('v4vtables_rule', H, 20, { src: [0, 8], dst: [8, 8], accept: [16, 4] });

/** tables_list's argument. Room for `nb_rules` rules follows. */
export const v4vtables_list = struct('v4vtables_list', H, 8, { start_rule: [0, 4], nb_rules: [4, 4] });

export const v4v_info = struct('v4v_info', H, 40, {
  ring_magic: [0, 8],
  data_magic: [8, 8],
  evtchn: [16, 4],
  max_rings: [20, 4],
  max_sendv: [24, 4],
  max_notify: [28, 4],
  max_send_size: [32, 4],
  pad: [36, 4],
});

/** V9's info: without limits. */
export const v4v_info_v9 = struct('v4v_info_v9', H, 24, {
  ring_magic: [0, 8],
  data_magic: [8, 8],
  evtchn: [16, 4],
  pad: [20, 4],
});

export const v4v_config = struct('v4v_config', H, 20, {
  max_rings: [0, 4],
  max_sendv: [4, 4],
  max_notify: [8, 4],
  max_send_size: [12, 4],
  target_id: [16, 2],
  pad: [18, 2],
});

/** First bytes of each message of a stream. The protocol of streams is the guests' own: Xen does not look at it. */
export const v4v_stream_header = struct('v4v_stream_header', H, 8, { flags: [0, 4], conid: [4, 4] });

/** Everything in a ring takes a multiple of this: messages, pointers, the ring itself. */
const SLOT = 16;

/** Rounds up to a multiple of 16, exactly: a result above 32 bits is not cut. */
export function V4V_ROUNDUP(value: number): number {
  return Math.ceil(value / SLOT) * SLOT;
}

// A header always lies in one piece: it starts at a multiple of 16, and is no longer.
if (v4v_ring_message_header.size > V4V_ROUNDUP(1)) throw new Error('a message header must fit one slot of a ring');

/** Bytes that a message takes in a ring. */
export function v4vMessageSpace(payload: number): number {
  return V4V_ROUNDUP(payload) + v4v_ring_message_header.size;
}

/** Payload of the largest message that a ring can ever hold. */
export function v4vMaxMessage(len: number): number {
  return len - 2 * SLOT;
}

/** Whether a pointer that another party wrote can be one: inside the ring, and where a message can start. */
export function v4vPointerIsSound(pointer: number, len: number): boolean {
  return pointer < len && pointer % SLOT === 0;
}

/** Free bytes of a ring with sound pointers. A message must take less: one slot stays free, so that rx == tx is empty. */
export function v4vFreeSpace(len: number, rx: number, tx: number): number {
  return rx > tx ? rx - tx : rx - tx + len;
}

/** Pages that a ring of `len` bytes and its header take. */
export function v4vRingPages(len: number): number {
  return Math.ceil((V4V_ROUNDUP(len) + v4v_ring.size) / 4096);
}
