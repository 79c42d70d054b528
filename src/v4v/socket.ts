/** Datagrams over V4V, in the manner of `node:dgram`. */

import { EventEmitter, setMaxListeners } from 'node:events';
import { V4V_MESSAGE_DGRAM } from '../abi/v4v.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import type { V4vMessage } from './ring.js';
import type { DriverRing, RingDriver } from './ring_driver.js';

/** Messages that one socket delivers before others get their turn. */
const TURN = 64;

export interface SocketOptions {
  /** Default: one that is free. */
  readonly port?: number;
  /** The only domain whose messages are taken. Default: everybody's. */
  readonly partner?: number;
  /** Bytes of the ring: a multiple of 16. A message is at most 32 bytes shorter. Default 16320. */
  readonly length?: number;
}

interface SocketEvents {
  message: [payload: Uint8Array, source: V4vAddr];
  error: [error: Error];
  close: [];
}

/**
 * A datagram socket. It emits `message` (payload, source), `error` (the ring is damaged; the socket closes) and `close`.
 * Messages of another type than V4V_MESSAGE_DGRAM are dropped.
 */
export class V4vSocket extends EventEmitter<SocketEvents> implements Disposable {
  readonly #driver: RingDriver;
  readonly #ring: DriverRing;
  readonly #forget: () => void;
  readonly #closing = new AbortController();
  #turn: NodeJS.Immediate | null = null;

  /**
   * @throws XenError EEXIST: the port is in use; EACCES: the domain has as many rings as it may; ENOMEM: no memory left
   * @throws RangeError for a length that no ring can have
   */
  constructor(driver: RingDriver, options: SocketOptions = {}) {
    super();
    setMaxListeners(0, this.#closing.signal); // one for each send that waits
    this.#driver = driver;
    this.#ring = driver.ring({ ...options, onReadable: () => this.#deliver() });
    this.#forget = driver.onClose(() => this.close());
  }

  /** Where others send to. */
  get address(): V4vAddr {
    return { domain: this.#driver.domid, port: this.#ring.port };
  }

  /**
   * Sends a message. Resolves when it is in the receiver's ring; while that is full, it waits.
   *
   * @throws XenError ECONNREFUSED: no such ring, or a rule forbids it; EMSGSIZE: it can never be sent; EINVAL: no such
   *   domain
   */
  async send(payload: Uint8Array | string, to: V4vAddr, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const stop = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    await this.#driver.send(this.#ring.port, to, V4V_MESSAGE_DGRAM, [bytes], stop);
  }

  #deliver(): void {
    if (this.#turn) return;
    let read = 0;
    for (; read < TURN; read++) {
      const message = this.#read();
      if (!message) break;
      if (message.messageType === V4V_MESSAGE_DGRAM) this.emit('message', message.payload, message.source);
    }
    if (read > 0) this.#driver.hasRead();
    if (read < TURN) return;
    this.#turn = setImmediate(() => {
      this.#turn = null;
      this.#deliver();
    });
  }

  #read(): V4vMessage | null {
    if (this.#closing.signal.aborted) return null;
    try {
      return this.#ring.reader.read();
    } catch (error) {
      this.close();
      this.emit('error', error as Error);
      return null;
    }
  }

  /** Sends that wait are rejected. Twice is harmless. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new Error('the V4V socket is closed'));
    if (this.#turn) clearImmediate(this.#turn);
    this.#forget();
    this.#ring.release();
    process.nextTick(() => this.emit('close'));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
