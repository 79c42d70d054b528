/** A real Xen, through the distribution's own libxencall and libxenforeignmemory. */

import { __HYPERVISOR_memory_op } from '../../abi/xen.js';
import { Arena, SLOT_OFFSET } from '../arena.js';
import { checkDomid, putU64 } from '../check.js';
import { BackendUnavailableError, XenError } from '../error.js';
import type { ForeignMapping, Hypervisor } from '../port.js';
import { checkProt, encodeFrames, FrameMapping, throwIfNone } from '../privcmd/frames.js';
import { detach } from './detach.js';
import { firstLine } from './ffi.js';
import { type Libraries, loadLibraries } from './libraries.js';

const ARENA_PAGES = 64;
const PAGE_SIZE = 4096;
/** xencall_open: this thread alone uses the handle, no lock is needed. */
const XENCALL_OPENFLAG_NON_REENTRANT = 1;
const SYS_ioctl = process.arch === 'arm64' ? 29 : 16;
const IOCTL_PRIVCMD_HYPERCALL = 0x0030_5000;
const IOCTL_PRIVCMD_RESTRICT = 0x0002_5006;

/** Arenas of closed handles, where memory cannot be shown again once it was detached: the next handle takes one. */
const spareArenas: Arena[] = [];

/** Where mappings are put when no address may be used twice: far from all that Linux maps by itself. */
let nextAddress = 0x2000_0000_0000;

export class LibxenHypervisor implements Hypervisor {
  readonly kind = 'libxen';
  readonly #lib: Libraries;
  readonly #call: number;
  readonly #memory: number;
  readonly #fd: number;
  readonly #arena: Arena;
  /** What unmaps the mappings that are open. */
  readonly #mappings = new Set<() => void>();
  #closed = false;

