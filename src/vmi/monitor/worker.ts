/**
 * A session in a Worker: its thread blocks until there is an event, so an answer takes microseconds however busy the main
 * thread is. The handler is a module's, for functions cannot be sent to another thread:
 * ```ts
 * // agent.js
 * export default ({ session, xch, domid, data }) => (event) => event.respond();
 * ```
 */

import { Worker } from 'node:worker_threads';
import type { XcInterface } from '../../xc/interface.js';
import { atExit } from './at_exit.js';
import type { MonitorEnd } from './domain_end.js';
import type { MonitorEvent } from './event.js';
import type { MonitorCounters } from './loop.js';
import type { MonitorOptions, MonitorSession } from './session.js';

/** What the module's function is given. It may switch more on, set up views and hooks, and `session.onClose` their end. */
export interface MonitorAgentContext {
  readonly session: MonitorSession;
  /** A handle of the Worker's own. */
  readonly xch: XcInterface;
  readonly domid: number;
  /** What the options had under `data`. */
  readonly data: unknown;
}

/** The default export of an agent's module. */
export type MonitorAgent = (
  context: MonitorAgentContext,
) => ((event: MonitorEvent) => void) | Promise<(event: MonitorEvent) => void>;

export interface MonitorWorkerOptions extends MonitorOptions {
  /** Given to the module's function; anything that `structuredClone` takes. */
  readonly data?: unknown;
}

/** How a Worker came to its end. */
export interface MonitorWorkerEnd {
  readonly end: Exclude<MonitorEnd, { cause: 'failed' }>;
  readonly counters: MonitorCounters;
}

/** @internal */
export interface WorkerStart {
  readonly backend: string;
  readonly domid: number;
  readonly module: string;
  readonly options: Omit<MonitorWorkerOptions, 'signal'>;
  /** Two flags: {@link STOP} and {@link DONE}. */
  readonly flags: SharedArrayBuffer;
}

/** @internal Flags: the main thread wants an end; the Worker has closed its session. */
export const STOP = 0;
/** @internal */
export const DONE = 1;

/** @internal */
export type WorkerMessage =
  | { readonly type: 'ready'; readonly fd: number; readonly wakeFd: number }
  | { readonly type: 'end'; readonly end: MonitorEnd; readonly counters: MonitorCounters };

/** How long the end of the process waits for the Worker to let the domain go. */
const LAST_WAIT_MS = 2000;

const MAIN = new URL('./worker_main.js', import.meta.url);

/** A running Worker. Get one from `domain.monitor.worker`. */
export class MonitorWorker implements AsyncDisposable {
  /** Settles when the session in the Worker has ended; rejects with what its module or handler threw. */
  readonly ended: Promise<MonitorWorkerEnd>;
  readonly #xch: XcInterface;
  readonly #flags: Int32Array;
  #channels: { readonly fd: number; readonly wakeFd: number } | null = null;

  private constructor(xch: XcInterface, worker: Worker, flags: Int32Array, ready: () => void) {
    this.#xch = xch;
    this.#flags = flags;
    const forget = atExit(() => {
      this.#requestStop();
      Atomics.wait(this.#flags, DONE, 0, LAST_WAIT_MS);
    });
    this.ended = new Promise<MonitorWorkerEnd>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('the monitor worker ended without a word')));
      worker.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') {
          this.#channels = { fd: message.fd, wakeFd: message.wakeFd };
          if (Atomics.load(this.#flags, STOP) !== 0) this.#requestStop();
          ready();
        } else if (message.end.cause === 'failed') reject(message.end.error);
        else resolve({ end: message.end, counters: message.counters });
      });
    }).finally(forget);
  }

  /** @internal */
  static async start(
    xch: XcInterface,
    domid: number,
    module: URL | string,
    options: MonitorWorkerOptions,
  ): Promise<MonitorWorker> {
    const backend = xch.hypervisor.kind;
    if (backend === 'model') {
      throw new TypeError(
        "the model's guests run in this thread, where a Worker cannot reach them: use serve() or events()",
      );
    }
    const { signal, ...others } = options;
    signal?.throwIfAborted();
    const flags = new SharedArrayBuffer(8);
    const workerData: WorkerStart = { backend, domid, module: String(module), options: others, flags };
    const worker = new Worker(MAIN, { workerData });
    return await new Promise<MonitorWorker>((resolve, reject) => {
      const running: MonitorWorker = new MonitorWorker(xch, worker, new Int32Array(flags), () => resolve(running));
      running.ended.catch(reject); // before it was ready
      signal?.addEventListener('abort', () => void running.close(), { once: true });
    });
  }

  /** Has the Worker close its session. Resolves when it has. Twice is harmless. */
  async close(): Promise<void> {
    this.#requestStop();
    await this.ended.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requestStop(): void {
    Atomics.store(this.#flags, STOP, 1);
    if (!this.#channels) return;
    const same = this.#xch.hypervisor.eventChannels(this.#channels);
    same.wake();
    same.close();
  }
}
