/** Packets between guests and the network: checksums that are left to a device, and what must be done about them. */

export { CaptureError, type CaptureFault } from './capture/error.js';
export { FileSink, FileSource, StreamSink, StreamSource } from './capture/file.js';
export { type CapturedPacket, readPackets } from './capture/packets.js';
export { type ByteSource, CaptureReader } from './capture/reader.js';
export { type ByteSink, PcapWriter } from './capture/writer.js';
export { checksumSum, checksumUpdate, checksumUpdatePartial, pseudoHeaderSum } from './checksum.js';
export { NetProtocolError, type NetStage } from './error.js';
export type { CbcKeys, EspAlgorithm, EspKeys, GcmKeys } from './esp/algorithm.js';
export type { EspCrypto } from './esp/cipher.js';
export { type EspConfig, EspConfigError, parseEspConfig } from './esp/config.js';
export { ESP_DROPS, type EspCounters, type EspDrop } from './esp/counters.js';
export type { PartialChecksum } from './esp/encapsulate.js';
export { EspError, type EspErrorCode } from './esp/error.js';
export type { EspHistoric, EspInbound, EspOutbound, EspSelectors, EspTunnelOptions } from './esp/options.js';
export type { NatTraversal, OuterOptions } from './esp/outer.js';
export { EspTunnel } from './esp/tunnel.js';
export { Forwarder, type ForwarderCounters } from './forward/forwarder.js';
export {
  type ChecksumWork,
  Router,
  type RouterCounters,
  type RouterOptions,
  type Translator,
} from './forward/router.js';
export type { FrameSink, SideName, SideOptions, SidePort } from './forward/side.js';
export * from './link/index.js';
export { Nat, type NatOptions, type NatTimeouts } from './nat/nat.js';
export { isDropped, NAT_OUTCOMES, type NatOutcome } from './nat/outcome.js';
export { PORT_SELECTIONS, type PortSelection } from './nat/ports.js';
export { type Endpoint, type Historic, type NatRewrite, natRewrite } from './nat/rewrite.js';
export type { DestinationRule, NatRule, PortRange, SourceRule } from './nat/rules.js';
export { IPPROTO, LINKTYPE, PacketView, VERDICTS, type Verdict } from './packet.js';
export { CHECKSUM_STATES, type ChecksumState, classifyChecksum, finishAt, finishChecksum } from './state.js';
export * from './vif/index.js';
