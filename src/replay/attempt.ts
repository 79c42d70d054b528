/** A call's result as libxc gives it and recordings hold it: 0, or -1 and an errno. */

import { XenError } from '../hypervisor/error.js';
import type { Got } from './expected.js';

export interface Attempt {
  readonly rc: 0 | -1;
  /** The errno's name; `'0'` when there is none. */
  readonly errno: string;
  /** What the call put out; empty when it was refused. */
  readonly out: Got;
}

/** Makes a call. Only Xen's own refusals are results; a misuse of the call is thrown on. */
export function attempt(call: (() => Got) | (() => void)): Attempt {
  try {
    return { rc: 0, errno: '0', out: call() ?? {} };
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    return { rc: -1, errno: error.code, out: {} };
  }
}

/** `rc`, and `errno` where there is one, as recordings hold them. */
export function toldResult({ rc, errno }: { readonly rc: number; readonly errno: string }): Record<string, unknown> {
  return rc < 0 ? { rc, errno } : { rc };
}
