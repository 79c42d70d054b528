/** What the awaitable forms of long calls have in common: they can be watched, and stopped between two pieces. */

import { checkObject } from '../hypervisor/check.js';

export interface AsyncOptions {
  /** Stops the call before its next piece. What was done stays done: see {@link CallAbortedError}. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each piece. What it throws ends the call. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A long call was stopped by its signal. As Node's own: named `AbortError`, with the signal's reason as `cause`. */
export class CallAbortedError extends Error {
  override readonly name = 'AbortError';
  readonly code = 'ABORT_ERR';
  /** The libxc name of the call. */
  readonly syscall: string;
  /** How much had been done, in the units of `total`. */
  readonly done: number;
  readonly total: number;

  constructor(syscall: string, done: number, total: number, reason: unknown) {
    super(`${syscall} was stopped after ${done} of ${total}`, { cause: reason });
    this.syscall = syscall;
    this.done = done;
    this.total = total;
  }
}

/** Checks the options of an awaitable call. */
export function checkAsyncOptions(options: AsyncOptions): void {
  checkObject(options, 'options');
  const { signal, onProgress } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError('options.signal must be an AbortSignal');
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new TypeError('options.onProgress must be a function');
  }
}

/** Throws when the call is to stop. */
export function stopIfAborted({ signal }: AsyncOptions, syscall: string, done: number, total: number): void {
  if (signal?.aborted) throw new CallAbortedError(syscall, done, total, signal.reason);
}
