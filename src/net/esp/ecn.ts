/** Congestion marks and the class of traffic, on their way into a tunnel and out of it (RFC 6040, RFC 2983). */

import { readUint16, writeUint16 } from '../bytes.js';
import { checksumUpdate } from '../checksum.js';

const NOT_ECT = 0;
const ECT_0 = 2;
const ECT_1 = 1;
const CE = 3;

/** IPv4's TOS or IPv6's traffic class: DSCP and ECN. */
export function trafficClass(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  const second = bytes[at + 1] as number;
  return first >> 4 === 4 ? second : ((first & 15) << 4) | (second >> 4);
}

/**
 * What the inner packet's ECN becomes when the tunnel is left: RFC 6040, figure 4.
 *
 * @returns the new mark; -1: the packet must be dropped, for its sender would not understand that it met congestion
 */
export function ecnAfterTunnel(inner: number, outer: number): number {
  if (inner === NOT_ECT) return outer === CE ? -1 : NOT_ECT;
  if (inner === CE || outer === CE) return CE;
  return inner === ECT_0 && outer === ECT_1 ? ECT_1 : inner;
}

/** Sets the ECN of the IP packet at `at`; IPv4's header checksum follows. */
export function setEcn(bytes: Uint8Array, at: number, ecn: number): void {
  if ((bytes[at] as number) >> 4 === 4) {
    const word = readUint16(bytes, at);
    const changed = (word & ~3) | ecn;
    writeUint16(bytes, at, changed);
    writeUint16(bytes, at + 10, checksumUpdate(readUint16(bytes, at + 10), word, changed));
  } else {
    bytes[at + 1] = ((bytes[at + 1] as number) & ~0x30) | (ecn << 4);
  }
}
