/**
 * The `virtio_net_hdr` in front of a frame (linux/virtio_net.h): what its sender left for others to do. 10 bytes, in the
 * byte order of the machine, which is little endian wherever Node runs.
 */

export const VNET_HEADER = 10;

/** `flags`: the checksum over what begins at `csum_start` is still to be put at `csum_offset` from there. */
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
/** `flags`: the checksum was seen to be right. */
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;

/** `gso_type`: what the frame is to be cut up as, before it fits on a wire. */
export const VIRTIO_NET_HDR_GSO_NONE = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
export const VIRTIO_NET_HDR_GSO_UDP = 3;
export const VIRTIO_NET_HDR_GSO_TCPV6 = 4;
export const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
/** Beside a type: the first of the pieces alone has CWR. */
export const VIRTIO_NET_HDR_GSO_ECN = 0x80;

export interface VnetHeader {
  flags: number;
  gsoType: number;
  /** Bytes of all headers, Ethernet's too: what each piece begins with. */
  hdrLen: number;
  /** Bytes of data in each piece. */
  gsoSize: number;
  /** From the beginning of the frame. */
  csumStart: number;
  csumOffset: number;
}

export function emptyVnetHeader(): VnetHeader {
  return { flags: 0, gsoType: 0, hdrLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0 };
}

/** Reads into an object that is there already. */
export function readVnetHeader(bytes: Uint8Array, at: number, header: VnetHeader): void {
  const u16 = (offset: number): number => (bytes[at + offset] as number) | ((bytes[at + offset + 1] as number) << 8);
  header.flags = bytes[at] as number;
  header.gsoType = bytes[at + 1] as number;
  header.hdrLen = u16(2);
  header.gsoSize = u16(4);
  header.csumStart = u16(6);
  header.csumOffset = u16(8);
}

export function writeVnetHeader(bytes: Uint8Array, at: number, header: VnetHeader): void {
  bytes[at] = header.flags;
  bytes[at + 1] = header.gsoType;
  putU16(bytes, at + 2, header.hdrLen);
  putU16(bytes, at + 4, header.gsoSize);
  putU16(bytes, at + 6, header.csumStart);
  putU16(bytes, at + 8, header.csumOffset);
}

/** A header that says that nothing is left to do. */
export function clearVnetHeader(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + VNET_HEADER);
}

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}
