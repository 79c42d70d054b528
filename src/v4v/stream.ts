/**
 * Streams over V4V. Each end has a ring of its own for the connection, so that an end that does not read holds up its peer
 * and nobody else.
 *
 * Messages are of type V4V_MESSAGE_STREAM and begin with `v4v_stream_header`. The client sends SYN to the server's port
 * with a connection number of its choice; the server answers ACK from a port of its own for the connection, or RST. Then
 * messages without flags carry data, one without data is the end of what its sender has to say, and RST ends all.
 */

import { randomInt } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { addAbortSignal, Duplex } from 'node:stream';
import { errno } from '../abi/errno.js';
import {
  V4V_MESSAGE_STREAM,
  V4V_STREAM_ACK,
  V4V_STREAM_PING,
  V4V_STREAM_PONG,
  V4V_STREAM_RST,
  V4V_STREAM_SYN,
  v4v_stream_header,
} from '../abi/v4v.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import { XenError } from '../hypervisor/error.js';
import type { V4vMessage } from './ring.js';
import type { DriverRing, RingDriver } from './ring_driver.js';

const HEADER = v4v_stream_header.size;
const NOTHING: Uint8Array = new Uint8Array(0);

function header(flags: number, conid: number): Uint8Array {
  const bytes = new Uint8Array(HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, flags, true);
  view.setUint32(4, conid, true);
  return bytes;
}

/** A message of a stream, taken apart; null: it is none. */
function parse(message: V4vMessage): { flags: number; conid: number; data: Uint8Array } | null {
  const { messageType, payload } = message;
  if (messageType !== V4V_MESSAGE_STREAM || payload.length < HEADER) return null;
  const view = new DataView(payload.buffer, payload.byteOffset);
  return { flags: view.getUint32(0, true), conid: view.getUint32(4, true), data: payload.subarray(HEADER) };
}

export interface StreamOptions {
  /** Bytes of this end's ring: a multiple of 16. Default 16320. */
  readonly length?: number;
  /** Destroys the stream when it fires. */
  readonly signal?: AbortSignal;
}

/** What a stream is made from. */
interface Ends {
  readonly driver: RingDriver;
  /** Client: where SYN goes. Server: where it came from. */
  readonly remote: V4vAddr;
  /** Null: this end is the client. */
  readonly conid: number | null;
}

/**
 * One end of a connection, as a `Duplex`. It emits `connect` on the client's end once the server has answered. What is
 * written before that waits. Back pressure is the ring's: an end that is not read fills its ring, and its peer's writes
 * wait.
 *
 * Errors: XenError ECONNREFUSED (nobody listens there, a rule forbids it, or the peer is gone) or EINVAL (no such domain);
 * an Error with `code` ECONNRESET (the peer has destroyed its end).
 */
export class V4vStream extends Duplex {
  readonly #driver: RingDriver;
  readonly #ring: DriverRing;
  readonly #conid: number;
  readonly #forget: () => void;
  /** Where data goes; known to a client once the server has answered. */
  #peer: V4vAddr | null;
  #chunk = 0;
  readonly #server: V4vAddr;
  #wanted = false;
  #peerDone = false;
  /** Settled once the server has answered, or this end is destroyed. */
  readonly #ready: Promise<void>;
  #connected: (() => void) | null = null;
  readonly #closing = new AbortController();

  /** @internal */
  constructor({ driver, remote, conid }: Ends, { length, signal }: StreamOptions = {}) {
    super({ allowHalfOpen: false });
    this.#driver = driver;
    this.#server = remote;
    this.#conid = conid ?? randomInt(2 ** 32);
    this.#peer = conid === null ? null : remote;
    const partner = remote.domain;
    this.#ring = driver.ring({ partner, ...(length === undefined ? {} : { length }), onReadable: () => this.#pull() });
    this.#forget = driver.onClose(() => this.destroy());
    this.#ready = this.#start();
    this.#ready.catch((error: Error) => this.destroy(error)); // writes that wait are told by destroy, too
    if (signal) addAbortSignal(signal, this);
  }

