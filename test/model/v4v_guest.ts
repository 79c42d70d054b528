/** A guest's kernel that speaks V4V by hand: it writes the bytes of each structure and makes the hypercall. */

import assert from 'node:assert/strict';
import { errno, errnoName } from '#dist/abi/errno.js';
import {
  __HYPERVISOR_v4v_op,
  V4V_DOMID_ANY,
  V4V_MESSAGE_DGRAM,
  V4V_RING_DATA_MAGIC,
  V4V_RING_MAGIC,
  V4VOP_notify,
  V4VOP_register_ring,
  V4VOP_sendv,
  V4VOP_unregister_ring,
} from '#dist/abi/v4v.js';
import { type Guest, ModelXen, type V4v, type V4vOptions } from '#dist/model/index.js';

const PAGE = 4096;

/** Pages of each guest: frames 0 to 15 for arguments, 16 to 63 for payload, the rest for rings. */
export const PAYLOAD = 16 * PAGE;
export const RING_FRAME = 64;
const SEND_ADDR = 0x100;
const IOVS = 0x1000;
const PFNS = 0x5000;
const RING_DATA = 0x9000;

export interface RingOptions {
  readonly port?: number;
  readonly partner?: number;
  readonly len?: number;
  readonly npage?: number;
  readonly rx?: number;
  readonly tx?: number;
  readonly magic?: bigint;
  /** First frame of the ring; the others follow. */
  readonly frame?: number;
  /** Other frames than those. */
  readonly pfns?: readonly number[];
}

export interface Entry {
  readonly port: number;
  readonly domain: number;
  readonly space: number;
}

export interface Answer {
  readonly flags: number;
  readonly max: number;
}

export interface Received {
  readonly port: number;
  readonly domain: number;
  readonly type: number;
  readonly payload: Uint8Array;
}

/** The name of an errno, or the number that is none. */
export function outcome(rc: number): string | number {
  return rc < 0 ? errnoName(rc) : rc;
}

export function pagesFor(len: number): number {
  return Math.ceil((len + 64) / PAGE);
}

/** A machine with V4V and so many guests, 1 to n, of 4 MiB each. */
export function machine(
  options: V4vOptions | V4v = {},
  guests = 2,
  pages = 1024,
): { xen: ModelXen; v4v: V4v; guests: V4vGuest[] } {
  const xen = new ModelXen({ v4v: options });
  assert.ok(xen.v4v);
  const made = Array.from(
    { length: guests },
    () => new V4vGuest(xen, xen.createGuest({ memoryPages: pages, pages: '4K' })),
  );
  return { xen, v4v: xen.v4v, guests: made };
}

export class V4vGuest {
  readonly xen: ModelXen;
  readonly guest: Guest;
  /** How often the domain was signalled. */
  signals = 0;
  #listening = false;

  constructor(xen: ModelXen, guest: Guest) {
    this.xen = xen;
    this.guest = guest;
  }

  get domid(): number {
    return this.guest.domid;
  }

  /** Connects to V4V's event channel, and counts from now on. */
  listen(): void {
    const { domain } = this.guest;
    const port = this.xen.v4v?.domain(this.domid)?.port ?? 0;
    const local = domain.events.bindInterdomain(domain.events, port);
    assert.ok(local > 0, outcome(local).toString());
    domain.sharedInfo.onUpcall = (_vcpu, which) => {
      if (which !== local) return;
      domain.events.clearPending(local);
      this.signals++;
    };
    domain.events.clearPending(local);
    this.#listening = true;
  }

  /** The signals since the last time this was asked. */
  takeSignals(): number {
    if (!this.#listening) throw new Error('listen() first');
    const { signals } = this;
    this.signals = 0;
    return signals;
  }

  write(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const page = this.page(Math.floor((address + done) / PAGE));
      const start = (address + done) % PAGE;
      const piece = bytes.subarray(done, done + PAGE - start);
      page.set(piece, start);
      done += piece.length;
    }
  }

  read(address: number, length: number): Uint8Array {
    return Uint8Array.from(
      { length },
      (_, i) => this.page(Math.floor((address + i) / PAGE))[(address + i) % PAGE] ?? 0,
    );
  }

  page(gfn: number): Uint8Array {
    const page = this.guest.domain.page(gfn, true);
    assert.ok(page, `domain ${this.domid} has no frame ${gfn}`);
    return page;
  }

