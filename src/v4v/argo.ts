/** Messages of V4V as Argo has them, and back: the same things in another order. */

import {
  XEN_ARGO_MAX_RING_SIZE,
  XEN_ARGO_RING_EMPTY,
  XEN_ARGO_RING_EXISTS,
  XEN_ARGO_RING_SUFFICIENT,
} from '../abi/argo.js';
import {
  V4V_RING_DATA_F_EMPTY,
  V4V_RING_DATA_F_EXISTS,
  V4V_RING_DATA_F_SUFFICIENT,
  v4v_ring_message_header,
} from '../abi/v4v.js';

const HEADER = v4v_ring_message_header.size;
/** Payload of the longest message that Argo takes. */
const ARGO_LONGEST = XEN_ARGO_MAX_RING_SIZE - 2 * HEADER;

/** Argo: len, source (8 bytes), message_type. V4V: len, message_type, source. */
function reordered(message: Uint8Array, from: readonly [number, number], to: readonly [number, number]): Uint8Array {
  if (message.length < HEADER) throw new RangeError(`a message begins with ${HEADER} bytes, not ${message.length}`);
  const length = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  if (length < HEADER || length > message.length) {
    throw new RangeError(`a message that says it has ${length} bytes, in ${message.length}`);
  }
  const result = message.slice(0, length);
  const [typeFrom, sourceFrom] = from;
  const [typeTo, sourceTo] = to;
  result.set(message.subarray(typeFrom, typeFrom + 4), typeTo);
  result.set(message.subarray(sourceFrom, sourceFrom + 8), sourceTo);
  return result;
}

const V4V_ORDER = [4, 8] as const;
const ARGO_ORDER = [12, 4] as const;

/**
 * A message as it lies in a V4V ring (header and payload), as Argo would put it.
 *
 * @throws RangeError when it is none, or longer than Argo's longest
 */
export function v4vMessageToArgo(message: Uint8Array): Uint8Array {
  const result = reordered(message, V4V_ORDER, ARGO_ORDER);
  if (result.length - HEADER > ARGO_LONGEST) {
    throw new RangeError(`${result.length - HEADER} bytes of payload: Argo takes ${ARGO_LONGEST}`);
  }
  return result;
}

/** A message as it lies in an Argo ring (header and payload), as V4V would put it. @throws RangeError when it is none */
export function argoMessageToV4v(message: Uint8Array): Uint8Array {
  return reordered(message, ARGO_ORDER, V4V_ORDER);
}

const FLAGS: readonly (readonly [v4v: number, argo: number])[] = [
  [V4V_RING_DATA_F_EMPTY, XEN_ARGO_RING_EMPTY],
  [V4V_RING_DATA_F_EXISTS, XEN_ARGO_RING_EXISTS],
  [V4V_RING_DATA_F_SUFFICIENT, XEN_ARGO_RING_SUFFICIENT],
];

/** notify's flags of V4V as Argo's. PENDING has no like there. */
export function v4vFlagsToArgo(flags: number): number {
  return FLAGS.reduce((result, [v4v, argo]) => (flags & v4v ? result | argo : result), 0);
}

/** notify's flags of Argo as V4V's. SHARED, EMSGSIZE and EBUSY have no like there. */
export function argoFlagsToV4v(flags: number): number {
  return FLAGS.reduce((result, [v4v, argo]) => (flags & argo ? result | v4v : result), 0);
}
