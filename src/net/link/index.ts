/** Frames of real interfaces, and their offloads. Re-exports only. */

export {
  FrameBatch,
  MAX_BATCH,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  PACKET_OUTGOING,
  TP_STATUS_CSUM_VALID,
  TP_STATUS_CSUMNOTREADY,
  TP_STATUS_VLAN_VALID,
} from './batch.js';
export { NetDeviceError } from './error.js';
export {
  type NetFeature,
  type NetFeatures,
  OFFLOADS,
  type OffloadName,
  offloadIsOn,
  readNetFeatures,
  setOffload,
  writeNetFeatures,
} from './features.js';
export type { Link, LinkStatistics } from './link.js';
export {
  PacketSocket,
  type PacketSocketOptions,
  Tap,
  type TapOptions,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
} from './open.js';
export { SendQueue } from './send_queue.js';
export * from './vnet_header.js';