  /** @throws BackendUnavailableError with the reason and what mends it */
  constructor() {
    this.#lib = libraries();
    const lib = this.#lib;
    this.#call = Number(lib.xencall_open(0, XENCALL_OPENFLAG_NON_REENTRANT));
    if (this.#call === 0) throw openError('xencall_open', lib);
    this.#fd = Number(lib.xencall_fd(this.#call));
    this.#memory = Number(lib.xenforeignmemory_open(0, 0));
    const arena = this.#memory === 0 ? null : this.#makeArena();
    if (arena === null) {
      const error = openError(this.#memory === 0 ? 'xenforeignmemory_open' : 'xencall_alloc_buffer_pages', lib);
      this.#closeHandles();
      throw error;
    }
    this.#arena = arena;
  }

  #makeArena(): Arena | null {
    const { ffi, xencall_alloc_buffer_pages } = this.#lib;
    const size = ARENA_PAGES * PAGE_SIZE;
    const base = spareArenas.pop()?.base ?? Number(xencall_alloc_buffer_pages(this.#call, ARENA_PAGES));
    if (base === 0) return null;
    const arena = new Arena(ffi.view(base, size).buffer as ArrayBuffer, base, size);
    arena.bytes.fill(0);
    return arena;
  }

  #freeArena(): void {
    if (!this.#lib.ffi.showsAgain) {
      spareArenas.push(this.#arena);
      return;
    }
    detach(this.#arena.bytes.buffer as ArrayBuffer);
    this.#lib.xencall_free_buffer_pages(this.#call, this.#arena.base, ARENA_PAGES);
  }

  get arena(): Arena {
    this.#checkOpen();
    return this.#arena;
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    // the only hypercall whose results can be more than an int, which is all that xencall5 gives
    if (op === __HYPERVISOR_memory_op) return Number(this.hypercall64(op, a1, a2, a3, a4, a5));
    this.#checkOpen();
    const rc = Number(this.#lib.xencall5(this.#call, op, a1, a2, a3, a4, a5));
    return rc === -1 ? this.#lastError() : rc;
  }

  /**
   * libxencall's own function for long results, xencall2L, goes through glibc's ioctl, which cuts them to 32 bits. So
   * the ioctl is made here, on libxencall's descriptor.
   */
  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    this.#checkOpen();
    const { view } = this.#arena;
    [op, a1, a2, a3, a4, a5].forEach((word, i) => {
      putU64(view, SLOT_OFFSET + i * 8, word);
    });
    return BigInt(this.#ioctl(IOCTL_PRIVCMD_HYPERCALL, this.#arena.base + SLOT_OFFSET));
  }

  /**
   * Runs on this thread after all: a failed call leaves its reason in the errno of the thread it ran on, and of another
   * thread no foreign function interface can tell it.
   */
  async hypercallAsync(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Promise<number> {
    return this.hypercall(op, a1, a2, a3, a4, a5);
  }

  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping {
    this.#checkOpen();
    checkDomid(domid);
    checkProt(prot);
    const frames = encodeFrames(gfns);
    const errors = new Int32Array(gfns.length);
    const size = gfns.length * PAGE_SIZE;
    const { ffi, xenforeignmemory_map2 } = this.#lib;
    const address = Number(
      xenforeignmemory_map2(this.#memory, domid, this.#placeFor(size), prot, 0, gfns.length, frames, errors),
    );
    if (address === 0) throw new XenError('mapForeign', this.#lastError(), { domid });
    const bytes = ffi.view(address, size);
    const unmap = (): void => {
      if (!this.#mappings.delete(unmap)) return;
      detach(bytes.buffer as ArrayBuffer);
      this.#lib.xenforeignmemory_unmap(this.#memory, address, gfns.length);
    };
    this.#mappings.add(unmap);
    const mapping = new FrameMapping(bytes, errors, unmap);
    throwIfNone(mapping, domid);
    return mapping;
  }

  #placeFor(size: number): number {
    if (this.#lib.ffi.showsAgain) return 0;
    const place = nextAddress;
    nextAddress += size;
    return place;
  }

  mapResource(): ForeignMapping {
    throw new Error('mapResource: not yet');
  }

  resourceSize(): number {
    throw new Error('resourceSize: not yet');
  }

  dmOp(): number {
    throw new Error('dmOp: not yet');
  }

  eventChannels(): never {
    throw new Error('eventChannels: not yet');
  }

  grantTable(): never {
    throw new Error('grantTable: not yet');
  }

  restrict(domid: number): void {
    this.#checkOpen();
    checkDomid(domid);
    this.#arena.view.setUint16(SLOT_OFFSET, domid, true);
    let rc = Number(this.#ioctl(IOCTL_PRIVCMD_RESTRICT, this.#arena.base + SLOT_OFFSET));
    if (rc === 0 && Number(this.#lib.xenforeignmemory_restrict(this.#memory, domid)) !== 0) rc = this.#lastError();
    if (rc < 0) throw new XenError('restrict', rc, { domid });
  }

  /** ioctl(2) on libxencall's descriptor: the result, or -errno. */
  #ioctl(request: number, argument: number): number | bigint {
    const result = this.#lib.ioctl(SYS_ioctl, this.#fd, request, argument);
    return result === -1 ? this.#lastError() : result;
  }

  #lastError(): number {
    return -(this.#lib.errno[0] as number);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const unmap of [...this.#mappings]) unmap();
    this.#freeArena();
    this.#closeHandles();
  }

  #closeHandles(): void {
    if (this.#memory !== 0) this.#lib.xenforeignmemory_close(this.#memory);
    this.#lib.xencall_close(this.#call);
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function libraries(): Libraries {
  try {
    return loadLibraries();
  } catch (error) {
    throw new BackendUnavailableError('libxen', firstLine(error));
  }
}

function openError(call: string, lib: Libraries): BackendUnavailableError {
  const reason = new XenError(call, -(lib.errno[0] as number));
  return new BackendUnavailableError('libxen', `${reason.message}: run as root on a Xen dom0 (modprobe xen-privcmd)`);
}
