/** The port: what everything above needs from a hypervisor, and all that an adapter has to provide. */

import type { Arena } from './arena.js';
import type { EventChannels, EventDescriptors } from './event_channels.js';
import type { GrantTable } from './grant_table.js';

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

/** Pages of another domain, mapped until {@link close}. */
export interface ForeignMapping extends Disposable {
  /**
   * The pages, in the order asked for. Throws TypeError after {@link close}; views taken before it have length 0 then.
   * A page that could not be mapped (see {@link errors}) must not be touched: on a real dom0 that is SIGBUS or SIGSEGV.
   */
  readonly bytes: Uint8Array;
  /** One entry a page: 0, or the negative errno that kept it from being mapped. */
  readonly errors: Int32Array;
  /** Unmaps. Views are detached first, so that no stale view can reach the pages. Twice is harmless. */
  close(): void;
}

/**
 * A Xen to talk to. Functions return Xen's own result: >= 0, or a negative errno. They throw only for misuse (closed,
 * out of range) and when the machine itself fails (no memory for a mapping).
 */
export interface Hypervisor extends Disposable {
  readonly kind: 'privcmd' | 'libxen' | 'model';
  readonly arena: Arena;

  /** A hypercall whose result is an `int` or a non-negative `long` below 2^53. Arguments are unsigned 64-bit words. */
  hypercall(op: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number): number;

  /** As {@link hypercall}, for results that need all 64 bits. */
  hypercall64(op: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number): bigint;

  /**
   * As {@link hypercall}, off the main thread where there is one to be off of. Operands must come from
   * `arena.alloc()`: the operand area belongs to synchronous calls.
   */
  hypercallAsync(op: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number): Promise<number>;

  /**
   * Maps frames of another domain. Pages that are paged out are asked for again until they are there; other failures
   * are in `errors`, page by page.
   *
   * @param prot PROT_READ, PROT_WRITE or both
   * @throws XenError when nothing could be mapped at all (ESRCH: no such domain; EPERM: restricted to another)
   */
  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping;

  /**
   * Maps a resource of another domain (`XENMEM_resource_*`), frames `frame` to `frame + count - 1` of it.
   *
   * @throws XenError
   */
  mapResource(domid: number, type: number, id: number, frame: number, count: number, prot: number): ForeignMapping;

  /** How many frames a resource has, or a negative errno. */
  resourceSize(domid: number, type: number, id: number): number;

  /** A device model operation: `buffers[0]` is the operation itself, the rest what it points at. 0 or a negative errno. */
  dmOp(domid: number, buffers: readonly Uint8Array[]): number;

  /**
   * A new set of event channels.
   *
   * @param same a set that is open in this process, to be opened once more: by another thread, or by {@link close} of
   *   either unharmed. A `wakeFd` of -1 makes a new one.
   * @throws XenError when they are not to be had (ENOTTY: `fd` is no event channel device; EOPNOTSUPP: the model has no
   *   descriptors)
   */
  eventChannels(same?: EventDescriptors): EventChannels;

  /** @throws XenError when grant tables are not to be had */
  grantTable(): GrantTable;

  /**
   * Configuration space of a PCI function of the machine that this Xen runs on, as far as it can be read; null: there is
   * no such function. Absent: no device can be seen from here.
   *
   * @param sbdf segment << 16 | bus << 8 | device << 3 | function
   */
  pciConfig?(sbdf: number): Uint8Array | null;

  /** From now on this handle serves only `domid`: hypercalls are refused, mappings of other domains too. */
  restrict(domid: number): void;

  /**
   * Closes all that was opened through it, mappings, event channels and grants. Twice is harmless; any other use after it
   * is a TypeError.
   */
  close(): void;
}
