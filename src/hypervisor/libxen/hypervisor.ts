/** A real Xen, through the distribution's own libxencall and libxenforeignmemory. */

import { errno } from '../../abi/errno.js';
import { __HYPERVISOR_dm_op, __HYPERVISOR_memory_op } from '../../abi/xen.js';
import { Arena, SLOT_OFFSET } from '../arena.js';
import { checkDomid, putU64 } from '../check.js';
import { BackendUnavailableError, XenError } from '../error.js';
import type { EventChannels, EventDescriptors } from '../event_channels.js';
import type { GrantTable } from '../grant_table.js';
import type { ForeignMapping, Hypervisor } from '../port.js';
import {
  checkDmOp,
  checkProt,
  checkResource,
  checkResourceFrames,
  encodeFrames,
  FrameMapping,
  resourceError,
  throwIfNone,
} from '../privcmd/frames.js';
import { sysfsPciConfig } from '../sysfs_pci.js';
import { detach } from './detach.js';
import { LibxenEventChannels } from './event_channels.js';
import { firstLine } from './ffi.js';
import { LibxenGrantTable } from './grant_table.js';
import { type Libraries, loadLibraries } from './libraries.js';

const ARENA_PAGES = 64;
const PAGE_SIZE = 4096;
/** xencall_open: this thread alone uses the handle, no lock is needed. */
const XENCALL_OPENFLAG_NON_REENTRANT = 1;
const SYS_ioctl = process.arch === 'arm64' ? 29 : 16;
const IOCTL_PRIVCMD_HYPERCALL = 0x0030_5000;
const IOCTL_PRIVCMD_RESTRICT = 0x0002_5006;

/** What privcmd's DM_OP takes. */
const MOST_DM_BUFFERS = 16;
const MOST_DM_BYTES = 4096;
/** `struct xen_dm_op_buf`: address and length. */
const DM_BUFFER_SIZE = 16;

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
  /** What closes all that is open: mappings, event channels, grants. */
  readonly #opened = new Set<() => void>();
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
    const unmap = this.#whenClosed(() => {
      detach(bytes.buffer as ArrayBuffer);
      this.#lib.xenforeignmemory_unmap(this.#memory, address, gfns.length);
    });
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

  mapResource(domid: number, type: number, id: number, frame: number, count: number, prot: number): ForeignMapping {
    this.#checkOpen();
    checkResource(domid, type, id);
    checkResourceFrames(frame, count);
    checkProt(prot);
    const { xenforeignmemory_map_resource, xenforeignmemory_unmap_resource } = this.#functions('resources');
    const size = count * PAGE_SIZE;
    const address = BigUint64Array.of(BigInt(this.#placeFor(size)));
    const resource = Number(
      xenforeignmemory_map_resource(this.#memory, domid, type, id, frame, count, address, prot, 0),
    );
    if (resource === 0) throw resourceError('mapResource', this.#lastError(), domid);
    const bytes = this.#lib.ffi.view(Number(address[0]), size);
    const unmap = this.#whenClosed(() => {
      detach(bytes.buffer as ArrayBuffer);
      xenforeignmemory_unmap_resource(this.#memory, resource);
    });
    return new FrameMapping(bytes, new Int32Array(count), unmap);
  }

  resourceSize(domid: number, type: number, id: number): number {
    this.#checkOpen();
    checkResource(domid, type, id);
    const size = new BigUint64Array(1);
    const { xenforeignmemory_resource_size } = this.#functions('resources');
    const rc = Number(xenforeignmemory_resource_size(this.#memory, domid, type, id, size));
    return rc === 0 ? Number(size[0]) / PAGE_SIZE : this.#lastError();
  }

  /**
   * libxendevicemodel has no function for just any operation. So the hypercall is made, as that library itself does on
   * kernels without DM_OP; unlike DM_OP it is refused (-EPERM) once the handle is restricted.
   */
  dmOp(domid: number, buffers: readonly Uint8Array[]): number {
    this.#checkOpen();
    checkDmOp(domid, buffers);
    if (buffers.length > MOST_DM_BUFFERS || buffers.some(({ length }) => length > MOST_DM_BYTES)) return -errno.E2BIG;
    const places = buffers.map(placesInTurn(buffers.length * DM_BUFFER_SIZE));
    const last = places[places.length - 1] as number;
    using piece = this.#arena.alloc(last + MOST_DM_BYTES);
    const words = new DataView(piece.bytes.buffer, piece.bytes.byteOffset);
    for (const [i, buffer] of buffers.entries()) {
      const place = places[i] as number;
      piece.bytes.set(buffer, place);
      putU64(words, i * DM_BUFFER_SIZE, piece.address + place);
      putU64(words, i * DM_BUFFER_SIZE + 8, buffer.length);
    }
    const rc = this.hypercall(__HYPERVISOR_dm_op, domid, buffers.length, piece.address);
    for (const [i, buffer] of buffers.entries()) {
      const place = places[i] as number;
      buffer.set(piece.bytes.subarray(place, place + buffer.length));
    }
    return rc;
  }

  eventChannels(same?: EventDescriptors): EventChannels {
    this.#checkOpen();
    const channels = new LibxenEventChannels(this.#lib, this.#functions('evtchn'), same, () => forget());
    const forget = this.#opens(channels);
    return channels;
  }

  grantTable(): GrantTable {
    this.#checkOpen();
    const table = new LibxenGrantTable(this.#lib, this.#functions('gnttab'), () => forget());
    const forget = this.#opens(table);
    return table;
  }

  /** Remembers what is to be closed with the hypervisor. @returns what forgets it */
  #opens(opened: { close(): void }): () => void {
    const close = (): void => opened.close();
    this.#opened.add(close);
    return () => this.#opened.delete(close);
  }

  /** The same for a function that runs once: when it is called, or when the hypervisor closes. */
  #whenClosed(end: () => void): () => void {
    const once = (): void => {
      if (this.#opened.delete(once)) end();
    };
    this.#opened.add(once);
    return once;
  }

  /** @throws XenError when the library is not there, or has not all of the functions */
  #functions<Name extends 'resources' | 'evtchn' | 'gnttab'>(name: Name): ReturnType<Libraries[Name]> {
    try {
      return this.#lib[name]() as ReturnType<Libraries[Name]>;
    } catch (error) {
      throw new XenError(name, -errno.EOPNOTSUPP, { hint: firstLine(error) });
    }
  }

  pciConfig(sbdf: number): Uint8Array | null {
    return sysfsPciConfig(sbdf);
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
    for (const close of [...this.#opened]) close();
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

/** For a list of buffers: where each goes, one after the other from `first` on, aligned to 16. */
function placesInTurn(first: number): (buffer: Uint8Array) => number {
  let next = first;
  return ({ length }) => {
    const place = next;
    next += Math.ceil(length / 16) * 16;
    return place;
  };
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
