/** Xen's libraries, as far as they are used. Declarations as in their headers: xencall.h, xenforeignmemory.h ... */

import { type CFunction, type Ffi, type FfiLibrary, firstLine, loadFfi } from './ffi.js';

export interface Libraries {
  readonly ffi: Ffi;
  readonly xencall_open: CFunction;
  readonly xencall_close: CFunction;
  readonly xencall_fd: CFunction;
  readonly xencall5: CFunction;
  readonly xencall_alloc_buffer_pages: CFunction;
  readonly xencall_free_buffer_pages: CFunction;
  readonly xenforeignmemory_open: CFunction;
  readonly xenforeignmemory_close: CFunction;
  readonly xenforeignmemory_map2: CFunction;
  readonly xenforeignmemory_unmap: CFunction;
  readonly xenforeignmemory_restrict: CFunction;
  /** libc's `syscall`, with as many arguments as ioctl(2) has. */
  readonly ioctl: CFunction;
  /** This thread's `errno`. */
  readonly errno: Int32Array;
  /** Libraries and functions that not every call needs; each throws Error with what to install. */
  readonly resources: () => ResourceFunctions;
  readonly evtchn: () => EvtchnFunctions;
  readonly gnttab: () => GnttabFunctions;
}

/** Of libxenforeignmemory 1.3 (Xen 4.11) and 1.4 (Xen 4.16). */
export interface ResourceFunctions {
  readonly xenforeignmemory_map_resource: CFunction;
  readonly xenforeignmemory_unmap_resource: CFunction;
  readonly xenforeignmemory_resource_size: CFunction;
}

/** libxenevtchn, and what of libc goes with it. */
export interface EvtchnFunctions {
  readonly xenevtchn_open: CFunction;
  readonly xenevtchn_fdopen: CFunction;
  readonly xenevtchn_close: CFunction;
  readonly xenevtchn_fd: CFunction;
  readonly xenevtchn_notify: CFunction;
  readonly xenevtchn_bind_unbound_port: CFunction;
  readonly xenevtchn_bind_interdomain: CFunction;
  readonly xenevtchn_bind_virq: CFunction;
  readonly xenevtchn_unbind: CFunction;
  readonly xenevtchn_pending: CFunction;
  readonly xenevtchn_unmask: CFunction;
  readonly xenevtchn_restrict: CFunction;
  readonly fcntl: CFunction;
  readonly eventfd: CFunction;
  readonly poll: CFunction;
  readonly read: CFunction;
  readonly write: CFunction;
  readonly close: CFunction;
}

/** libxengnttab: both of its halves. */
export interface GnttabFunctions {
  readonly xengnttab_open: CFunction;
  readonly xengnttab_close: CFunction;
  readonly xengnttab_map_domain_grant_refs: CFunction;
  readonly xengnttab_unmap: CFunction;
  readonly xengntshr_open: CFunction;
  readonly xengntshr_close: CFunction;
  readonly xengntshr_share_pages: CFunction;
  readonly xengntshr_unshare: CFunction;
}

let loaded: Libraries | undefined;

/**
 * Loads the libraries; once.
 *
 * @throws Error with what to install
 */
export function loadLibraries(): Libraries {
  loaded ??= declareLibraries(loadFfi());
  return loaded;
}

/**
 * Loads the libraries by an interface.
 *
 * @internal
 */
