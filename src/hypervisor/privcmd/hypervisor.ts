/** A real Xen, through Linux's privcmd device and the native addon. */

import { errno, errnoName } from '../../abi/errno.js';
import type { Addon, NativeHandle } from '../../native/addon.js';
import { loadAddon } from '../../native/load.js';
import { Arena, type ArenaBuffer, SLOT_OFFSET } from '../arena.js';
import { checkDomid, putU64 } from '../check.js';
import { BackendUnavailableError, XenError } from '../error.js';
import type { EventChannels, EventDescriptors } from '../event_channels.js';
import type { GrantTable } from '../grant_table.js';
import { PRIVCMD_NODES } from '../open.js';
import type { ForeignMapping, Hypervisor } from '../port.js';
import { sysfsPciConfig } from '../sysfs_pci.js';
import { refusal } from './device.js';
import { PrivcmdEventChannels } from './event_channels.js';
import {
  checkDmOp,
  checkProt,
  checkResource,
  checkResourceFrames,
  encodeFrames,
  FrameMapping,
  resourceError,
  throwIfNone,
} from './frames.js';
import { PrivcmdGrantTable } from './grant_table.js';

/** 256 KiB: several of the lists that the calls send in pieces of 36 KB fit beside each other. */
const ARENA_PAGES = 64;

/** A call in the arena: op, five arguments, result, 64 bits each. */
const SLOT_SIZE = 56;
const RESULT_OFFSET = SLOT_OFFSET + 48;

export interface PrivcmdOptions {
  /** Another device, for tests. */
  readonly path?: string;
  readonly arenaPages?: number;
}

export class PrivcmdHypervisor implements Hypervisor {
  readonly kind = 'privcmd';
  readonly #arena: Arena;
  readonly #addon: Addon;
  readonly #native: NativeHandle;
  /** The slot at the arena's start, as 32-bit words. */
  readonly #words: Int32Array;
  readonly #issue: () => void;
  /** What closes with the hypervisor. */
  readonly #opened = new Set<{ close(): void }>();
  #closed = false;

  /** @throws BackendUnavailableError with the reason and what mends it */
  constructor(options: PrivcmdOptions = {}) {
    const loaded = loadAddon();
    if (loaded.addon === null) throw new BackendUnavailableError('privcmd', loaded.reason);
    const { path = null, arenaPages = ARENA_PAGES } = options;
    const native = loaded.addon.open(path, arenaPages);
    if (typeof native === 'number') throw openError(path ?? PRIVCMD_NODES[0], native);
    this.#addon = loaded.addon;
    this.#native = native;
    this.#issue = native.hypercall;
    this.#arena = new Arena(native.arena, native.address);
    this.#words = new Int32Array(native.arena, SLOT_OFFSET, SLOT_SIZE / 4);
  }

  get arena(): Arena {
    if (this.#closed) throw closedError();
    return this.#arena;
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    // Short enough for V8 to compile it into its callers, hence the literal word numbers: word 2n and 2n + 1 are op for
    // n = 0, argument n for 1 to 5, the result for 6. As a call of its own it would cost more than all it does.
    if (this.#closed) throw closedError();
    const words = this.#words;
    words[0] = op;
    words[1] = 0;
    words[2] = a1;
    words[3] = a1 / 0x1_0000_0000;
    words[4] = a2;
    words[5] = a2 / 0x1_0000_0000;
    words[6] = a3;
    words[7] = a3 / 0x1_0000_0000;
    words[8] = a4;
    words[9] = a4 / 0x1_0000_0000;
    words[10] = a5;
    words[11] = a5 / 0x1_0000_0000;
    this.#issue();
    const low = words[12] as number;
    const high = words[13] as number;
    return high === low >> 31 ? low : high * 0x1_0000_0000 + (low >>> 0);
  }

  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    this.hypercall(op, a1, a2, a3, a4, a5);
    return this.#arena.view.getBigInt64(RESULT_OFFSET, true);
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

  mapResource(domid: number, type: number, id: number, frame: number, count: number, prot: number): ForeignMapping {
    if (this.#closed) throw closedError();
    checkResource(domid, type, id);
    checkResourceFrames(frame, count);
    checkProt(prot);
    const mapped = this.#native.mapResource(domid, type, id, frame, count, prot);
    if (typeof mapped === 'number') throw resourceError('mapResource', mapped, domid);
    return new FrameMapping(new Uint8Array(mapped.buffer), new Int32Array(count), () => this.#native.unmap(mapped.id));
  }

  resourceSize(domid: number, type: number, id: number): number {
    if (this.#closed) throw closedError();
    checkResource(domid, type, id);
    return this.#native.resourceSize(domid, type, id);
  }

  dmOp(domid: number, buffers: readonly Uint8Array[]): number {
    if (this.#closed) throw closedError();
    checkDmOp(domid, buffers);
    return this.#native.dmOp(domid, ...buffers);
  }

  eventChannels(same?: EventDescriptors): EventChannels {
    if (this.#closed) throw closedError();
    const channels = new PrivcmdEventChannels(this.#addon, same, () => this.#opened.delete(channels));
    this.#opened.add(channels);
    return channels;
  }

  grantTable(): GrantTable {
    if (this.#closed) throw closedError();
    const table = new PrivcmdGrantTable(this.#addon.openGrants(), () => this.#opened.delete(table));
    this.#opened.add(table);
    return table;
  }

  pciConfig(sbdf: number): Uint8Array | null {
    return sysfsPciConfig(sbdf);
  }

  restrict(domid: number): void {
    if (this.#closed) throw closedError();
    checkDomid(domid);
    const rc = this.#native.restrict(domid);
    if (rc < 0) throw new XenError('restrict', rc, { domid });
  }

  close(): void {
    this.#closed = true;
    for (const opened of this.#opened) opened.close();
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