  u32(address: number): number {
    return new DataView(this.read(address, 4).buffer).getUint32(0, true);
  }

  poke32(address: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.write(address, bytes);
  }

  call(cmd: number, ...args: number[]): number {
    return this.guest.vcpus[0].hypercall(__HYPERVISOR_v4v_op, cmd, ...args);
  }

  /** Fills a ring's header in. */
  writeHeader(options: RingOptions = {}): number {
    const { port = 80, partner = V4V_DOMID_ANY, len = 4032, rx = 0, tx = 0, magic = V4V_RING_MAGIC } = options;
    const address = (options.frame ?? RING_FRAME) * PAGE;
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, magic, true);
    view.setUint32(8, port, true);
    view.setUint16(16, partner, true);
    view.setUint32(20, len, true);
    view.setUint32(24, rx, true);
    view.setUint32(28, tx, true);
    this.write(address, bytes);
    return address;
  }

  register(options: RingOptions = {}): number {
    const address = this.writeHeader(options);
    const npage = options.npage ?? pagesFor(options.len ?? 4032);
    const first = options.frame ?? RING_FRAME;
    const pfns = options.pfns ?? Array.from({ length: Math.min(npage, 900) }, (_, i) => first + i);
    this.write(PFNS, new Uint8Array(BigUint64Array.from(pfns.map(BigInt)).buffer));
    return this.call(V4VOP_register_ring, address, PFNS, npage, 0);
  }

  unregister(options: RingOptions = {}): number {
    const scratch = { ...options, frame: 15 };
    return this.call(V4VOP_unregister_ring, this.writeHeader(scratch), 0, 0, 0);
  }

  /** Sends pieces of bytes, laid out one behind the other in {@link PAYLOAD}. */
  send(
    to: { port: number; domain: number },
    pieces: readonly Uint8Array[],
    { from = 1025, as = this.domid, type = V4V_MESSAGE_DGRAM } = {},
  ): number {
    let address = PAYLOAD;
    const iovs = pieces.map((piece) => {
      this.write(address, piece);
      const base = address;
      address += piece.length;
      return { base, length: piece.length };
    });
    return this.sendv(to, iovs, { from, as, type });
  }

  sendv(
    to: { port: number; domain: number },
    iovs: readonly { base: number; length: number }[],
    { from = 1025, as = this.domid, type = V4V_MESSAGE_DGRAM, niov = iovs.length } = {},
  ): number {
    this.writeSendAddr(to, from, as);
    iovs.forEach(({ base, length }, i) => {
      this.writeIov(i, base, length);
    });
    return this.call(V4VOP_sendv, SEND_ADDR, IOVS, niov, type);
  }

  writeSendAddr(to: { port: number; domain: number }, from: number, as: number): void {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, from, true);
    view.setUint16(4, as, true);
    view.setUint32(8, to.port, true);
    view.setUint16(12, to.domain, true);
    this.write(SEND_ADDR, bytes);
  }

  /** Address of the iovs that {@link sendv} writes. */
  get iovs(): number {
    return IOVS;
  }

  writeIov(index: number, base: number, length: number): void {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(base), true);
    view.setUint32(8, length, true);
    this.write(IOVS + index * 16, bytes);
  }

  notify(
    entries: readonly Entry[] | null = null,
    { magic = V4V_RING_DATA_MAGIC, nent = entries?.length ?? 0 } = {},
  ): number {
    if (entries === null) return this.call(V4VOP_notify, 0, 0, 0, 0);
    const bytes = new Uint8Array(48 + entries.length * 20);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, magic, true);
    view.setUint32(8, nent, true);
    entries.forEach(({ port, domain, space }, i) => {
      view.setUint32(48 + i * 20, port, true);
      view.setUint16(52 + i * 20, domain, true);
      view.setUint16(56 + i * 20, 0xaaaa, true);
      view.setUint32(60 + i * 20, space, true);
      view.setUint32(64 + i * 20, 0xbbbb_bbbb, true);
    });
    this.write(RING_DATA, bytes);
    return this.call(V4VOP_notify, RING_DATA, 0, 0, 0);
  }

  /** What the last notify answered about its entry i. */
  answer(i = 0): Answer {
    const address = RING_DATA + 48 + i * 20;
    return { flags: this.u32(address + 8) & 0xffff, max: this.u32(address + 16) };
  }

  /** One question to notify. */
  ask(to: { port: number; domain: number }, space: number): Answer {
    assert.equal(this.notify([{ ...to, space }]), 0);
    return this.answer();
  }

  /** Takes the next message out of a ring, as a careful reader does; null: there is none. */
  receive(frame = RING_FRAME): Received | null {
    const base = frame * PAGE;
    const len = this.u32(base + 20);
    const rx = this.u32(base + 24);
    const tx = this.u32(base + 28);
    if (rx === tx) return null;
    const data = this.read(base + 64, len);
    const available = (tx - rx + len) % len;
    const at = (from: number, count: number): Uint8Array =>
      Uint8Array.from({ length: count }, (_, i) => data[(from + i) % len] ?? 0);
    const header = new DataView(at(rx, 16).buffer);
    const length = header.getUint32(0, true);
    assert.ok(length >= 16 && length <= available, `a message of ${length} bytes in ${available}`);
    const space = 16 + Math.ceil((length - 16) / 16) * 16;
    this.poke32(base + 24, (rx + space) % len);
    return {
      port: header.getUint32(8, true),
      domain: header.getUint16(12, true),
      type: header.getUint32(4, true),
      payload: at(rx + 16, length - 16),
    };
  }
}