export function declareLibraries(ffi: Ffi): Libraries {
  const call = library(ffi, 'libxencall.so.1');
  const memory = library(ffi, 'libxenforeignmemory.so.1');
  const libc = ffi.load(null);
  const errno = libc.declare('__errno_location', 'address', []);
  const { buffer, byteOffset } = ffi.view(Number(errno()), 4);
  return {
    ffi,
    xencall_open: call.declare('xencall_open', 'address', ['address', 'u32']),
    xencall_close: call.declare('xencall_close', 'int', ['address']),
    xencall_fd: call.declare('xencall_fd', 'int', ['address']),
    xencall5: call.declare('xencall5', 'int', ['address', 'u32', 'u64', 'u64', 'u64', 'u64', 'u64']),
    xencall_alloc_buffer_pages: call.declare('xencall_alloc_buffer_pages', 'address', ['address', 'address']),
    xencall_free_buffer_pages: call.declare('xencall_free_buffer_pages', 'int', ['address', 'address', 'address']),
    xenforeignmemory_open: memory.declare('xenforeignmemory_open', 'address', ['address', 'u32']),
    xenforeignmemory_close: memory.declare('xenforeignmemory_close', 'int', ['address']),
    xenforeignmemory_map2: memory.declare('xenforeignmemory_map2', 'address', [
      ...(['address', 'u32', 'address', 'int', 'int', 'address', 'array', 'array'] as const),
    ]),
    xenforeignmemory_unmap: memory.declare('xenforeignmemory_unmap', 'int', ['address', 'address', 'address']),
    xenforeignmemory_restrict: memory.declare('xenforeignmemory_restrict', 'int', ['address', 'u16']),
    ioctl: libc.declare('syscall', 'long', ['long', 'long', 'long', 'address']),
    errno: new Int32Array(buffer, byteOffset, 1),
    resources: once(() => declareResources(memory)),
    evtchn: once(() => declareEvtchn(library(ffi, 'libxenevtchn.so.1'), libc)),
    gnttab: once(() => declareGnttab(library(ffi, 'libxengnttab.so.1'))),
  };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function declareResources(memory: FfiLibrary): ResourceFunctions {
  return {
    xenforeignmemory_map_resource: memory.declare('xenforeignmemory_map_resource', 'address', [
      ...(['address', 'u16', 'u32', 'u32', 'u64', 'u64', 'array', 'int', 'int'] as const),
    ]),
    xenforeignmemory_unmap_resource: memory.declare('xenforeignmemory_unmap_resource', 'int', ['address', 'address']),
    xenforeignmemory_resource_size: memory.declare('xenforeignmemory_resource_size', 'int', [
      ...(['address', 'u16', 'u32', 'u32', 'array'] as const),
    ]),
  };
}

function declareEvtchn(evtchn: FfiLibrary, libc: FfiLibrary): EvtchnFunctions {
  return {
    xenevtchn_open: evtchn.declare('xenevtchn_open', 'address', ['address', 'u32']),
    xenevtchn_fdopen: evtchn.declare('xenevtchn_fdopen', 'address', ['address', 'int', 'u32']),
    xenevtchn_close: evtchn.declare('xenevtchn_close', 'int', ['address']),
    xenevtchn_fd: evtchn.declare('xenevtchn_fd', 'int', ['address']),
    xenevtchn_notify: evtchn.declare('xenevtchn_notify', 'int', ['address', 'u32']),
    xenevtchn_bind_unbound_port: evtchn.declare('xenevtchn_bind_unbound_port', 'int', ['address', 'u32']),
    xenevtchn_bind_interdomain: evtchn.declare('xenevtchn_bind_interdomain', 'int', ['address', 'u32', 'u32']),
    xenevtchn_bind_virq: evtchn.declare('xenevtchn_bind_virq', 'int', ['address', 'u32']),
    xenevtchn_unbind: evtchn.declare('xenevtchn_unbind', 'int', ['address', 'u32']),
    xenevtchn_pending: evtchn.declare('xenevtchn_pending', 'int', ['address']),
    xenevtchn_unmask: evtchn.declare('xenevtchn_unmask', 'int', ['address', 'u32']),
    xenevtchn_restrict: evtchn.declare('xenevtchn_restrict', 'int', ['address', 'u16']),
    fcntl: libc.declare('fcntl', 'int', ['int', 'int', 'long']),
    eventfd: libc.declare('eventfd', 'int', ['u32', 'int']),
    poll: libc.declare('poll', 'int', ['array', 'u64', 'int']),
    read: libc.declare('read', 'long', ['int', 'array', 'u64']),
    write: libc.declare('write', 'long', ['int', 'array', 'u64']),
    close: libc.declare('close', 'int', ['int']),
  };
}

function declareGnttab(gnttab: FfiLibrary): GnttabFunctions {
  return {
    xengnttab_open: gnttab.declare('xengnttab_open', 'address', ['address', 'u32']),
    xengnttab_close: gnttab.declare('xengnttab_close', 'int', ['address']),
    xengnttab_map_domain_grant_refs: gnttab.declare('xengnttab_map_domain_grant_refs', 'address', [
      ...(['address', 'u32', 'u32', 'array', 'int'] as const),
    ]),
    xengnttab_unmap: gnttab.declare('xengnttab_unmap', 'int', ['address', 'address', 'u32']),
    xengntshr_open: gnttab.declare('xengntshr_open', 'address', ['address', 'u32']),
    xengntshr_close: gnttab.declare('xengntshr_close', 'int', ['address']),
    xengntshr_share_pages: gnttab.declare('xengntshr_share_pages', 'address', [
      ...(['address', 'u32', 'int', 'array', 'int'] as const),
    ]),
    xengntshr_unshare: gnttab.declare('xengntshr_unshare', 'int', ['address', 'address', 'u32']),
  };
}

function library(ffi: Ffi, name: string): FfiLibrary {
  try {
    return ffi.load(name);
  } catch (error) {
    const packages = 'libxencall1 libxenforeignmemory1 libxenevtchn1 libxengnttab1';
    const what = `Debian: apt install ${packages}; Fedora: dnf install xen-libs`;
    throw new Error(`${name} does not load (${firstLine(error)}); install Xen's libraries (${what})`);
  }
}
