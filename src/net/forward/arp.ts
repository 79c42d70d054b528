/** ARP for IPv4 over Ethernet (RFC 826). */

import { readUint16, readUint32, writeUint16, writeUint32 } from '../bytes.js';

export const ETHERTYPE_ARP = 0x0806;
const REQUEST = 1;
const REPLY = 2;

/** Bytes of a frame with an ARP packet. */
export const ARP_FRAME = 42;

/** What an ARP packet says. Made to be used again. */
export class ArpView {
  request = false;
  senderIp = 0;
  targetIp = 0;
  /** Where the sender's Ethernet address is. */
  senderMac = 0;

  /** Reads the frame at `at`. @returns whether it is an ARP packet about IPv4 and Ethernet */
  read(bytes: Uint8Array, at: number, length: number): boolean {
    if (length < ARP_FRAME || readUint16(bytes, at + 12) !== ETHERTYPE_ARP) return false;
    const operation = readUint16(bytes, at + 20);
    if (readUint32(bytes, at + 14) !== 0x0001_0800 || readUint16(bytes, at + 18) !== 0x0604) return false;
    if (operation !== REQUEST && operation !== REPLY) return false;
    this.request = operation === REQUEST;
    this.senderMac = at + 22;
    this.senderIp = readUint32(bytes, at + 28);
    this.targetIp = readUint32(bytes, at + 38);
    return true;
  }
}

/** Makes a request for `ip` its answer, in place. */
export function answerArp(bytes: Uint8Array, at: number, mac: Uint8Array, ip: number, asker: number): void {
  bytes.copyWithin(at, at + 22, at + 28);
  bytes.copyWithin(at + 32, at + 22, at + 28);
  writeUint32(bytes, at + 38, asker);
  bytes.set(mac, at + 6);
  writeUint16(bytes, at + 20, REPLY);
  bytes.set(mac, at + 22);
  writeUint32(bytes, at + 28, ip);
}

/** Writes a request for the Ethernet address of `target`. */
export function askArp(bytes: Uint8Array, at: number, mac: Uint8Array, ip: number, target: number): void {
  bytes.fill(0xff, at, at + 6);
  bytes.set(mac, at + 6);
  writeUint16(bytes, at + 12, ETHERTYPE_ARP);
  writeUint32(bytes, at + 14, 0x0001_0800);
  writeUint16(bytes, at + 18, 0x0604);
  writeUint16(bytes, at + 20, REQUEST);
  bytes.set(mac, at + 22);
  writeUint32(bytes, at + 28, ip);
  bytes.fill(0, at + 32, at + 38);
  writeUint32(bytes, at + 38, target);
}
