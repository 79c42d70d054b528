/** Changing the addresses and ports of a packet, its checksums with them. */

import { parseAddress } from '../address.js';
import { readUint16, writeUint16 } from '../bytes.js';
import { fold, sumBytes } from '../checksum.js';
import { IPPROTO, type PacketView } from '../packet.js';
import { finishChecksum, ipv4HeaderBlank } from '../state.js';
import { copyBytes, TUPLE, tupleOf } from './tuple.js';

/**
 * A way of updating checksums that was wrong, to be shown: the patch of 2005-10-14 to Xen's Linux 2.6.12 counts ports
 * into partial checksums, in which they are not. Whoever completes the checksum counts them once more; it is wrong
 * whenever the port changes.
 */
export type Historic = '2005-10-14';

const not = (sum: number): number => ~sum & 0xffff;

/** RFC 1624 for the folded sums of what was and what is. */
function updateFull(check: number, from: number, to: number): number {
  return not(fold(not(check) + not(from) + to));
}

function updatePartial(check: number, from: number, to: number): number {
  return fold(check + not(from) + to);
}

/**
 * Makes the addresses, ports or identifier of a packet those of a tuple. A full checksum follows addresses and ports, a
 * partial one the addresses only. UDP without checksum stays so; a UDP checksum that becomes 0 is sent as 0xffff.
 *
 * @param blank the checksum is partial
 */
export function rewriteTo(view: PacketView, target: Uint8Array, blank: boolean, historic: Historic | null): void {
  const { bytes, version, addresses, addressLength, protocol, l4, checkAt } = view;
  const headerCheckAt = version === 4 && !ipv4HeaderBlank(view) ? view.ipStart + 10 : -1;
  const oldAddresses = sumBytes(bytes, addresses, 2 * addressLength, 0);
  copyBytes(bytes, addresses, target, TUPLE.SOURCE, addressLength);
  copyBytes(bytes, addresses + addressLength, target, TUPLE.DESTINATION, addressLength);
  const newAddresses = sumBytes(bytes, addresses, 2 * addressLength, 0);
  if (headerCheckAt >= 0) {
    writeUint16(bytes, headerCheckAt, updateFull(readUint16(bytes, headerCheckAt), oldAddresses, newAddresses));
  }

  let oldPorts = 0;
  let newPorts = 0;
  if (view.sourcePort >= 0) {
    oldPorts = sumBytes(bytes, l4, 4, 0);
    copyBytes(bytes, l4, target, TUPLE.PORTS, 4);
    newPorts = sumBytes(bytes, l4, 4, 0);
    view.sourcePort = readUint16(bytes, l4);
    view.destinationPort = readUint16(bytes, l4 + 2);
  } else if (view.icmpId >= 0) {
    oldPorts = view.icmpId;
    copyBytes(bytes, l4 + 4, target, TUPLE.PORTS, 2);
    newPorts = readUint16(bytes, l4 + 4);
    view.icmpId = newPorts;
  }

  if (checkAt < 0) return;
  let check = readUint16(bytes, checkAt);
  if (protocol === IPPROTO.UDP && check === 0) return;
  if (blank) {
    if (historic !== null) check = updateFull(check, oldPorts, newPorts);
    check = updatePartial(check, oldAddresses, newAddresses);
  } else {
    check = updateFull(check, oldPorts, newPorts);
    if (protocol !== IPPROTO.ICMP) check = updateFull(check, oldAddresses, newAddresses);
    if (protocol === IPPROTO.UDP && check === 0) check = 0xffff;
  }
  writeUint16(bytes, checkAt, check);
}

/** One end of a packet's way; what is left out stays. */
export interface Endpoint {
  readonly address?: string;
  /** For TCP and UDP; for an ICMP query, as the source's, its identifier. */
  readonly port?: number;
}

export interface NatRewrite {
  readonly source?: Endpoint;
  readonly destination?: Endpoint;
  /** Whether the packet's checksum is partial: the sum of its pseudo-header, to be completed by a device. */
  readonly partial?: boolean;
  /** Completes a partial checksum at once. */
  readonly finish?: boolean;
  readonly historic?: Historic;
}

const scratch = new Uint8Array(TUPLE.SIZE);

/**
 * Rewrites one parsed packet in place and updates its checksums: the primitive under {@link Nat}, which remembers
 * connections.
 *
 * @returns whether it was done; false for what is no TCP, UDP or ICMP query
 * @throws RangeError for an address of the other IP version, or a port that is none; TypeError for no address
 */
export function natRewrite(view: PacketView, rewrite: NatRewrite): boolean {
  if (view.verdict !== 'ok' || !tupleOf(view, scratch)) return false;
  if (view.sourcePort < 0 && view.icmpId < 0) return false;
  setEndpoint(view, TUPLE.SOURCE, TUPLE.PORTS, rewrite.source);
  setEndpoint(view, TUPLE.DESTINATION, TUPLE.PORTS + 2, rewrite.destination);
  const blank = rewrite.partial === true;
  rewriteTo(view, scratch, blank, rewrite.historic ?? null);
  if (blank && rewrite.finish === true) finishChecksum(view);
  return true;
}

function setEndpoint(view: PacketView, addressAt: number, portAt: number, end: Endpoint | undefined): void {
  if (end?.address !== undefined) {
    const address = parseAddress(end.address);
    if (address.length !== view.addressLength) throw new RangeError(`${end.address} is no IPv${view.version} address`);
    scratch.set(address, addressAt);
  }
  if (end?.port !== undefined) {
    if (!Number.isInteger(end.port) || end.port < 0 || end.port > 65535) throw new RangeError(`${end.port} is no port`);
    writeUint16(scratch, portAt, end.port);
  }
}
