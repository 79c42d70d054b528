/** A domain that speaks Argo in raw bytes, for tests: it can say anything, right or wrong. */

import { VIRQ_ARGO } from '#dist/abi/xen.js';
import type { ArgoMode } from '#dist/model/argo/argo.js';
import { ModelXen } from '#dist/model/index.js';

export const ANY = 0x7ff4;
export const REGISTER = 1;
export const UNREGISTER = 2;
export const SENDV = 3;
export const NOTIFY = 4;
/** Flags of notify. */
export const EXISTS = 1;
export const SHARED = 2;
export const EMPTY = 4;
export const SUFFICIENT = 8;
export const EMSGSIZE = 16;
export const EBUSY = 32;

/** Where a party keeps its arguments: an offset in its memory. Payloads follow. */
const ARGS = 0x1000;
const GFNS = 0x2000;
const DATA = 0x3000;
const PAGES = 1024;
/** The first frame of rings; dom0's are machine frames. */
const FIRST_RING = 512;
/** What nobody has mapped. */
export const HOLE = 0x4000_0000;

export interface RegisterOptions {
  readonly len?: number;
  readonly npage?: number;
  readonly flags?: number;
  readonly pad?: number;
  readonly gfns?: readonly number[];
  readonly address?: number;
  readonly list?: number;
}

export interface SendOptions {
  /** Default: the receiver's. */
  readonly port?: number;
  readonly from?: number;
  readonly fromPort?: number;
  readonly pads?: readonly [source: number, target: number];
  readonly niov?: number;
  readonly type?: number;
  readonly address?: number;
  readonly iovs?: number;
  /** Pieces, each at its address; else the message is one piece. */
  readonly pieces?: readonly { readonly address: number; readonly len: number; readonly pad?: number }[];
}

export interface Entry {
  readonly port: number;
  readonly domid: number;
  readonly space?: number;
  readonly flags?: number;
  readonly max?: number;
}

export interface Message {
  readonly from: number;
  readonly port: number;
  readonly type: number;
  readonly text: string;
}

export class Party {
  readonly xen: ModelXen;
  readonly domid: number;
  readonly abi: 32 | 64;
  readonly #base: number;
  readonly #virq: number;

  constructor(xen: ModelXen, domid: number, abi: 32 | 64 = 64) {
    this.xen = xen;
    this.domid = domid;
    this.abi = abi;
    const isDom0 = domid === 0;
    this.#base = isDom0 ? xen.arena.alloc(0x10000).address : 0;
    const events = isDom0 ? xen.eventChannels() : null;
    this.#virq = events ? events.bindVirq(VIRQ_ARGO) : this.#domain.events.bindVirq(VIRQ_ARGO, 0);
    this.signalled = () => {
      if (events) {
        const port = events.pending();
        if (port > 0) events.unmask(port);
        return port === this.#virq;
      }
      const pending = this.#domain.events.isPending(this.#virq);
      this.#domain.events.clearPending(this.#virq);
      return pending;
    };
  }

  /** Whether VIRQ_ARGO came since the last time this was asked. */
  readonly signalled: () => boolean;

