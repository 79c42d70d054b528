/**
 * Two hostile domains against an honest pair, on one V4V. The hostile ones register, send, ask and write whatever comes to
 * mind, also while Xen reads what they have written. Every message of the honest pair must arrive once, whole and in
 * order; nothing else of its memory may change; nobody learns of rings that are not for him; and whoever waits is woken.
 */

import assert from 'node:assert/strict';
import { errnoName } from '#dist/abi/errno.js';
import { V4V_DOMID_ANY, V4V_RING_DATA_MAGIC, V4V_RING_MAGIC } from '#dist/abi/v4v.js';
import type { V4vPort } from '#dist/hypervisor/v4v_port.js';
import { type AsPosted, ModelXen, V4v } from '#dist/model/index.js';
import { formatRing, RingReader } from '#dist/v4v/index.js';
import { ruleBytes } from './v4v_guest.js';

const PAGE = 4096;
/** Frames of each domain's driver. */
const GFN = 16;
const PAGES = 48;
/** Pages of it: arguments, then rings, then payload. */
const ARGS = 0;
const RINGS = 8 * PAGE;
const PAYLOAD = 32 * PAGE;

const RECEIVER = 1;
const SENDER = 2;
const HOSTILE = [3, 4] as const;
/** A rule keeps this one from the receiver altogether. */
const FORBIDDEN = 4;

/** What each operation may answer. */
const ERRNOS: Readonly<Record<number, readonly string[]>> = {
  1: ['EINVAL', 'EFAULT', 'EEXIST', 'EACCES'],
  2: ['EINVAL', 'EFAULT', 'ENOENT'],
  4: ['EINVAL', 'EFAULT', 'EACCES'],
  5: ['EINVAL', 'EFAULT', 'EACCES', 'ECONNREFUSED', 'EMSGSIZE', 'EAGAIN'],
  6: ['EFAULT'],
};

