/** The addon's part for network interfaces (`native/binding_netdev.cc`). `netns`: a namespace's path; null: this one. */

export interface NetdevAddon {
  /**
   * Opens a packet socket that takes and gives frames with a virtio_net_hdr of 10 bytes in front.
   *
   * @param receiveBuffer bytes that the kernel keeps for it; 0: its default
   */
  openPacketSocket(
    name: string,
    netns: string | null,
    outgoing: boolean,
    promiscuous: boolean,
    receiveBuffer: number,
  ): NativeNetDevice | number;
  /**
   * Makes a TAP device, or opens one that persists. It takes and gives frames as a packet socket.
   *
   * @param name empty: the kernel chooses one
   * @param offload TUN_F_...
   */
  openTap(name: string, netns: string | null, offload: number, up: boolean): NativeNetDevice | number;
  readNetFeatures(name: string, netns: string | null): NativeNetFeatures | number;
  /** Changes the features in `valid`. ETHTOOL_F_..., or a negative errno. */
  writeNetFeatures(name: string, netns: string | null, valid: Uint32Array, requested: Uint32Array): number;
  netInterfaceIndex(name: string, netns: string | null): number;
  /** The name of the interface that has this number in a namespace; -6: none has. */
  netInterfaceName(index: number, netns: string | null): string | number;
  /** Whether the other end of a cable is in the namespace at `place`: 1 or 0. */
  peerIsIn(name: string, netns: string | null, place: string | null): number;
  /** The number of a veth's other end, in whatever namespace; -95: it is no veth. */
  vethPeerIndex(name: string, netns: string | null): number;
}

export interface NativeNetFeatures {
  readonly names: readonly string[];
  /** Four for each 32 features: available, requested, active, never changed. */
  readonly words: readonly number[];
  readonly driver: string;
}

export interface NativeNetDevice {
  readonly name: string;
  readonly mtu: number;
  /** Six numbers. */
  readonly mac: readonly number[];
  /**
   * Takes frames, at most 64, each into a slot of its own.
   *
   * @param frames four numbers each: length with the header (more than a slot when it was cut off), TP_STATUS_..., VLAN
   *   tag, PACKET_...
   * @returns how many; -11: none now
   */
  receive(bytes: Uint8Array, slotSize: number, frames: Int32Array): number;
  /**
   * Sends frames, at most 64.
   *
   * @param places offset and length of each, with the header
   * @returns how many; the error of the first when it is none; -11: no room
   */
  send(bytes: Uint8Array, places: Uint32Array, first: number, count: number): number;
  /** Frames since the last time, those that were dropped among them, and how many were dropped. -95: a TAP device. */
  statistics(counts: Uint32Array): number;
  /** Has the event loop call `listener` while the device is ready for what was selected: at first to be read. */
  onReady(listener: (() => void) | null): number;
  select(readable: boolean, writable: boolean): number;
  close(): number;
}
