/** What the drivers of V4V and of Argo have in common: sends that wait for room, in order, and who wants to hear of signals. */

import { errno } from '../abi/errno.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import { XenError } from '../hypervisor/error.js';
import type { RingReader } from './ring.js';

const FIRST_EPHEMERAL = 0x8000_0000;

/** Bytes of data of the rings that are made without saying how many: four pages with the header. */
export const DEFAULT_RING = 4 * 4096 - 64;

/** A registered ring. */
export interface DriverRing {
  readonly port: number;
  readonly reader: RingReader;
  /** Takes it from Xen and gives the memory back. Twice is harmless. */
  release(): void;
}

export interface RingRequest {
  /** Default: one that is free. */
  readonly port?: number;
  /** The only domain that may send to it. Default: any may. */
  readonly partner?: number;
  /** Bytes of data: a multiple of 16. Default 16320, four pages with the header. */
  readonly length?: number;
  /** Called when there may be something to read. */
  readonly onReadable: () => void;
}

/** A message that waits for room, in a queue with others to the same ring. */
interface Send {
  readonly port: number;
  readonly to: V4vAddr;
  readonly messageType: number;
  readonly pieces: readonly Uint8Array[];
  readonly done: (rc: number) => void;
}

/** A domain's driver: its rings, its sends and their waits. Sockets and streams share it. */
export abstract class RingDriver implements Disposable {
  readonly #readers = new Set<() => void>();
  readonly #queues = new Map<string, Send[]>();
  readonly #closers = new Set<() => void>();
  #nextEphemeral = FIRST_EPHEMERAL;
  #closed = false;

  abstract readonly domid: number;
  /** Bytes of the longest message that can be sent. */
  abstract readonly maxSend: number;
  /** What a refused send is called in an error. */
  protected abstract readonly sendCall: string;

  /** Makes a ring. @throws XenError when Xen refuses it @throws RangeError for a length that no ring can have */
  abstract ring(request: RingRequest): DriverRing;
  /** Tells Xen that there is room in the rings again: who waits for it is signalled. */
  abstract hasRead(): void;
  /** Asks what a ring can hold. @returns the payload of its largest message; -1: there is no such ring */
  abstract maxMessage(to: V4vAddr): number;
  /** Sends at once or not at all. @returns bytes sent, or a negative errno */
  abstract trySend(port: number, to: V4vAddr, messageType: number, pieces: readonly Uint8Array[]): number;
  /** The domain is gone. */
  protected abstract readonly gone: boolean;
  /** Wants {@link onSignal} called on each signal, or no more. */
  protected abstract listen(wanted: boolean): void;
  /** Nobody waits for room in this ring any more: Xen need not signal it. */
  protected abstract stopWaiting(to: V4vAddr): void;
  protected abstract shut(): void;

  /** Closed, or its domain is gone. */
  get closed(): boolean {
    return this.#closed || this.gone;
  }

  protected freePort(): number {
    const port = this.#nextEphemeral;
    this.#nextEphemeral = port >= 0xffff_fffe ? FIRST_EPHEMERAL : port + 1;
    return port;
  }

  /** A ring has come into being. @returns what takes that back */
  protected addReader(onReadable: () => void): () => void {
    const reader = (): void => onReadable();
    this.#readers.add(reader);
    this.#listen();
    return () => {
      this.#readers.delete(reader);
      this.#listen();
    };
  }

  /** Sends what waits and has room now, and has the rings read. */
  protected readonly onSignal = (): void => {
    this.#retry();
    for (const onReadable of [...this.#readers]) onReadable();
  };

  /**
   * Sends, waiting for room as long as it takes. Messages to one ring arrive in the order of the calls.
   *
   * @throws XenError ECONNREFUSED: no such ring, or it may not be sent to; EMSGSIZE: it can never be sent; EINVAL (V4V) or
   *   ESRCH (Argo): no such domain; ENOTCONN: the driver is closed
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
    if (rc < 0) throw new XenError(this.sendCall, rc, { domid: to.domain });
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
        if (queue.length === 0 && !this.closed) this.stopWaiting(to);
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

  /** Signals are wanted as long as somebody reads or waits. */
  #listen(): void {
    if (!this.closed) this.listen(this.#readers.size + this.#queues.size > 0);
  }

  /** Has `close` called before the driver closes. Gives what takes that back. @internal */
  onClose(close: () => void): () => void {
    this.#closers.add(close);
    return () => this.#closers.delete(close);
  }

  /** Closes every socket, stream and server that uses the driver. Twice is harmless. */
  close(): void {
    if (this.#closed) return;
    for (const close of [...this.#closers]) close();
    if (!this.gone) for (const [send] of this.#queues.values()) if (send) this.stopWaiting(send.to);
    this.#closed = true;
    for (const queue of this.#queues.values()) for (const send of queue) send.done(-errno.ENOTCONN);
    this.#queues.clear();
    this.shut();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
