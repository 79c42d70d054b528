/**
 * Both ends of a packet's way as 40 bytes: source and destination address (16 bytes each, an IPv4 address in the first
 * four), their ports, protocol, IP version. An ICMP query has its identifier as both ports. native/conntrack.h has the
 * same.
 */

import type { PacketView } from '../packet.js';

export const TUPLE = { SOURCE: 0, DESTINATION: 16, PORTS: 32, PROTOCOL: 36, VERSION: 37, SIZE: 40 } as const;

export function copyBytes(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i] as number;
}

export function equalBytes(one: Uint8Array, oneAt: number, other: Uint8Array, otherAt: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (one[oneAt + i] !== other[otherAt + i]) return false;
  return true;
}

/**
 * The tuple of a packet.
 *
 * @returns whether it belongs to a connection by itself: not so ICMP errors, and fragments without ports
 */
export function tupleOf(view: PacketView, tuple: Uint8Array): boolean {
  tuple.fill(0);
  if (view.protocol < 0 || view.fragmentOffset !== 0) return false;
  addressesOf(view, tuple);
  const { bytes, l4 } = view;
  if (view.sourcePort >= 0) {
    copyBytes(tuple, TUPLE.PORTS, bytes, l4, 4);
  } else if (view.icmpId >= 0) {
    copyBytes(tuple, TUPLE.PORTS, bytes, l4 + 4, 2);
    copyBytes(tuple, TUPLE.PORTS + 2, bytes, l4 + 4, 2);
  } else if (view.icmpType >= 0) {
    return false;
  }
  return true;
}

/** What all fragments of a packet have in common, with its identification instead of ports. */
export function fragmentKey(view: PacketView, tuple: Uint8Array): void {
  tuple.fill(0);
  addressesOf(view, tuple);
  for (let i = 0; i < 4; i++) tuple[TUPLE.PORTS + i] = view.fragmentId >>> (24 - 8 * i);
}

function addressesOf({ bytes, addresses, addressLength, protocol, version }: PacketView, tuple: Uint8Array): void {
  copyBytes(tuple, TUPLE.SOURCE, bytes, addresses, addressLength);
  copyBytes(tuple, TUPLE.DESTINATION, bytes, addresses + addressLength, addressLength);
  tuple[TUPLE.PROTOCOL] = protocol;
  tuple[TUPLE.VERSION] = version;
}

/** The tuple of an answer. */
export function invert(tuple: Uint8Array, at: number, inverse: Uint8Array): void {
  copyBytes(inverse, TUPLE.SOURCE, tuple, at + TUPLE.DESTINATION, 16);
  copyBytes(inverse, TUPLE.DESTINATION, tuple, at + TUPLE.SOURCE, 16);
  copyBytes(inverse, TUPLE.PORTS, tuple, at + TUPLE.PORTS + 2, 2);
  copyBytes(inverse, TUPLE.PORTS + 2, tuple, at + TUPLE.PORTS, 2);
  copyBytes(inverse, TUPLE.PROTOCOL, tuple, at + TUPLE.PROTOCOL, 4);
}
