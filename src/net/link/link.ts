/** A network interface's frames: a packet socket, or a TAP device. */

import { errno } from '../../abi/errno.js';
import type { NativeNetDevice } from '../../native/netdev.js';
import { FrameBatch } from './batch.js';
import { NetDeviceError } from './error.js';

export interface LinkStatistics {
  /** Frames that came, those that were dropped among them. */
  readonly packets: number;
  /** Frames that were dropped in the kernel because they were not taken in time. */
  readonly drops: number;
}

/**
 * Frames go in and out in batches, without a copy or an allocation for each. Whoever does not take what has come leaves
 * it in the kernel, which keeps so much and drops the rest.
 */
export abstract class Link implements Disposable {
  readonly name: string;
  readonly mtu: number;
  /** The interface's own address, `00:16:3e:00:00:01`. */
  readonly mac: string;
  readonly #native: NativeNetDevice;
  #closed = false;
  #readers: (() => void)[] = [];
  #writers: (() => void)[] = [];
  #listening = false;
  #packets = 0;
  #drops = 0;

  /** @internal */
  constructor(native: NativeNetDevice) {
    this.#native = native;
    this.name = native.name;
    this.mtu = native.mtu;
    this.mac = native.mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Takes what has come, without waiting.
   *
   * @returns how many frames it is: 0: none now
   * @throws NetDeviceError ENETDOWN: the interface is down, or has gone; EINVAL: a frame that its kernel cannot describe
   *   (of a tunnel, say) was thrown away
   */
  receive(batch: FrameBatch): number {
    batch.count = 0;
    const rc = this.#open.receive(batch.bytes, batch.slotSize, batch.numbers);
    if (rc === -errno.EAGAIN || rc === -errno.EINTR) return 0;
    if (rc < 0) throw new NetDeviceError('receive', this.name, rc);
    batch.count = rc;
    return rc;
  }

  /** As the addon's send(). @internal */
  sendPlaces(bytes: Uint8Array, places: Uint32Array, first: number, count: number): number {
    return this.#open.send(bytes, places, first, count);
  }

  /**
   * Resolves when there may be something to {@link receive}, and when the link is closed.
   *
   * @throws NetDeviceError
   */
  readable(): Promise<void> {
    return this.#ready(this.#readers);
  }

  /** Resolves when there may be room to send, and when the link is closed. */
  writable(): Promise<void> {
    return this.#ready(this.#writers);
  }

  /**
   * Frames as they come, always in the same batch. Ends when `signal` fires or the link is closed.
   *
   * @throws NetDeviceError as {@link receive}
   */
  async *batches({
    batch = new FrameBatch(),
    signal,
  }: {
    batch?: FrameBatch;
    signal?: AbortSignal;
  } = {}): AsyncGenerator<FrameBatch, void> {
    const stop = (): void => this.#call(this.#readers);
    signal?.addEventListener('abort', stop);
    try {
      while (!this.#closed && !signal?.aborted) {
        if (this.receive(batch) > 0) yield batch;
        else await this.readable();
      }
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /** Since the link was opened. Zeros of a TAP device, whose kernel does not count for us. */
  statistics(): LinkStatistics {
    const counts = new Uint32Array(2);
    const rc = this.#open.statistics(counts);
    if (rc < 0 && rc !== -errno.EOPNOTSUPP) throw new NetDeviceError('statistics', this.name, rc);
    this.#packets += counts[0] as number;
    this.#drops += counts[1] as number;
    return { packets: this.#packets, drops: this.#drops };
  }

  /** Twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    this.#call(this.#readers);
    this.#call(this.#writers);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #open(): NativeNetDevice {
    if (this.#closed) throw new TypeError(`the link to ${this.name} is closed`);
    return this.#native;
  }

  #ready(waiting: (() => void)[]): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      waiting.push(resolve);
      this.#select();
    });
  }

  /** Lets the event loop look only for what somebody waits for: what is ready and not taken would keep it busy. */
  #select(): void {
    const native = this.#native;
    if (!this.#listening) {
      const rc = native.onReady(() => this.#wake());
      if (rc < 0) throw new NetDeviceError('poll', this.name, rc);
      this.#listening = true;
    }
    const rc = native.select(this.#readers.length > 0, this.#writers.length > 0);
    if (rc < 0) throw new NetDeviceError('poll', this.name, rc);
  }

  /** Which of the two it is they find out themselves. */
  #wake(): void {
    this.#native.select(false, false);
    this.#call(this.#readers);
    this.#call(this.#writers);
  }

  #call(waiting: (() => void)[]): void {
    for (const resolve of waiting.splice(0)) resolve();
  }
}
