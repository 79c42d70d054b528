/** `argo.h`: messages between domains through the hypervisor, as every release from 4.14 on lays them out. */

import { struct } from './layout.js';
import { DOMID_INVALID } from './xen.js';

/** Commands of the argo_op hypercall. */
export const XEN_ARGO_OP_register_ring = 1;
export const XEN_ARGO_OP_unregister_ring = 2;
export const XEN_ARGO_OP_sendv = 3;
export const XEN_ARGO_OP_notify = 4;

/** register_ring: refuse (EEXIST) to register a ring again. The only flag there is. */
export const XEN_ARGO_REGISTER_FLAG_FAIL_EXIST = 1;

/** As a ring's partner: any domain may send to it. As the source of a message: the caller. */
export const XEN_ARGO_DOMID_ANY = DOMID_INVALID;

/** Most pieces that a message may be sent in. */
export const XEN_ARGO_MAXIOV = 8;
/** Messages and pointers are multiples of this many bytes. */
export const XEN_ARGO_MSG_SLOT_SIZE = 16;
/** A ring of exactly this size needs 4097 pages, and Xen takes 4096: the largest ring is 64 bytes smaller. */
export const XEN_ARGO_MAX_RING_SIZE = 0x100_0000;

/** `flags` of an entry of notify. */
export const XEN_ARGO_RING_EXISTS = 1;
/** Any domain may send to it. */
export const XEN_ARGO_RING_SHARED = 2;
export const XEN_ARGO_RING_EMPTY = 4;
/** There is room for `space_required` bytes. */
export const XEN_ARGO_RING_SUFFICIENT = 8;
/** `space_required` is more than the ring could ever hold. */
export const XEN_ARGO_RING_EMSGSIZE = 16;
/** Too many domains wait for room already: this one does not. */
export const XEN_ARGO_RING_EBUSY = 32;

export const xen_argo_addr = struct('xen_argo_addr', 'argo.h', 8, {
  aport: [0, 4],
  domain_id: [4, 2],
  pad: [6, 2],
});

export const xen_argo_send_addr = struct('xen_argo_send_addr', 'argo.h', 16, { src: [0, 8], dst: [8, 8] });

/** A piece of a message. A 32-bit caller's has 12 bytes: its pointer is 4 of them. */
export const xen_argo_iov = struct('xen_argo_iov', 'argo.h', 16, {
  iov_hnd: [0, 8],
  iov_len: [8, 4],
  pad: [12, 4],
});

/** What begins the first page of a ring. The data follow. */
export const xen_argo_ring = struct('xen_argo_ring', 'argo.h', 64, {
  rx_ptr: [0, 4],
  tx_ptr: [4, 4],
  reserved: [8, 56],
});

export const xen_argo_register_ring = struct('xen_argo_register_ring', 'argo.h', 12, {
  aport: [0, 4],
  partner_id: [4, 2],
  pad: [6, 2],
  len: [8, 4],
});

export const xen_argo_unregister_ring = struct('xen_argo_unregister_ring', 'argo.h', 8, {
  aport: [0, 4],
  partner_id: [4, 2],
  pad: [6, 2],
});

export const xen_argo_ring_data = struct('xen_argo_ring_data', 'argo.h', 8, { nent: [0, 4], pad: [4, 4] });

export const xen_argo_ring_data_ent = struct('xen_argo_ring_data_ent', 'argo.h', 20, {
  ring: [0, 8],
  flags: [8, 2],
  pad: [10, 2],
  space_required: [12, 4],
  max_message_size: [16, 4],
});

/** What begins each message in a ring; `len` counts it. */
export const xen_argo_ring_message_header = struct('xen_argo_ring_message_header', 'argo.h', 16, {
  len: [0, 4],
  source: [4, 8],
  message_type: [12, 4],
});
