/** Xen's libraries, as far as they are used. Declarations as in xencall.h and xenforeignmemory.h. */

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
  };
}

function library(ffi: Ffi, name: string): FfiLibrary {
  try {
    return ffi.load(name);
  } catch (error) {
    const what = 'Debian: apt install libxencall1 libxenforeignmemory1; Fedora: dnf install xen-libs';
    throw new Error(`${name} does not load (${firstLine(error)}); install Xen's libraries (${what})`);
  }
}
