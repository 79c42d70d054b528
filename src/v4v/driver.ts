/** A domain's V4V driver: its rings, its sends and their waits. Sockets and streams share it. */

import { errno } from '../abi/errno.js';
import {
  V4V_RING_DATA_F_EXISTS,
  V4V_RING_DATA_MAGIC,
  V4VOP_notify,
  V4VOP_register_ring,
  V4VOP_sendv,
  V4VOP_unregister_ring,
  v4v_iov,
  v4v_ring_data,
  v4v_ring_data_ent,
  v4v_send_addr,
  v4vRingPages,
} from '../abi/v4v.js';
import { encodeAddr, type V4vAddr } from '../abi/v4v_rules.js';
import { PAGE_SIZE } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import type { V4vPort } from '../hypervisor/v4v_port.js';
import { Pages } from './pages.js';
import { formatRing, RingReader } from './ring.js';

/** The first page: arguments of hypercalls. */
const SEND_ADDR = 0;
const IOV = 16;
const RING_DATA = 64;
/** Frame numbers of a ring being registered; at most 256, so that they fit the page. */
const PFNS = 2048;
const MAX_RING_PAGES = 256;
/** Pages behind it: the message being sent. */
const STAGING = PAGE_SIZE;
const FIRST_EPHEMERAL = 0x8000_0000;

/** Bytes of data of the rings that are made without saying how many. */
export const DEFAULT_RING = 4 * PAGE_SIZE - 64;

/** A registered ring. */
export interface DriverRing {
  readonly port: number;
  readonly reader: RingReader;
  /** Takes it from Xen and gives the memory back. Twice is harmless. */
  release(): void;
}

/** A message that waits for room, in a queue with others to the same ring. */
interface Send {
  readonly port: number;
  readonly to: V4vAddr;
  readonly messageType: number;
  readonly pieces: readonly Uint8Array[];
  readonly done: (rc: number) => void;
}

export interface RingRequest {
  /** Default: one that is free. */
  readonly port?: number;
  readonly partner?: number;
  /** Bytes of data: a multiple of 16, at most 1 MiB - 64. Default 16320, four pages with the header. */
  readonly length?: number;
  /** Called when there may be something to read. */
  readonly onReadable: () => void;
}

export class V4vDriver implements Disposable {
  readonly #port: V4vPort;
  readonly #pages: Pages;
  readonly #stagingPages: number;
  readonly #rings = new Map<number, () => void>();
  readonly #queues = new Map<string, Send[]>();
  readonly #closers = new Set<() => void>();
  #nextEphemeral = FIRST_EPHEMERAL;
  #closed = false;

  /**
   * @param port of a software Xen: `xen.v4vPort(domid, { gfn, pages })`, which this object owns from now on
   * @param stagingPages pages that a message is put together in: a longer one cannot be sent. Default 16
   * @throws RangeError when the port has less memory than that
   */
  constructor(port: V4vPort, stagingPages = 16) {
    this.#port = port;
    this.#stagingPages = stagingPages;
    this.#pages = new Pages(1 + stagingPages, port.bytes.length / PAGE_SIZE);
  }

  get domid(): number {
    return this.#port.domid;
  }

  /** Closed, or its domain is gone. */
  get closed(): boolean {
    return this.#closed || this.#port.closed;
  }

  /** Bytes of the longest message that can be sent. */
  get maxSend(): number {
    return this.#stagingPages * PAGE_SIZE;
  }

  /**
   * Makes a ring.
   *
   * @throws XenError EEXIST: the port is in use; EACCES: the domain has as many rings as it may; ENOMEM: no memory left
   * @throws RangeError for a length that no ring can have
   */
  ring({ port = this.#freePort(), partner, length = DEFAULT_RING, onReadable }: RingRequest): DriverRing {
    const { bytes } = this.#port;
    const count = v4vRingPages(length);
    if (count > MAX_RING_PAGES)
      throw new RangeError(`a ring of ${length} bytes: at most ${MAX_RING_PAGES * PAGE_SIZE - 64}`);
    const first = this.#pages.take(count);
    if (first === null) throw new XenError('v4v_register_ring', -errno.ENOMEM, { domid: this.domid });
    const offset = bytes.byteOffset + first * PAGE_SIZE;
    const reader = this.#register(port, partner, length, first, count, offset);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      this.#rings.delete(first);
      this.#pages.give(first, count);
      if (!this.closed) this.#port.hypercall(V4VOP_unregister_ring, this.#port.address + first * PAGE_SIZE);
      this.#listen();
    };
    this.#rings.set(first, onReadable);
    this.#listen();
    return { port, reader, release };
  }

