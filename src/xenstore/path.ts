/** What a path, a value and a domain may be. What is refused here is never sent. */

import { XENSTORE_ABS_PATH_MAX, XENSTORE_PAYLOAD_MAX, XENSTORE_REL_PATH_MAX } from '../abi/xs_wire.js';

/** Of `docs/misc/xenstore.txt`: what names of nodes are made of. */
const NAMES = /^[A-Za-z0-9\-_@]+$/;

/** A name that stands for what happens to domains, and for no node. */
const SPECIAL = /^@(introduceDomain|releaseDomain)(\/\d+)?$/;

/**
 * Checks the path of a node: from the root when it begins with `/`, else below the caller's own domain.
 *
 * @throws TypeError it is no string; RangeError it is no path
 */
export function checkPath(path: string): void {
  const fault = pathFault(path);
  if (fault === null) return;
  if (typeof path !== 'string') throw new TypeError(fault);
  throw new RangeError(fault);
}

/** As {@link checkPath}; `@introduceDomain` and `@releaseDomain` are allowed, too. */
export function checkWatchPath(path: string): void {
  if (typeof path !== 'string' || !SPECIAL.test(path)) checkPath(path);
}

/** What is wrong with a path; null: nothing. */
export function pathFault(path: unknown): string | null {
  if (typeof path !== 'string') return `a xenstore path must be a string, not ${typeof path}`;
  const shown = JSON.stringify(path.length > 80 ? `${path.slice(0, 77)}...` : path);
  const absolute = path.startsWith('/');
  const longest = absolute ? XENSTORE_ABS_PATH_MAX : XENSTORE_REL_PATH_MAX;
  if (path.length > longest) return `${shown} has ${path.length} bytes: ${longest} are the most that xenstore takes`;
  if (path === '/') return null;
  const names = (absolute ? path.slice(1) : path).split('/');
  const wrong = names.find((name) => !NAMES.test(name));
  if (wrong === undefined) return null;
  if (wrong !== '') return `${shown} is no xenstore path: names are of letters, digits and -_@`;
  return `${shown} is no xenstore path: it has an empty name (a slash at its end, or two side by side)`;
}

/** The bytes of a value, which may be any. @throws TypeError */
export function valueBytes(value: string | Uint8Array): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`a xenstore value must be a string or a Uint8Array, not ${typeof value}`);
}

/** @throws RangeError it does not fit into a message */
export function checkPayload(operation: string, payload: Uint8Array): void {
  if (payload.length <= XENSTORE_PAYLOAD_MAX) return;
  throw new RangeError(
    `xenstore ${operation}: ${payload.length} bytes, path and value together: a message takes ${XENSTORE_PAYLOAD_MAX}`,
  );
}

/** @throws TypeError, RangeError */
export function checkDomid(domid: number): void {
  if (typeof domid !== 'number') throw new TypeError(`domid must be a number, not ${typeof domid}`);
  if (domid !== (domid & 0xffff)) throw new RangeError(`domid must be an integer from 0 to 65535, not ${domid}`);
}
