/**
 * Sockets and streams over OpenXT's Argo driver. Node's event loop cannot watch its devices, so they are looked at by a
 * timer: at once after something came, and less and less often while nothing does.
 */

import { EventEmitter } from 'node:events';
import { addAbortSignal, Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { errno } from '../abi/errno.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import { XenError } from '../hypervisor/error.js';
import { ArgoDevice, type DeviceCalls, DGRAM_DEVICE, STREAM_DEVICE } from './openxt_device.js';

const SHORTEST_MS = 1;
const LONGEST_MS = 20;
/** One write to a stream: the driver takes a quarter of a default ring at a time anyhow. */
const CHUNK = 0x4000;
const NOTHING: Uint8Array = new Uint8Array(0);

export interface DeviceOptions {
  /** Default: one that the driver chooses. */
  readonly port?: number;
  /** The only domain whose messages are taken. Default: everybody's. */
  readonly partner?: number;
  /** Bytes of the ring. Default: the driver's, 32 pages. */
  readonly length?: number;
  /** @internal */
  readonly calls?: DeviceCalls;
}

/** Waits between looks: the longer, the longer nothing came. */
class Patience {
  #ms = SHORTEST_MS;

  wait(signal: AbortSignal): Promise<void> {
    const ms = this.#ms;
    this.#ms = Math.min(LONGEST_MS, ms * 2);
    return delay(ms, undefined, { signal });
  }

  reset(): void {
    this.#ms = SHORTEST_MS;
  }
}

function bound(path: string, { port = 0, partner, length, calls }: DeviceOptions): ArgoDevice {
  const device = new ArgoDevice(path, calls);
  const sized = length === undefined ? 0 : device.setRingSize(length);
  const rc = sized < 0 ? sized : device.bind(port, partner);
  if (rc >= 0) return device;
  device.close();
  throw new XenError('argo_bind', rc, partner === undefined ? {} : { domid: partner });
}

/** Sends all of it, or as much as one call takes, once there is room. */
async function sendWhenRoom(
  device: ArgoDevice,
  bytes: Uint8Array,
  to: V4vAddr | null,
  signal: AbortSignal,
): Promise<number> {
  const patience = new Patience();
  for (;;) {
    signal.throwIfAborted();
    const rc = device.send(bytes, to);
    if (rc >= 0) return rc;
    if (rc !== -errno.EAGAIN) throw new XenError('argo_send', rc, to ? { domid: to.domain } : {});
    await patience.wait(signal);
  }
}

interface SocketEvents {
  message: [payload: Uint8Array, source: V4vAddr];
  error: [error: Error];
  close: [];
}

/** A datagram socket over /dev/argo_dgram, as `ArgoSocket` is over Xen itself. */
export class OpenXtSocket extends EventEmitter<SocketEvents> implements Disposable {
  readonly #device: ArgoDevice;
  readonly #closing = new AbortController();

  /** @throws XenError ENOENT: no such device, see `openxtArgo`; EINVAL, ENOMEM: the driver made no ring of it */
  constructor(options: DeviceOptions = {}) {
    super();
    this.#device = bound(DGRAM_DEVICE, options);
    this.#receive().catch((error: Error) => this.#fail(error));
  }

  async #receive(): Promise<void> {
    const { signal } = this.#closing;
    const patience = new Patience();
    while (!signal.aborted) {
      const got = this.#device.receive();
      if (typeof got === 'number') {
        if (got !== -errno.EAGAIN) throw new XenError('argo_recv', got);
        await patience.wait(signal);
      } else {
        patience.reset();
        this.emit('message', got.payload, got.source);
      }
    }
  }

  #fail(error: Error): void {
    if (this.#closing.signal.aborted) return;
    this.close();
    this.emit('error', error);
  }

  /**
   * Sends a message; while the receiver's ring is full, it waits.
   *
   * @throws XenError ECONNREFUSED: no such ring; EMSGSIZE: it can never be sent
   */
  async send(payload: Uint8Array | string, to: V4vAddr, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const stop = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    await sendWhenRoom(this.#device, bytes, to, stop);
  }

  /** Sends that wait are rejected. Twice is harmless. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new Error('the Argo socket is closed'));
    this.#device.close();
    process.nextTick(() => this.emit('close'));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** One end of a connection over /dev/argo_stream. It emits `connect` once the other end has answered. */
export class OpenXtStream extends Duplex {
  readonly #device: ArgoDevice;
  readonly #closing = new AbortController();
  readonly #ready: Promise<void>;
  #wanted = false;
  #pulling = false;

  /** @internal */
  constructor(device: ArgoDevice, to: V4vAddr | null, signal?: AbortSignal) {
    super({ allowHalfOpen: false });
    this.#device = device;
    this.#ready = to ? this.#connect(to) : Promise.resolve();
    this.#ready.catch((error: Error) => this.destroy(error));
    if (signal) addAbortSignal(signal, this);
  }

  async #connect(to: V4vAddr): Promise<void> {
    const patience = new Patience();
    for (let rc = this.#device.connect(to); rc !== 0; rc = this.#device.connect(to)) {
      if (rc !== -errno.EINPROGRESS && rc !== -errno.EAGAIN) {
        const reason = this.#device.connectError();
        throw new XenError('argo_connect', reason < 0 ? reason : -errno.ECONNREFUSED, { domid: to.domain });
      }
      await patience.wait(this.#closing.signal);
    }
    this.emit('connect');
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#ready.then(() => this.#writeAll(chunk)).then(() => callback(), callback);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, done + CHUNK);
      done += await sendWhenRoom(this.#device, piece, null, this.#closing.signal);
    }
  }

  override _read(): void {
    this.#wanted = true;
    if (this.#pulling) return;
    this.#pulling = true;
    this.#ready
      .then(() => this.#pull())
      .catch((error: Error) => {
        if (!this.#closing.signal.aborted) this.destroy(error);
      });
  }

  /** Reads until nobody wants more. */
  async #pull(): Promise<void> {
    const patience = new Patience();
    while (this.#wanted && !this.destroyed) {
      const got = this.#device.receive();
      if (typeof got !== 'number') {
        patience.reset();
        this.#deliver(got.payload);
      } else if (got === -errno.EPIPE) this.#deliver(NOTHING);
      else if (got === -errno.EAGAIN) await patience.wait(this.#closing.signal);
      else throw new XenError('argo_recv', got);
    }
    this.#pulling = false;
  }

  /** No bytes are the end. */
  #deliver(bytes: Uint8Array): void {
    this.#wanted = false;
    if (this.push(bytes.length === 0 ? null : bytes)) this.#wanted = true;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#closing.abort(error ?? new Error('the Argo stream is closed'));
    this.#device.close();
    callback(error);
  }
}

/** Connects to a server in another domain. @throws XenError when the device is not there, or made no ring */
export function openxtConnect(
  to: V4vAddr,
  { signal, ...options }: DeviceOptions & { readonly signal?: AbortSignal } = {},
): OpenXtStream {
  return new OpenXtStream(bound(STREAM_DEVICE, { partner: to.domain, ...options }), to, signal);
}

interface ServerEvents {
  connection: [stream: OpenXtStream];
  error: [error: Error];
  close: [];
}

/** Takes connections on a port of /dev/argo_stream. */
export class OpenXtServer extends EventEmitter<ServerEvents> implements Disposable {
  readonly #device: ArgoDevice;
  readonly #closing = new AbortController();

  /** @throws XenError when the device is not there, or made no ring */
  constructor(options: DeviceOptions & { readonly port: number }) {
    super();
    this.#device = bound(STREAM_DEVICE, options);
    const rc = this.#device.listen();
    if (rc < 0) {
      this.#device.close();
      throw new XenError('argo_listen', rc);
    }
    this.#accept().catch((error: Error) => {
      if (this.#closing.signal.aborted) return;
      this.close();
      this.emit('error', error);
    });
  }

  async #accept(): Promise<void> {
    const { signal } = this.#closing;
    const patience = new Patience();
    while (!signal.aborted) {
      const got = this.#device.accept();
      if (typeof got !== 'number') {
        patience.reset();
        this.emit('connection', new OpenXtStream(got, null));
      } else if (got === -errno.EAGAIN) await patience.wait(signal);
      else throw new XenError('argo_accept', got);
    }
  }

  /** Takes no more connections; those that there are go on. Twice is harmless. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new Error('the Argo server is closed'));
    this.#device.close();
    process.nextTick(() => this.emit('close'));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
