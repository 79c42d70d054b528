import { errno, errnoName } from '../abi/errno.js';

/** What was asked, and what about. */
export interface XenstoreErrorDetails {
  readonly path?: string | undefined;
  /** What the number does not say. */
  readonly hint?: string | undefined;
}

/** The daemon refused a request, or the connection to it ended. */
export class XenstoreError extends Error {
  override readonly name = 'XenstoreError';
  /**
   * The errno's name as the daemon sent it: `'ENOENT'`. Of the connection itself: `'ENOTCONN'`, it is closed, and
   * `'EPROTO'`, what came over it is not xenstore's protocol.
   */
  readonly code: string;
  /** Negative errno, as Node counts; 0 for a name that is none of Xen's (oxenstored's `EQUOTA`). */
  readonly errno: number;
  /** What was asked for: `'read'`. */
  readonly operation: string;
  readonly path: string | undefined;
  readonly hint: string | undefined;

  constructor(operation: string, code: string, { path, hint }: XenstoreErrorDetails = {}) {
    super(`xenstore ${operation}${path === undefined ? '' : ` ${path}`}: ${code}${hint ? `: ${hint}` : ''}`);
    this.code = code;
    this.errno = -((errno as Readonly<Record<string, number>>)[code] ?? 0);
    this.operation = operation;
    this.path = path;
    this.hint = hint;
  }

  /** An error of the system's, by its number. @internal */
  static of(operation: string, rc: number, details: XenstoreErrorDetails = {}): XenstoreError {
    return new XenstoreError(operation, errnoName(rc), details);
  }
}

/** Whether `error` is the daemon's refusal with this code. */
export function isXenstoreError(error: unknown, code: string): error is XenstoreError {
  return error instanceof XenstoreError && error.code === code;
}
