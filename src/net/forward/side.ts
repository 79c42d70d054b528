/** A side of the router: its addresses there, its neighbours, and where its frames go. */

import { parseAddress } from '../address.js';
import { readUint32 } from '../bytes.js';
import { Neighbours } from './neighbours.js';

export type SideName = 'inside' | 'outside';

/** Where frames of a side go. */
export interface FrameSink {
  readonly scratch: Uint8Array;
  /** Room in {@link scratch}. */
  room(length: number): number;
  /** Takes a frame with the virtio_net_hdr in front of it. */
  add(bytes: Uint8Array, header: number, length: number): void;
}

export interface SideOptions {
  /** The router's own address there, with its network: `10.0.1.1/24`. */
  readonly address: string;
  /** Who has what is not of that network. */
  readonly gateway?: string;
}

/** What a router knows of a side. */
export interface Side {
  readonly mac: Uint8Array;
  readonly ip: number;
  readonly network: number;
  readonly mask: number;
  readonly gateway: number | null;
  readonly sink: FrameSink;
  readonly mtu: number;
  readonly neighbours: Neighbours;
}

/** What a side is made of besides its addresses. */
export interface SidePort {
  /** `00:16:3e:00:00:01` */
  readonly mac: string;
  readonly mtu: number;
  readonly sink: FrameSink;
}

/** @throws RangeError an address is none */
export function side({ address, gateway }: SideOptions, { mac, mtu, sink }: SidePort): Side {
  const [, host = '', digits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(address) ?? [];
  const bits = Number(digits);
  if (host === '' || bits > 32) throw new RangeError(`'${address}' is no address with its network: 10.0.1.1/24 is one`);
  const ip = ipv4(host);
  const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  return {
    mac: Uint8Array.from(mac.split(':').map((byte) => Number.parseInt(byte, 16))),
    ip,
    network: (ip & mask) >>> 0,
    mask,
    gateway: gateway === undefined ? null : ipv4(gateway),
    sink,
    mtu,
    neighbours: new Neighbours(),
  };
}

export function ipv4(text: string): number {
  const address = parseAddress(text);
  if (address.length !== 4) throw new RangeError(`${text}: the router is for IPv4`);
  return readUint32(address, 0);
}

/** Whether an address is of the side's network. */
export function isOf({ network, mask }: Side, ip: number): boolean {
  return (ip & mask) >>> 0 === network;
}

export function sameMac(bytes: Uint8Array, at: number, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (bytes[at + i] !== mac[i]) return false;
  return true;
}