/** A small generator of numbers that can be started again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 2^32 - 1. */
  word(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(bound: number): number {
    return this.word() % bound;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** One ring of the receiver, and what the sender has for it. */
interface Channel {
  readonly port: number;
  readonly len: number;
  /** Byte offset in the receiver's memory. */
  readonly offset: number;
  readonly reader: RingReader;
  /** Number of the message that is sent next, and of the one that must arrive next. */
  sent: number;
  received: number;
  waits: boolean;
}

export interface FuzzResult {
  readonly steps: number;
  readonly delivered: number;
  /** Hypercalls of the hostile domains that went well. */
  readonly hostileSuccesses: number;
}

export class V4vFuzz {
  readonly #random: Random;
  readonly #xen: ModelXen;
  readonly #v4v: V4v;
  readonly #ports: Map<number, V4vPort> = new Map();
  readonly #channels: Channel[] = [];
  /** What the receiver's memory outside its rings must go on to hold. */
  readonly #untouched: Uint8Array;
  /** The sender was signalled since it was told to wait last. */
  #woken = false;
  #inHostileCall = false;
  #delivered = 0;
  #hostileSuccesses = 0;

  /** @param asPosted faults that V4V is to have: then this finds them */
  constructor(seed: number, asPosted: readonly AsPosted[] = []) {
    this.#random = new Random(seed);
    this.#v4v = new V4v({ asPosted, onFetch: (domid) => this.#interfere(domid) });
    const signal = this.#v4v.signal.bind(this.#v4v);
    this.#v4v.signal = (domain) => {
      if (domain.domid === SENDER) this.#woken = true;
      signal(domain);
    };
    this.#xen = new ModelXen({ v4v: this.#v4v });
    for (const domid of [RECEIVER, SENDER, ...HOSTILE]) this.#makeDomain(domid);
    const receiver = this.#port(RECEIVER);
    receiver.bytes.fill(0xc7);
    let offset = RINGS;
    for (const [port, len, partner] of [
      [80, 2 * PAGE - 64, SENDER],
      [81, PAGE - 64, V4V_DOMID_ANY],
      [82, 256, SENDER],
    ] as const) {
      this.#channels.push(this.#makeChannel(receiver, port, len, partner, offset));
      offset += 3 * PAGE;
    }
    this.#untouched = receiver.bytes.slice();
    this.#dom0(8, ruleBytes(`reject ${FORBIDDEN}:* ${RECEIVER}:*`));
  }

  #makeDomain(domid: number): void {
    const guest = this.#xen.createGuest({ memoryPages: 256, pages: '4K' });
    assert.equal(guest.domid, domid);
    this.#ports.set(domid, this.#xen.v4vPort(domid, { gfn: GFN, pages: PAGES }));
  }

  #port(domid: number): V4vPort {
    const port = this.#ports.get(domid);
    assert.ok(port);
    return port;
  }

  #dom0(cmd: number, bytes: Uint8Array): void {
    const { arena } = this.#xen;
    using buffer = arena.alloc(bytes.length);
    buffer.bytes.set(bytes);
    assert.equal(this.#xen.hypercall(39, cmd, buffer.address, 0, 1), 0);
  }

  #makeChannel(port: V4vPort, number: number, len: number, partner: number, offset: number): Channel {
    formatRing(port.bytes.buffer, len, { port: number, partner }, port.bytes.byteOffset + offset);
    const pages = Math.ceil((len + 64) / PAGE);
    this.#writePfns(port, ARGS, offset / PAGE, pages);
    assert.equal(port.hypercall(1, port.address + offset, port.address + ARGS, pages), 0);
    const reader = new RingReader(port.bytes.buffer, len, port.bytes.byteOffset + offset);
    return { port: number, len, offset, reader, sent: 0, received: 0, waits: false };
  }

  #writePfns({ bytes }: V4vPort, at: number, firstPage: number, count: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let i = 0; i < count; i++) view.setBigUint64(at + i * 8, BigInt(GFN + firstPage + i), true);
  }

  /** Runs so many steps. @throws AssertionError at the first thing that must not be */
  run(steps: number): FuzzResult {
    for (let step = 0; step < steps; step++) {
      const what = this.#random.below(100);
      if (what < 25) this.#send();
      else if (what < 40) this.#receive(1 + this.#random.below(4));
      else if (what < 42) this.#drain();
      else if (what < 43) this.#leakProbe();
      else this.#hostile();
    }
    this.#drain();
    this.#checkUntouched();
    return { steps, delivered: this.#delivered, hostileSuccesses: this.#hostileSuccesses };
  }

  // --- the honest pair

  /** What message number n on a port must hold: its length and bytes follow from the number. */
  static payload({ port, len }: { readonly port: number; readonly len: number }, n: number): Uint8Array {
    const random = new Random(port * 1_000_003 + n);
    const length = random.chance(10) ? len - 32 : random.below(Math.min(len - 31, 700));
    const start = random.word();
    return Uint8Array.from({ length }, (_, i) => start + i * 7);
  }

  #send(): void {
    const channel = this.#random.pick(this.#channels);
    const port = this.#port(SENDER);
    const payload = V4vFuzz.payload(channel, channel.sent);
    const pieces = 1 + this.#random.below(5);
    const view = new DataView(port.bytes.buffer, port.bytes.byteOffset);
    view.setUint32(ARGS, 1025, true);
    view.setUint16(ARGS + 4, SENDER, true);
    view.setUint32(ARGS + 8, channel.port, true);
    view.setUint16(ARGS + 12, RECEIVER, true);
    port.bytes.set(payload, PAYLOAD);
    for (let i = 0, done = 0; i < pieces; i++) {
      const length = i === pieces - 1 ? payload.length - done : this.#random.below(payload.length - done + 1);
      view.setBigUint64(ARGS + 16 + i * 16, BigInt(port.address + PAYLOAD + done), true);
      view.setUint32(ARGS + 24 + i * 16, length, true);
      done += length;
    }
    const rc = port.hypercall(5, port.address + ARGS, port.address + ARGS + 16, pieces, channel.port);
    if (rc === payload.length) {
      channel.sent++;
      channel.waits = false;
    } else {
      assert.equal(errnoName(rc), 'EAGAIN', `message ${channel.sent} to port ${channel.port}`);
      channel.waits = true;
      this.#woken = false;
    }
  }

  /** Takes messages out of one ring. @returns whether it is empty now */
  #take(channel: Channel, most: number): boolean {
    for (let i = 0; i < most; i++) {
      const message = channel.reader.read();
      if (!message) return true;
      const { domain } = message.source;
      assert.notEqual(domain, FORBIDDEN, 'a rule forbids it');
      if (domain !== SENDER) {
        assert.equal(channel.port, 81, `domain ${domain} has reached a ring for domain ${SENDER} alone`);
        assert.equal(domain, HOSTILE[0], 'nobody passes for another');
        continue;
      }
      assert.deepEqual(message.source, { domain: SENDER, port: 1025 });
      assert.equal(message.messageType, channel.port);
      assert.deepEqual(message.payload, V4vFuzz.payload(channel, channel.received), `message ${channel.received}`);
      channel.received++;
      this.#delivered++;
    }
    return false;
  }

  #receive(most: number): void {
    this.#take(this.#random.pick(this.#channels), most);
    if (this.#random.chance(50)) assert.equal(this.#port(RECEIVER).hypercall(4), 0);
  }

  /** Everything is read and told: then who waits has been woken, and everything sent has arrived. */
  #drain(): void {
    for (const channel of this.#channels) {
      assert.equal(this.#take(channel, Number.POSITIVE_INFINITY), true);
      assert.equal(channel.received, channel.sent, `port ${channel.port}`);
    }
    assert.equal(this.#port(RECEIVER).hypercall(4), 0);
    const waiting = this.#channels.filter(({ waits }) => waits);
    const ring = (port: number) => this.#v4v.domain(RECEIVER)?.ringFor(port, SENDER);
    assert.ok(waiting.length === 0 || this.#woken, 'who waits is woken');
    for (const channel of waiting) {
      assert.equal(ring(channel.port)?.waiters.has(SENDER), false, `the wait for port ${channel.port} goes on`);
      channel.waits = false;
    }
  }

  #checkUntouched(): void {
    const { bytes } = this.#port(RECEIVER);
    const now = bytes.slice();
    // headers but for the pointers, the data, and the frame numbers written by the receiver itself are its own
    for (const { offset, len } of this.#channels) {
      now.fill(0, offset + 24, offset + 32);
      now.fill(0, offset + 64, offset + 64 + len);
      this.#untouched.fill(0, offset + 24, offset + 32);
      this.#untouched.fill(0, offset + 64, offset + 64 + len);
    }
    assert.deepEqual(now, this.#untouched, "the receiver's memory outside its rings");
    for (let gfn = GFN + PAGES; gfn < 256; gfn++) {
      const page = this.#xen.guest(RECEIVER)?.domain.page(gfn, false);
      assert.ok(page?.every((byte) => byte === 0));
    }
  }

  // --- the hostile domains

  /** Another vCPU of a hostile domain writes while Xen reads. */
  #interfere(domid: number): void {
    if (!this.#inHostileCall || !HOSTILE.includes(domid as 3) || !this.#random.chance(20)) return;
    this.#scribble(this.#port(domid));
  }

  #scribble({ bytes }: V4vPort): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const at = this.#random.pick([ARGS + this.#random.below(512) * 4, RINGS + this.#random.below(16) * 4]);
    view.setUint32(at, this.#value(), true);
  }

  /** Numbers that something may hang on. */
  #value(): number {
    const random = this.#random;
    const near = random.pick([0, 16, 64, 256, PAGE, 2 * PAGE, 0x8000_0000, 0xffff_fff0, 0x200_0000, 4032, 8128]);
    return random.chance(70) ? (near + random.pick([-16, -8, -1, 0, 0, 0, 1, 8, 16])) >>> 0 : random.word();
  }

  #address(port: V4vPort): number {
    const random = this.#random;
    if (random.chance(80)) return port.address + random.below(PAGES * PAGE);
    return random.pick([0, 256 * PAGE - 8, 256 * PAGE, 2 ** 40, 2 ** 52, random.word()]);
  }

  #hostile(): void {
    const domid = this.#random.pick(HOSTILE);
    const port = this.#port(domid);
    const what = this.#random.below(1000);
    if (what < 1) {
      this.#replace(domid);
      return;
    }
    this.#inHostileCall = true;
    try {
      if (what < 250) this.#scribble(port);
      else if (what < 350) this.#register(port);
      else if (what < 400) this.#call(port, 2, port.address + RINGS + this.#random.below(3) * PAGE * 4);
      else if (what < 750) this.#hostileSend(port);
      else if (what < 900) this.#ask(port);
      else this.#anything(port);
    } finally {
      this.#inHostileCall = false;
    }
  }

  #call(port: V4vPort, cmd: number, ...args: number[]): number {
    const rc = port.hypercall(cmd, ...args);
    assert.ok(Number.isInteger(rc), `operation ${cmd} answers ${rc}`);
    if (rc >= 0) this.#hostileSuccesses++;
    else {
      const allowed = ERRNOS[cmd] ?? ['ENOSYS', 'EPERM'];
      assert.ok(allowed.includes(errnoName(rc)), `operation ${cmd} answers ${errnoName(rc)}`);
    }
    return rc;
  }

  #register(port: V4vPort): void {
    const random = this.#random;
    const slot = RINGS + random.below(3) * PAGE * 4;
    const len = random.pick([48, 64, 256, PAGE - 64, 2 * PAGE - 64, this.#value()]);
    const view = new DataView(port.bytes.buffer, port.bytes.byteOffset);
    view.setBigUint64(slot, random.chance(95) ? V4V_RING_MAGIC : 5n, true);
    view.setUint32(slot + 8, random.pick([80, 81, 5]), true);
    view.setUint16(slot + 12, random.below(6), true);
    view.setUint16(slot + 16, random.pick([V4V_DOMID_ANY, 1, 2, 3, 4]), true);
    view.setUint32(slot + 20, len, true);
    view.setUint32(slot + 24, random.chance(60) ? 0 : this.#value(), true);
    view.setUint32(slot + 28, random.chance(60) ? 0 : this.#value(), true);
    const pages = random.chance(80) ? Math.ceil((len + 64) / PAGE) : this.#value();
    this.#writePfns(port, ARGS, random.chance(90) ? slot / PAGE : random.below(300), Math.min(pages, 64));
    this.#call(port, 1, port.address + slot, port.address + ARGS, pages);
  }

  #hostileSend(port: V4vPort): void {
    const random = this.#random;
    const view = new DataView(port.bytes.buffer, port.bytes.byteOffset);
    const niov = random.chance(90) ? random.below(8) : random.pick([128, 129, 2 ** 31, 2 ** 32 - 1]);
    view.setUint32(ARGS, random.pick([1025, 80, random.word()]), true);
    view.setUint16(ARGS + 4, random.below(6), true);
    view.setUint32(ARGS + 8, random.pick([80, 81, 82, 5]), true);
    view.setUint16(ARGS + 12, random.pick([1, 1, 1, 2, 3, 4, 0, random.below(65536)]), true);
    for (let i = 0; i < Math.min(niov, 128); i++) {
      view.setBigUint64(ARGS + 16 + i * 16, BigInt(this.#address(port)), true);
      view.setUint32(ARGS + 24 + i * 16, random.chance(80) ? random.below(300) : this.#value(), true);
    }
    this.#call(port, 5, port.address + ARGS, port.address + ARGS + 16, niov, random.word());
  }

  #ask(port: V4vPort): void {
    const random = this.#random;
    const view = new DataView(port.bytes.buffer, port.bytes.byteOffset);
    const nent = random.chance(90) ? random.below(5) : random.pick([256, 257, 2 ** 31, 2 ** 32 - 1]);
    view.setBigUint64(ARGS, random.chance(95) ? V4V_RING_DATA_MAGIC : 0n, true);
    view.setUint32(ARGS + 8, nent, true);
    for (let i = 0; i < Math.min(nent, 256); i++) {
      view.setUint32(ARGS + 48 + i * 20, random.pick([80, 81, 82, 5]), true);
      view.setUint16(ARGS + 52 + i * 20, random.below(5), true);
      view.setUint32(ARGS + 60 + i * 20, this.#value(), true);
    }
    this.#call(port, 4, random.chance(80) ? port.address + ARGS : this.#address(port));
  }

  #anything(port: V4vPort): void {
    const random = this.#random;
    const word = (): number => random.pick([0, 1, this.#value(), this.#address(port), random.word() * 0x10_0000]);
    this.#call(port, random.pick([1, 2, 4, 5, 6, 7, 8, 9, 10, 11, random.word()]), word(), word(), word(), word());
  }

  /** A ring that is not for the asker looks like one that is not there, whatever its state. */
  #leakProbe(): void {
    for (const [domid, port] of [
      [3, 80],
      [3, 82],
      [4, 80],
      [4, 81],
      [4, 82],
    ] as const) {
      const asker = this.#port(domid);
      const view = new DataView(asker.bytes.buffer, asker.bytes.byteOffset);
      view.setBigUint64(ARGS, V4V_RING_DATA_MAGIC, true);
      view.setUint32(ARGS + 8, 2, true);
      [port, 4711].forEach((one, i) => {
        view.setUint32(ARGS + 48 + i * 20, one, true);
        view.setUint16(ARGS + 52 + i * 20, RECEIVER, true);
        view.setUint32(ARGS + 60 + i * 20, 16, true);
      });
      assert.equal(asker.hypercall(4, asker.address + ARGS), 0);
      const answers = [0, 1].map((i) => [
        view.getUint16(ARGS + 56 + i * 20, true),
        view.getUint32(ARGS + 64 + i * 20, true),
      ]);
      assert.deepEqual(answers, [
        [0, 0],
        [0, 0],
      ]);
    }
  }

  /** A hostile domain dies and another takes its place, under the same number. */
  #replace(domid: number): void {
    const { domain } = this.#xen.guest(domid) ?? {};
    assert.ok(domain);
    const free = this.#xen.memory.freePages;
    this.#xen.destroy(domain);
    assert.equal(this.#xen.domains.has(domid), false, 'nothing keeps it in being');
    assert.ok(this.#xen.memory.freePages >= free + 256, 'its memory is free');
    // numbers are given in turn: from the last one it goes on with the first that is free, which is this one's
    while (this.#xen.freeDomid() !== 0x7fef) {}
    this.#makeDomain(domid);
  }
}