/** dom0's calls on rules and limits, through the arena. */
export class V4vControl {
  readonly #xen: ModelXen;
  readonly #buffer;

  constructor(xen: ModelXen) {
    this.#xen = xen;
    this.#buffer = xen.arena.alloc(8192);
  }

  get address(): number {
    return this.#buffer.address;
  }

  get bytes(): Uint8Array {
    return this.#buffer.bytes;
  }

  #call(cmd: number, address: number, position = 0): number {
    return this.#xen.hypercall(__HYPERVISOR_v4v_op, cmd, address, 0, position, 0);
  }

  #rule(text: string): number {
    this.bytes.set(ruleBytes(text));
    return this.address;
  }

  add(text: string, position = 0, cmd = 8): number {
    return this.#call(cmd, this.#rule(text), position);
  }

  /** @param position a number, from 1 on; a rule; or 'all' */
  del(position: number | string, cmd = 9): number {
    if (position === 'all') return this.#call(cmd, 0, 0xffff_ffff);
    return typeof position === 'string'
      ? this.#call(cmd, this.#rule(position), 0xffff_ffff)
      : this.#call(cmd, 0, position);
  }

  list(start = 1, room = 100, address = this.address): string[] | string {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
    const at = address - this.address;
    view.setUint32(at, start, true);
    view.setUint32(at + 4, room, true);
    const rc = this.#call(10, address);
    if (rc < 0) return errnoName(rc);
    const count = view.getUint32(at + 4, true);
    return Array.from({ length: count }, (_, i) => ruleText(view, at + 8 + i * 20));
  }

  config(target: number, [rings, sendv, notify, size]: readonly [number, number, number, number]): number {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
    [rings, sendv, notify, size].forEach((value, i) => {
      view.setUint32(i * 4, value, true);
    });
    view.setUint32(16, target, true);
    return this.#call(7, this.address);
  }
}

/** `accept 3:1025 0:80`; * is any. A number instead of the word is the word `accept` itself. */
export function ruleBytes(text: string): Uint8Array {
  const [verdict = '', src = '', dst = ''] = text.split(' ');
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  [src, dst].forEach((end, i) => {
    const [domain = '', port = ''] = end.split(':');
    view.setUint32(i * 8, port === '*' ? 0 : Number(port), true);
    view.setUint16(i * 8 + 4, domain === '*' ? V4V_DOMID_ANY : Number(domain), true);
  });
  view.setUint32(16, verdict === 'accept' ? 1 : verdict === 'reject' ? 0 : Number(verdict), true);
  return bytes;
}

function ruleText(view: DataView, at: number): string {
  const ends = [0, 8].map((end) => {
    const port = view.getUint32(at + end, true);
    const domain = view.getUint16(at + end + 4, true);
    return `${domain === V4V_DOMID_ANY ? '*' : domain}:${port === 0 ? '*' : port}`;
  });
  return `${view.getUint32(at + 16, true) === 0 ? 'reject' : 'accept'} ${ends.join(' ')}`;
}

export { errno };
