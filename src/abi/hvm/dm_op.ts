/** `hvm/dm_op.h`: operations for device models, and the event types of one of them. */

import { struct } from '../layout.js';

export const XEN_DMOP_inject_event = 13;

/** `inject_event.type`: how the vCPU would have come to the event. */
export const XEN_DMOP_EVENT_ext_int = 0;
export const XEN_DMOP_EVENT_nmi = 2;
/** An exception that the processor raises. */
export const XEN_DMOP_EVENT_hw_exc = 3;
/** INT n. */
export const XEN_DMOP_EVENT_sw_int = 4;
/** INT1 (ICEBP). */
export const XEN_DMOP_EVENT_pri_sw_exc = 5;
/** INT3, INTO. */
export const XEN_DMOP_EVENT_sw_exc = 6;

export const xen_dm_op = struct('xen_dm_op', 'hvm/dm_op.h', 32, { op: [0, 4], pad: [4, 4], u: [8, 24] });

/** Lies in {@link xen_dm_op}'s union. */
export const xen_dm_op_inject_event = struct('xen_dm_op_inject_event', 'hvm/dm_op.h', 24, {
  vcpuid: [0, 4],
  vector: [4, 1],
  type: [5, 1],
  insn_len: [6, 1],
  pad0: [7, 1],
  error_code: [8, 4],
  pad1: [12, 4],
  cr2: [16, 8],
});