  #register(
    port: number,
    partner: number | undefined,
    length: number,
    first: number,
    count: number,
    offset: number,
  ): RingReader {
    const { bytes, address } = this.#port;
    try {
      const id = { port, domain: this.domid, ...(partner === undefined ? {} : { partner }) };
      formatRing(bytes.buffer, length, id, offset);
      const view = this.#view();
      for (let i = 0; i < count; i++) view.setBigUint64(PFNS + i * 8, BigInt(address / PAGE_SIZE + first + i), true);
      const rc = this.#port.hypercall(V4VOP_register_ring, address + first * PAGE_SIZE, address + PFNS, count);
      if (rc < 0) throw new XenError('v4v_register_ring', rc, { domid: this.domid });
      return new RingReader(bytes.buffer, length, offset);
    } catch (error) {
      this.#pages.give(first, count);
      throw error;
    }
  }

  #freePort(): number {
    const port = this.#nextEphemeral;
    this.#nextEphemeral = port >= 0xffff_fffe ? FIRST_EPHEMERAL : port + 1;
    return port;
  }

  /** Tells Xen that there is room in the rings again: who waits for it is signalled. */
  hasRead(): void {
    if (!this.closed) this.#port.hypercall(V4VOP_notify);
  }

  /**
   * Asks what a ring can hold.
   *
   * @returns the payload of its largest message; -1: there is no such ring
   */
  maxMessage(to: V4vAddr): number {
    if (this.closed) return -1;
    const { address } = this.#port;
    const view = this.#view();
    const entry = RING_DATA + v4v_ring_data.size;
    const { at } = v4v_ring_data_ent;
    view.setBigUint64(RING_DATA, V4V_RING_DATA_MAGIC, true);
    view.setUint32(RING_DATA + v4v_ring_data.at.nent, 1, true);
    encodeAddr(view, entry, to);
    view.setUint32(entry + at.space_required, 0xffff_ffff, true); // nobody waits for what can never be
    const rc = this.#port.hypercall(V4VOP_notify, address + RING_DATA);
    const exists = rc === 0 && (view.getUint16(entry + at.flags, true) & V4V_RING_DATA_F_EXISTS) !== 0;
    return exists ? view.getUint32(entry + at.max_message_size, true) : -1;
  }

  /** Sends at once or not at all. @returns bytes sent, or a negative errno */
  trySend(port: number, to: V4vAddr, messageType: number, pieces: readonly Uint8Array[]): number {
    if (this.closed) return -errno.ENOTCONN;
    const { bytes, address } = this.#port;
    let length = 0;
    for (const piece of pieces) {
      if (length + piece.length > this.maxSend) return -errno.EMSGSIZE;
      bytes.set(piece, STAGING + length);
      length += piece.length;
    }
    const view = this.#view();
    encodeAddr(view, SEND_ADDR, { port, domain: this.domid });
    encodeAddr(view, SEND_ADDR + v4v_send_addr.at.dst, to);
    view.setBigUint64(IOV, BigInt(address + STAGING), true);
    view.setUint32(IOV + v4v_iov.at.iov_len, length, true);
    return this.#port.hypercall(V4VOP_sendv, address + SEND_ADDR, address + IOV, 1, messageType);
  }

  /**
   * Sends, waiting for room as long as it takes. Messages to one ring arrive in the order of the calls.
   *
   * @throws XenError ECONNREFUSED: no such ring, or a rule forbids it; EMSGSIZE: it can never be sent; EINVAL: no such
   *   domain; ENOTCONN: the driver is closed
   */
  async send(
    port: number,
    to: V4vAddr,
    messageType: number,
    pieces: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    const key = `${to.domain}:${to.port}`;
    const queue = this.#queues.get(key);
    let rc: number = -errno.EAGAIN;
    if (!queue) rc = this.trySend(port, to, messageType, pieces);
    if (rc === -errno.EAGAIN) rc = await this.#wait(key, port, to, messageType, pieces, signal);
    if (rc < 0) throw new XenError('v4v_sendv', rc, { domid: to.domain });
  }

  #wait(
    key: string,
    port: number,
    to: V4vAddr,
    messageType: number,
    pieces: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(key) ?? [];
      const onAbort = (): void => {
        queue.splice(queue.indexOf(send), 1);
        // Xen waits for the room that the aborted one wanted: the next may want less
        this.#retry();
        reject(signal?.reason);
      };
      const done = (rc: number): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(rc);
      };
      const send: Send = { port, to, messageType, pieces, done };
      queue.push(send);
      this.#queues.set(key, queue);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#listen();
    });
  }

  /** Sends what waits and has room now. */
  #retry(): void {
    for (const [key, queue] of this.#queues) {
      for (let send = queue[0]; send; send = queue[0]) {
        const rc = this.trySend(send.port, send.to, send.messageType, send.pieces);
        if (rc === -errno.EAGAIN) break;
        queue.shift();
        send.done(rc);
      }
      if (queue.length === 0) this.#queues.delete(key);
    }
    this.#listen();
  }

  readonly #onSignal = (): void => {
    this.#retry();
    for (const onReadable of [...this.#rings.values()]) onReadable();
  };

  /** Signals are wanted as long as somebody reads or waits. */
  #listen(): void {
    if (this.closed) return;
    this.#port.onSignal(this.#rings.size + this.#queues.size > 0 ? this.#onSignal : null);
  }

  #view(): DataView {
    const { bytes } = this.#port;
    return new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  }

  /** Has `close` called before the driver closes. Gives what takes that back. @internal */
  onClose(close: () => void): () => void {
    this.#closers.add(close);
    return () => this.#closers.delete(close);
  }

  /** Closes every socket, stream and server that uses the driver, and then the port. Twice is harmless. */
  close(): void {
    if (this.#closed) return;
    for (const close of [...this.#closers]) close();
    this.#closed = true;
    for (const queue of this.#queues.values()) for (const send of queue) send.done(-errno.ENOTCONN);
    this.#queues.clear();
    this.#port.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