  get #domain(): NonNullable<ReturnType<ModelXen['domains']['get']>> {
    const domain = this.xen.domains.get(this.domid);
    if (!domain) throw new Error(`no domain ${this.domid}`);
    return domain;
  }

  /** Address of a byte of this domain's scratch memory. */
  at(offset: number): number {
    return this.#base + offset;
  }

  put(address: number, bytes: Uint8Array): void {
    if (this.domid === 0) this.xen.arena.bytes.set(bytes, address - this.xen.arena.base);
    else for (const [i, byte] of bytes.entries()) this.#page(address + i)[(address + i) % 4096] = byte;
  }

  get(address: number, length: number): Buffer {
    if (this.domid === 0) {
      const at = address - this.xen.arena.base;
      return Buffer.from(this.xen.arena.bytes.slice(at, at + length));
    }
    return Buffer.from(Array.from({ length }, (_, i) => this.#page(address + i)[(address + i) % 4096] ?? 0));
  }

  /** Frame `index` of those for rings. */
  ringGfn(index = 0): number {
    return FIRST_RING + index;
  }

  ringPage(index = 0): Uint8Array {
    const page = this.#domain.page(this.ringGfn(index), true);
    if (!page) throw new Error('no such page');
    return page;
  }

  ringWord(offset: number, index = 0): number {
    return Buffer.from(this.ringPage(index)).readUInt32LE(offset);
  }

  setRing(rx: number, tx: number, index = 0): void {
    const page = this.ringPage(index);
    const view = new DataView(page.buffer, page.byteOffset);
    view.setUint32(0, rx, true);
    view.setUint32(4, tx, true);
  }

  /** The hypercall with raw arguments. @returns the register */
  raw(cmd: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0): number {
    if (this.domid === 0) return this.xen.hypercall(39, cmd, a1, a2, a3, a4);
    const guest = this.xen.guest(this.domid);
    if (!guest) throw new Error('no guest');
    return guest.vcpus[0].hypercall(39, cmd, a1, a2, a3, a4);
  }

  /** As {@link raw}, narrowed to 32 bits as callers must. */
  call(cmd: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0): number {
    return this.raw(cmd, a1, a2, a3, a4) | 0;
  }

  register(port: number, partner: number, options: RegisterOptions = {}): number {
    const { len = 256, flags = 0, pad = 0 } = options;
    const npage = options.npage ?? Math.ceil((len + 64) / 4096);
    const gfns = options.gfns ?? Array.from({ length: npage }, (_, i) => this.ringGfn(i));
    const struct = Buffer.alloc(12);
    struct.writeUInt32LE(port, 0);
    struct.writeUInt16LE(partner, 4);
    struct.writeUInt16LE(pad, 6);
    struct.writeUInt32LE(len, 8);
    this.put(this.at(ARGS), struct);
    const list = Buffer.alloc(gfns.length * 8);
    for (const [i, gfn] of gfns.entries()) list.writeBigUInt64LE(BigInt(gfn), i * 8);
    this.put(this.at(GFNS), list);
    return this.call(REGISTER, options.address ?? this.at(ARGS), options.list ?? this.at(GFNS), npage, flags);
  }

  unregister(port: number, partner: number, pad = 0): number {
    const struct = Buffer.alloc(8);
    struct.writeUInt32LE(port, 0);
    struct.writeUInt16LE(partner, 4);
    struct.writeUInt16LE(pad, 6);
    this.put(this.at(ARGS), struct);
    return this.call(UNREGISTER, this.at(ARGS));
  }

  send(to: number, port: number, message: string | Uint8Array, options: SendOptions = {}): number {
    return this.sendRaw(to, port, message, options) | 0;
  }

  sendRaw(to: number, port: number, message: string | Uint8Array, options: SendOptions = {}): number {
    const { from = ANY, fromPort = 7, pads = [0, 0], type = 0 } = options;
    const bytes = typeof message === 'string' ? Buffer.from(message) : message;
    const pieces = options.pieces ?? [{ address: this.at(DATA), len: bytes.length }];
    if (!options.pieces) this.put(this.at(DATA), bytes);
    const address = Buffer.alloc(16);
    address.writeUInt32LE(fromPort, 0);
    address.writeUInt16LE(from, 4);
    address.writeUInt16LE(pads[0], 6);
    address.writeUInt32LE(port, 8);
    address.writeUInt16LE(to, 12);
    address.writeUInt16LE(pads[1], 14);
    this.put(this.at(ARGS), address);
    const iovs = this.at(ARGS + 0x100);
    for (const [i, { address: at, len, pad = 0 }] of pieces.entries()) {
      const iov = Buffer.alloc(this.abi === 64 ? 16 : 12);
      if (this.abi === 64) iov.writeBigUInt64LE(BigInt(at), 0);
      else iov.writeUInt32LE(at % 2 ** 32, 0);
      iov.writeUInt32LE(len, iov.length - 8);
      iov.writeUInt32LE(pad, iov.length - 4);
      this.put(iovs + i * iov.length, iov);
    }
    const niov = options.niov ?? pieces.length;
    return this.raw(SENDV, options.address ?? this.at(ARGS), options.iovs ?? iovs, niov, type);
  }

  /** A notify with these entries, put at `address`. @returns the result, and the entries after it */
  notify(entries: readonly Entry[], options: { readonly nent?: number; readonly address?: number } = {}) {
    const { nent = entries.length, address = this.at(GFNS) } = options;
    const data = Buffer.alloc(8 + entries.length * 20);
    data.writeUInt32LE(nent, 0);
    entries.forEach(({ port, domid, space = 0, flags = 0, max = 0 }, i) => {
      const at = 8 + i * 20;
      data.writeUInt32LE(port, at);
      data.writeUInt16LE(domid, at + 4);
      data.writeUInt16LE(flags, at + 8);
      data.writeUInt32LE(space, at + 12);
      data.writeUInt32LE(max, at + 16);
    });
    this.put(address, data);
    const rc = this.call(NOTIFY, address);
    const after = this.get(address, data.length);
    return {
      rc,
      bytes: after,
      entries: entries.map((_, i) => ({
        flags: after.readUInt16LE(8 + i * 20 + 8),
        max: after.readUInt32LE(8 + i * 20 + 16),
      })),
    };
  }

  /** Wakes those who wait for room in this domain's rings. */
  wake(): number {
    return this.call(NOTIFY);
  }

  /** Takes the messages out of a ring of one page, as its owner does. */
  read(len = 256, index = 0): Message[] {
    const page = Buffer.from(this.ringPage(index));
    const messages: Message[] = [];
    let rx = page.readUInt32LE(0);
    const tx = page.readUInt32LE(4);
    while (rx !== tx) {
      const data = Buffer.concat([page.subarray(64 + rx, 64 + len), page.subarray(64, 64 + rx)]);
      const size = data.readUInt32LE(0);
      messages.push({
        from: data.readUInt16LE(8),
        port: data.readUInt32LE(4),
        type: data.readUInt32LE(12),
        text: data.toString('utf8', 16, size),
      });
      rx = (rx + Math.ceil(size / 16) * 16) % len;
    }
    this.setRing(rx, tx, index);
    return messages;
  }

  #page(address: number): Uint8Array {
    const page = this.#domain.page(Math.floor(address / 4096), true);
    if (!page) throw new Error(`no page at ${address}`);
    return page;
  }
}

export interface World {
  readonly xen: ModelXen;
  readonly dom0: Party;
  /** 64 bits, 32 bits, 64 bits. */
  readonly one: Party;
  readonly two: Party;
  readonly three: Party;
}

/** A machine with dom0 and three guests, the second of them with 32 bits. */
export function world(argo: ArgoMode = 'mac-permissive'): World {
  const xen = new ModelXen({ release: '4.20', argo });
  const guest = (abi: 32 | 64): Party => new Party(xen, xen.createGuest({ memoryPages: PAGES, abi }).domid, abi);
  return { xen, dom0: new Party(xen, 0), one: guest(64), two: guest(32), three: guest(64) };
}
