/** A router on two real interfaces. */

import { FrameBatch } from '../link/batch.js';
import { NetDeviceError } from '../link/error.js';
import type { Link } from '../link/link.js';
import { SendQueue } from '../link/send_queue.js';
import { emptyVnetHeader, readVnetHeader } from '../link/vnet_header.js';
import { Router, type RouterCounters, type RouterOptions } from './router.js';
import type { SideName } from './side.js';

/** What one frame may need of a side's queue: the pieces of the largest, once more in a tunnel, and a question. */
const FRAMES = 260;
const BYTES = 320 << 10;

export interface ForwarderCounters extends RouterCounters {
  /** Frames that the kernel dropped because we were too slow, and that it would not take, by its reason. */
  readonly kernelDrops: number;
  readonly refused: Readonly<Record<string, number>>;
}

/** Takes from each of two links what is for the other. The links stay their owner's. */
export class Forwarder {
  readonly #links: Readonly<Record<SideName, Link>>;
  readonly #queues: Readonly<Record<SideName, SendQueue>>;
  readonly #router: Router;

  constructor(inside: Link, outside: Link, options: RouterOptions) {
    this.#links = { inside, outside };
    this.#queues = { inside: new SendQueue(inside), outside: new SendQueue(outside) };
    this.#router = new Router(options, {
      inside: { mac: inside.mac, mtu: inside.mtu, sink: this.#queues.inside },
      outside: { mac: outside.mac, mtu: outside.mtu, sink: this.#queues.outside },
    });
  }

  get counters(): ForwarderCounters {
    const { inside, outside } = this.#links;
    const kernelDrops = [inside, outside].reduce((sum, link) => sum + (link.closed ? 0 : link.statistics().drops), 0);
    const refused: Record<string, number> = {};
    for (const queue of Object.values(this.#queues)) {
      for (const [reason, count] of queue.refused) refused[reason] = (refused[reason] ?? 0) + count;
    }
    return { ...this.#router.counters, kernelDrops, refused };
  }

  /**
   * Forwards until `signal` fires.
   *
   * @throws NetDeviceError ENETDOWN: one of the interfaces is down, or has gone
   */
  async run(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    const stop = over.signal;
    for (const side of ['inside', 'outside'] as const) {
      this.#router.ask(side, performance.now());
      await this.#queues[side].flush();
    }
    const pumps = [this.#pump('inside', stop), this.#pump('outside', stop)];
    try {
      await Promise.all(pumps);
    } finally {
      signal.removeEventListener('abort', end);
      end();
      await Promise.allSettled(pumps);
    }
  }

  async #pump(from: SideName, signal: AbortSignal): Promise<void> {
    const link = this.#links[from];
    const batch = new FrameBatch();
    const header = emptyVnetHeader();
    const queues = Object.values(this.#queues);
    for (;;) {
      try {
        for await (const { count, bytes } of link.batches({ batch, signal })) {
          for (let i = 0; i < count; i++) {
            if (!queues.every((queue) => queue.hasRoom(FRAMES, BYTES))) await this.#flush();
            if (batch.truncated(i) || batch.vlan(i) >= 0) {
              const reason = batch.truncated(i) ? 'truncated' : 'vlan';
              const { dropped } = this.#router.counters;
              dropped[reason] = (dropped[reason] ?? 0) + 1;
              continue;
            }
            readVnetHeader(bytes, batch.header(i), header);
            this.#router.take(from, bytes, batch.header(i), batch.length(i), header, performance.now());
          }
          await this.#flush();
        }
        return;
      } catch (error) {
        // a frame that this kernel cannot describe; those behind it can be
        if (!(error instanceof NetDeviceError) || error.code !== 'EINVAL') throw error;
      }
    }
  }

  async #flush(): Promise<void> {
    await this.#queues.inside.flush();
    await this.#queues.outside.flush();
  }
}
