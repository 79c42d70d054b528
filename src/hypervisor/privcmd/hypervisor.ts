/** A real Xen, through Linux's privcmd device and the native addon. */

import { errno, errnoName } from '../../abi/errno.js';
import { Arena, type ArenaBuffer, SLOT_OFFSET } from '../arena.js';
import { checkDomid, putU64 } from '../check.js';
import { BackendUnavailableError, XenError } from '../error.js';
import { PRIVCMD_NODES } from '../open.js';
import type { ForeignMapping, Hypervisor } from '../port.js';
import type { NativeHandle } from './addon.js';
import { refusal } from './device.js';
import { checkProt, encodeFrames, FrameMapping, throwIfNone } from './frames.js';
import { loadAddon } from './load.js';

/** 256 KiB: several of the lists that the calls send in pieces of 36 KB fit beside each other. */
const ARENA_PAGES = 64;

/** 32-bit words of the slot. */
const OP = SLOT_OFFSET / 4;
const ARGUMENT = OP + 2;
const RESULT = OP + 12;
const SLOT_SIZE = 56;
const TWO_32 = 0x1_0000_0000;

export interface PrivcmdOptions {
  /** Another device, for tests. */
  readonly path?: string;
  readonly arenaPages?: number;
}

export class PrivcmdHypervisor implements Hypervisor {
  readonly kind = 'privcmd';
  readonly #arena: Arena;
  readonly #native: NativeHandle;
  /** The arena as words of the slot. */
  readonly #words: Int32Array;
  readonly #issue: () => void;
  #closed = false;

  /** @throws BackendUnavailableError with the reason and what mends it */
  constructor(options: PrivcmdOptions = {}) {
    const loaded = loadAddon();
    if (loaded.addon === null) throw new BackendUnavailableError('privcmd', loaded.reason);
    const { path = null, arenaPages = ARENA_PAGES } = options;
    const native = loaded.addon.open(path, arenaPages);
    if (typeof native === 'number') throw openError(path ?? PRIVCMD_NODES[0], native);
    this.#native = native;
    this.#issue = native.hypercall;
    this.#arena = new Arena(native.arena, native.address);
    this.#words = new Int32Array(native.arena);
  }

  get arena(): Arena {
    if (this.#closed) throw closedError();
    return this.#arena;
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    // One function with all of it, so that V8 compiles it into its callers: as a call of its own it would box `a2`.
    if (this.#closed) throw closedError();
    const words = this.#words;
    words[OP] = op;
    words[OP + 1] = 0;
    words[ARGUMENT] = a1;
    words[ARGUMENT + 1] = a1 / TWO_32;
    words[ARGUMENT + 2] = a2;
    words[ARGUMENT + 3] = a2 / TWO_32;
    words[ARGUMENT + 4] = a3;
    words[ARGUMENT + 5] = a3 / TWO_32;
    words[ARGUMENT + 6] = a4;
    words[ARGUMENT + 7] = a4 / TWO_32;
    words[ARGUMENT + 8] = a5;
    words[ARGUMENT + 9] = a5 / TWO_32;
    this.#issue();
    const low = words[RESULT] as number;
    const high = words[RESULT + 1] as number;
    return high === low >> 31 ? low : high * TWO_32 + (low >>> 0);
  }

  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    this.hypercall(op, a1, a2, a3, a4, a5);
    return this.#arena.view.getBigInt64(RESULT * 4, true);
  }

  async hypercallAsync(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Promise<number> {
    const { view } = this.arena;
    [op, a1, a2, a3, a4, a5].forEach((word, i) => {
      putU64(view, SLOT_OFFSET + i * 8, word);
    });
    return this.#native.hypercallAsync(SLOT_OFFSET); // takes a copy of the slot
  }

  /**
   * Issues calls that the caller has written one after the other into a piece of the arena, each as 56 bytes: op, five
   * arguments and room for the result, 64 bits each. Every call is made, whatever came of those before. Saves what the
   * way into native code costs, some 15 ns a call.
   */
  hypercallBatch(slots: ArenaBuffer): void {
    if (this.#closed) throw closedError();
    const rc = this.#native.hypercallBatch(slots.offset, slots.bytes.length / SLOT_SIZE);
    if (rc < 0) throw new RangeError(`${slots.bytes.length} bytes are no slots of ${SLOT_SIZE}`);
  }

  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping {
    if (this.#closed) throw closedError();
    checkDomid(domid);
    checkProt(prot);
    const frames = encodeFrames(gfns);
    const errors = new Int32Array(gfns.length);
    const mapped = this.#native.mapForeign(domid, frames, prot, errors);
    if (typeof mapped === 'number') throw mapError(mapped, domid);
    const mapping = new FrameMapping(new Uint8Array(mapped.buffer), errors, () => this.#native.unmap(mapped.id));
    throwIfNone(mapping, domid);
    return mapping;
  }

  restrict(domid: number): void {
    if (this.#closed) throw closedError();
    checkDomid(domid);
    const rc = this.#native.restrict(domid);
    if (rc < 0) throw new XenError('restrict', rc, { domid });
  }

  close(): void {
    this.#closed = true;
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function closedError(): TypeError {
  return new TypeError('this hypervisor is closed');
}

function openError(path: string, rc: number): Error {
  if (rc === -errno.EOPNOTSUPP) {
    return new BackendUnavailableError(
      'privcmd',
      'this build of Node forbids memory that is not its own (Electron does): use a plain Node',
    );
  }
  return new BackendUnavailableError('privcmd', refusal(path, errnoName(rc)));
}

function mapError(rc: number, domid: number): XenError {
  const hint =
    rc === -errno.EMFILE
      ? 'too many foreign mappings are open: close() those that are done with'
      : rc === -errno.EINVAL
        ? "this kernel's privcmd does not know MMAPBATCH_V2 (it came with Linux 3.8)"
        : undefined;
  return new XenError('mapForeign', rc, { domid, hint });
}
