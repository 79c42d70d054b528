/** Packets and tunnels for the tests of ESP. */

import { checksumSum, EspTunnel, type EspTunnelOptions, type GcmKeys, pseudoHeaderSum } from '#dist/net/index.js';

export const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
export const count = (length: number, from = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => from + i);

export const GCM: GcmKeys = { algorithm: 'aes-gcm', key: count(16), salt: hex('a0a1a2a3') };
export const CBC = { algorithm: 'aes-cbc-hmac-sha256', key: count(16), authKey: count(32, 0x40) } as const;

export const HERE = '192.0.2.1';
export const THERE = '192.0.2.2';

/** A tunnel and its other end. */
export function ends(
  options: Partial<EspTunnelOptions> & { keys?: EspTunnelOptions['outbound'] } = {},
): [here: EspTunnel, there: EspTunnel] {
  const { keys = { spi: 0x1000, keys: GCM }, ...rest } = options;
  const local = rest.local ?? HERE;
  const remote = rest.remote ?? THERE;
  const { ivMask: _, ...inbound } = keys;
  return [
    new EspTunnel({ local, remote, outbound: keys, ...rest }),
    new EspTunnel({ ...rest, local: remote, remote: local, inbound: { ...inbound, ...rest.inbound } }),
  ];
}

export interface PacketOptions {
  readonly version?: 4 | 6;
  readonly protocol?: number;
  /** Whether the TCP or UDP checksum is left partial. */
  readonly partial?: boolean;
  readonly df?: boolean;
  /** DSCP and ECN. */
  readonly tos?: number;
  readonly data?: Uint8Array;
  readonly source?: string;
  /** IPv4's flags and fragment offset; goes before `df`. */
  readonly fragment?: number;
}

/** An IP packet with a TCP or UDP packet, or whatever `protocol` says, in it. */
export function ipPacket(options: PacketOptions = {}): Uint8Array {
  const { version = 4, protocol = 17, partial = false, df = true, tos = 0, data = count(11) } = options;
  const l4Header = protocol === 6 ? 20 : 8;
  const header = version === 4 ? 20 : 40;
  const packet = new Uint8Array(header + l4Header + data.length);
  const view = new DataView(packet.buffer);
  if (version === 4) {
    packet.set([0x45, tos]);
    view.setUint16(2, packet.length);
    view.setUint16(6, options.fragment ?? (df ? 0x4000 : 0));
    packet.set([64, protocol], 8);
    packet.set((options.source ?? '10.0.1.2').split('.').map(Number), 12);
    packet.set([192, 168, 9, 9], 16);
    view.setUint16(10, ~checksumSum(packet, 0, 20) & 0xffff);
  } else {
    packet.set([0x60 | (tos >> 4), (tos << 4) & 0xff]);
    view.setUint16(4, packet.length - header);
    packet.set([protocol, 64], 6);
    packet.set(hex('20010db8000100000000000000000002'), 8);
    packet.set(hex('20010db8000900000000000000000009'), 24);
  }
  view.setUint16(header, 5000);
  view.setUint16(header + 2, 53);
  if (protocol === 6) packet[header + 12] = 0x50;
  if (protocol === 17) view.setUint16(header + 4, 8 + data.length);
  packet.set(data, header + l4Header);
  if (protocol === 6 || protocol === 17) {
    const at = header + (protocol === 6 ? 16 : 6);
    const length = packet.length - header;
    const pseudo = pseudoHeaderSum(packet, version === 4 ? 12 : 8, version === 4 ? 4 : 16, protocol, length);
    view.setUint16(at, partial ? pseudo : ~checksumSum(packet, header, length, pseudo) & 0xffff || 0xffff);
  }
  return packet;
}
