import { XS_UNWATCH, XS_WATCH } from '../abi/xs_wire.js';
import type { XsConnection } from './connection.js';
import { isXenstoreError, type XenstoreError } from './error.js';
import { checkWatchPath } from './path.js';
import { joined } from './text.js';

/** Something at or below a watched path changed: look there for what. */
export interface XenstoreChange {
  /** The node that changed, or was taken away; relative if the watched path was. */
  readonly path: string;
  /** True: so many nodes changed before anybody asked that only the watched path is told. */
  readonly collapsed: boolean;
}

/** Paths that are remembered one by one until somebody asks. */
const MOST_PATHS = 1024;

export interface WatchOptions {
  /** Ends the iteration, as leaving the loop does. */
  readonly signal?: AbortSignal;
}

/**
 * The changes at and below a path, beginning with one for the path itself. Iterate over it; leaving the loop ends the
 * watch.
 *
 * An event says where, not what: changes of one path that nobody has asked for yet become one, in the order of the first.
 * So a slow reader misses nothing that is still true, and what waits for it does not grow.
 */
export class XenstoreWatch implements AsyncIterableIterator<XenstoreChange>, AsyncDisposable {
  readonly path: string;
  readonly #connection: XsConnection;
  readonly #token: string;
  readonly #changed = new Set<string>();
  #collapsed = false;
  #wake: (() => void) | null = null;
  #over = false;
  #failure: XenstoreError | null = null;
  #forget: () => void = () => {};

  private constructor(connection: XsConnection, path: string) {
    this.path = path;
    this.#connection = connection;
    this.#token = connection.newToken((changed) => this.#fired(changed));
  }

  /** @internal */
  static async start(connection: XsConnection, path: string, { signal }: WatchOptions): Promise<XenstoreWatch> {
    checkWatchPath(path);
    signal?.throwIfAborted();
    const watch = new XenstoreWatch(connection, path);
    try {
      await connection.request({
        type: XS_WATCH,
        operation: 'watch',
        txId: 0,
        payload: joined([path, watch.#token]),
        path,
      });
    } catch (error) {
      connection.forgetToken(watch.#token);
      throw error;
    }
    const stop = (): void => void watch.close().catch(() => {});
    const forgetEnd = connection.onEnd((error) => watch.#end(error));
    signal?.addEventListener('abort', stop);
    watch.#forget = () => {
      forgetEnd();
      signal?.removeEventListener('abort', stop);
    };
    if (signal?.aborted) stop();
    return watch;
  }

  /** The next change. Rejects with XenstoreError ENOTCONN when the connection ended otherwise than by closing it here. */
  async next(): Promise<IteratorResult<XenstoreChange, undefined>> {
    for (;;) {
      if (this.#collapsed) {
        this.#collapsed = false;
        return { done: false, value: { path: this.path, collapsed: true } };
      }
      const [path] = this.#changed;
      if (path !== undefined) {
        this.#changed.delete(path);
        return { done: false, value: { path, collapsed: false } };
      }
      if (this.#failure) throw this.#failure;
      if (this.#over) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        const others = this.#wake;
        this.#wake = () => {
          others?.();
          resolve();
        };
      });
    }
  }

  async return(): Promise<IteratorResult<XenstoreChange, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the watch and the iteration. Twice is harmless. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#end(null);
    this.#changed.clear();
    this.#collapsed = false;
    const payload = joined([this.path, this.#token]);
    try {
      await this.#connection.request({ type: XS_UNWATCH, operation: 'unwatch', txId: 0, payload, path: this.path });
    } catch (error) {
      if (!isXenstoreError(error, 'ENOTCONN')) throw error;
    } finally {
      this.#connection.forgetToken(this.#token);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #fired(path: string): void {
    if (this.#over || this.#collapsed) return;
    this.#changed.add(path);
    if (this.#changed.size > MOST_PATHS) {
      this.#changed.clear();
      this.#collapsed = true;
    }
    this.#wakeUp();
  }

  /** @param error null: it ends because it was asked to */
  #end(error: XenstoreError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = this.#connection.closedHere ? null : error;
    this.#forget();
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
