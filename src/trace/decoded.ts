/** A hypercall, told in libxc's words. */

import type { Release } from '../abi/release.js';
import type { Arena } from '../hypervisor/arena.js';

export type DecodedValue = number | bigint | string | readonly DecodedValue[];
export type DecodedValues = Readonly<Record<string, DecodedValue>>;

/** What a hypercall asks for. Read it before the call: Xen answers in the same memory. */
export interface Decoded {
  /** libxc's name of the call, as recordings use it. */
  readonly name: string;
  /** The domain that the call is about; undefined: none. */
  readonly domid?: number | undefined;
  readonly args: DecodedValues;
  /**
   * False when the bytes say more than `args` does: libxc would not have sent them. Such a call cannot be made again
   * from its name and arguments.
   */
  readonly exact: boolean;
  /** Reads what Xen put out, after a call that succeeded with `rc`. */
  readonly out?: ((rc: number) => DecodedValues) | undefined;
}

/** Where and for which release a call is decoded. */
export interface Context {
  readonly arena: Arena;
  /** Null until Xen has told its version. */
  readonly release: Release | null;
}
