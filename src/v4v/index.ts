/** Messages between domains: `import { RingReader, RingWriter } from 'xenctrl/v4v'`. Re-exports only. */

export {
  V4V_DOMID_ANY,
  V4V_MESSAGE_DGRAM,
  V4V_MESSAGE_STREAM,
  V4V_PORT_ANY,
  V4V_RING_DATA_F_EMPTY,
  V4V_RING_DATA_F_EXISTS,
  V4V_RING_DATA_F_PENDING,
  V4V_RING_DATA_F_SUFFICIENT,
} from '../abi/v4v.js';
export type { V4vAddr, V4vRule } from '../abi/v4v_rules.js';
export type { V4vPort } from '../hypervisor/v4v_port.js';
export {
  formatRing,
  type RingId,
  RingReader,
  RingWriter,
  type V4vMessage,
  V4vRingError,
  type WriteOptions,
} from './ring.js';