  /** Where this end receives. */
  get address(): V4vAddr {
    return { domain: this.#driver.domid, port: this.#ring.port };
  }

  /** Where the other end receives; null: not connected yet. */
  get remote(): V4vAddr | null {
    return this.#peer;
  }

  /** A client asks, and waits for the answer; a server's end answers. */
  async #start(): Promise<void> {
    if (this.#peer) {
      await this.#send(this.#peer, V4V_STREAM_ACK, NOTHING);
      return;
    }
    const { signal } = this.#closing;
    const answered = new Promise<void>((resolve, reject) => {
      this.#connected = resolve;
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    answered.catch(() => {}); // it may be aborted while SYN waits for room
    await this.#send(this.#server, V4V_STREAM_SYN, NOTHING);
    await answered;
    this.emit('connect');
  }

  async #send(to: V4vAddr, flags: number, data: Uint8Array): Promise<void> {
    const pieces = [header(flags, this.#conid), data];
    await this.#driver.send(this.#ring.port, to, V4V_MESSAGE_STREAM, pieces, this.#closing.signal);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#ready.then(() => this.#writeAll(chunk)).then(() => callback(), callback);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    const peer = this.#peer;
    if (!peer) throw new XenError('v4v_sendv', -errno.ENOTCONN);
    if (this.#chunk === 0) this.#chunk = this.#chunkFor(peer);
    for (let done = 0; done < bytes.length; done += this.#chunk) {
      await this.#send(peer, 0, bytes.subarray(done, done + this.#chunk));
    }
  }

  /** Half of what the peer's ring holds, so that it can read one message while the next arrives. */
  #chunkFor(peer: V4vAddr): number {
    const most = this.#driver.maxMessage(peer);
    if (most < 0) throw new XenError('v4v_sendv', -errno.ECONNREFUSED, { domid: peer.domain });
    return Math.max(1, Math.min(this.#driver.maxSend, Math.floor(most / 2)) - HEADER);
  }

  override _final(callback: (error?: Error | null) => void): void {
    const end = async (): Promise<void> => {
      if (this.#peer) await this.#send(this.#peer, 0, NOTHING);
    };
    this.#ready.then(end).then(() => callback(), callback);
  }

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  /** Reads the ring as long as somebody wants to have it; what nobody wants stays there, and holds the peer up. */
  #pull(): void {
    let read = false;
    while ((this.#wanted || this.#connected) && !this.destroyed) {
      const message = this.#next();
      if (!message) break;
      read = true;
      this.#take(message);
    }
    if (read) this.#driver.hasRead();
  }

  #next(): V4vMessage | null {
    try {
      return this.#ring.reader.read();
    } catch (error) {
      this.destroy(error as Error);
      return null;
    }
  }

  #take(message: V4vMessage): void {
    const parsed = parse(message);
    if (parsed?.conid !== this.#conid) return;
    const { flags, data } = parsed;
    if (this.#connected) {
      this.#answered(flags, message.source);
      return;
    }
    if (message.source.port !== this.#peer?.port) return;
    if (flags === 0) this.#wanted = this.#deliver(data);
    else if (flags & V4V_STREAM_RST) this.reset();
    else if (flags & V4V_STREAM_PING) this.#send(this.#peer, V4V_STREAM_PONG, NOTHING).catch(() => {});
  }

  #deliver(data: Uint8Array): boolean {
    if (this.#peerDone) return true;
    if (data.length > 0) return this.push(data);
    this.#peerDone = true;
    return this.push(null);
  }

  /** The peer has ended the connection without saying all. @internal */
  reset(): void {
    if (this.#peerDone && this.writableFinished) return;
    const text = `domain ${this.#server.domain} has ended the connection`;
    this.destroy(Object.assign(new Error(text), { code: 'ECONNRESET' }));
  }

  #answered(flags: number, source: V4vAddr): void {
    if (flags & V4V_STREAM_RST) {
      this.destroy(new XenError('v4v_stream', -errno.ECONNREFUSED, { domid: source.domain }));
    } else if (flags & V4V_STREAM_ACK) {
      this.#peer = source;
      this.#connected?.();
      this.#connected = null;
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#closing.abort(error ?? new Error('the V4V stream is closed'));
    if (!this.#peerDone || !this.writableFinished) {
      // to the server's own port, as long as the connection's is not known
      const pieces = [header(V4V_STREAM_RST, this.#conid)];
      this.#driver.trySend(this.#ring.port, this.#peer ?? this.#server, V4V_MESSAGE_STREAM, pieces);
    }
    this.#forget();
    this.#ring.release();
    callback(error);
  }
}

/**
 * Connects to a server in another domain, or in the same.
 *
 * @throws XenError EACCES: the domain has as many rings as it may; ENOMEM: no memory left
 */
export function connect(driver: RingDriver, to: V4vAddr, options: StreamOptions = {}): V4vStream {
  return new V4vStream({ driver, remote: to, conid: null }, options);
}

export interface ServerOptions {
  readonly port: number;
  /** The only domain that may connect. Default: everybody. */
  readonly partner?: number;
  /** Connections at a time; more are refused (RST). Default 32. */
  readonly maxConnections?: number;
  /** Bytes of each connection's ring: a multiple of 16. Default 16320. */
  readonly length?: number;
}

interface ServerEvents {
  connection: [stream: V4vStream];
  error: [error: Error];
  close: [];
}

/** Takes connections on a port. It emits `connection` (stream), `error` (the ring is damaged; it closes) and `close`. */
export class V4vServer extends EventEmitter<ServerEvents> implements Disposable {
  readonly #driver: RingDriver;
  readonly #ring: DriverRing;
  readonly #options: ServerOptions;
  readonly #forget: () => void;
  /** By domain, port and number of the client. */
  readonly #connections = new Map<string, V4vStream>();
  #closed = false;

  /** @throws XenError EEXIST: the port is in use; EACCES: the domain has as many rings as it may; ENOMEM: no memory left */
  constructor(driver: RingDriver, options: ServerOptions) {
    super();
    const { port, partner } = options;
    this.#driver = driver;
    this.#options = options;
    this.#ring = driver.ring({ port, ...(partner === undefined ? {} : { partner }), onReadable: () => this.#accept() });
    this.#forget = driver.onClose(() => this.close());
  }

  get address(): V4vAddr {
    return { domain: this.#driver.domid, port: this.#ring.port };
  }

  #accept(): void {
    let read = false;
    for (let message = this.#next(); message; message = this.#next()) {
      read = true;
      const parsed = parse(message);
      if (parsed && parsed.flags & V4V_STREAM_SYN) this.#connect(message.source, parsed.conid);
      if (parsed && parsed.flags & V4V_STREAM_RST) this.#connections.get(keyOf(message.source, parsed.conid))?.reset();
    }
    if (read) this.#driver.hasRead();
  }

  #next(): V4vMessage | null {
    if (this.#closed) return null;
    try {
      return this.#ring.reader.read();
    } catch (error) {
      this.close();
      this.emit('error', error as Error);
      return null;
    }
  }

  #connect(remote: V4vAddr, conid: number): void {
    const { maxConnections = 32, length } = this.#options;
    const key = keyOf(remote, conid);
    if (this.#connections.has(key)) return;
    const stream = this.#connections.size < maxConnections ? this.#open(remote, conid, length) : null;
    if (!stream) {
      // whoever does not read the answer does not get it
      this.#driver.trySend(this.#ring.port, remote, V4V_MESSAGE_STREAM, [header(V4V_STREAM_RST, conid)]);
      return;
    }
    this.#connections.set(key, stream);
    stream.once('close', () => this.#connections.delete(key));
    if (!this.emit('connection', stream)) stream.destroy(); // nobody wants it
  }

  #open(remote: V4vAddr, conid: number, length: number | undefined): V4vStream | null {
    try {
      return new V4vStream({ driver: this.#driver, remote, conid }, length === undefined ? {} : { length });
    } catch (error) {
      if (error instanceof XenError) return null; // no ring or no memory left
      throw error;
    }
  }

  /** Takes no more connections; those that there are go on. Twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#ring.release();
    process.nextTick(() => this.emit('close'));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function keyOf({ domain, port }: V4vAddr, conid: number): string {
  return `${domain}:${port}:${conid}`;
}
