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
export { argoFlagsToV4v, argoMessageToV4v, v4vFlagsToArgo, v4vMessageToArgo } from './argo.js';
export {
  type V4vAnswer,
  type V4vDomainLimits,
  type V4vInfo,
  type V4vQuestion,
  v4v_get_info,
  v4v_notify,
  v4v_sendv,
  v4v_set_config,
  v4v_tables_add,
  v4v_tables_del,
  v4v_tables_flush,
  v4v_tables_list,
} from './calls.js';
export { V4vDriver } from './driver.js';
export {
  ARGO_LAYOUT,
  formatRing,
  type RingId,
  type RingLayout,
  RingReader,
  RingWriter,
  V4V_LAYOUT,
  type V4vMessage,
  V4vRingError,
  type WriteOptions,
} from './ring.js';
export { type DriverRing, RingDriver, type RingRequest } from './ring_driver.js';
export {
  findings,
  formatAddr,
  formatRule,
  parseAddr,
  parseRule,
  parseRules,
  type RuleFinding,
  type RuleLine,
  simulate,
  V4vRuleError,
  type Verdict,
} from './rules.js';
export { type SocketOptions, V4vSocket } from './socket.js';
export { connect, type ServerOptions, type StreamOptions, V4vServer, V4vStream } from './stream.js';
