/**
 * OpenXT's Linux driver for Argo: /dev/argo_dgram and /dev/argo_stream, by ioctl. Where it is loaded it owns VIRQ_ARGO and
 * the domain's rings, so programs must go through it.
 *
 * Source of the interface: `argo_dev.h` and the module of OpenXT's linux-xen-argo.
 */

import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { errno } from '../abi/errno.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import { XenError } from '../hypervisor/error.js';
import { loadFfi } from '../hypervisor/libxen/ffi.js';

export const DGRAM_DEVICE = '/dev/argo_dgram';
export const STREAM_DEVICE = '/dev/argo_stream';

/** `_IOW('W', number, size)`: the driver declares even those that read so. */
function request(number: number, size: number): number {
  return 0x4000_0000 + size * 0x1_0000 + 0x5700 + number;
}

const SET_RING_SIZE = request(1, 4);
const BIND = request(2, 8);
const CONNECT = request(5, 8);
const GET_CONNECT_ERROR = request(6, 4);
const LISTEN = request(7, 4);
const ACCEPT = request(8, 8);
const SEND = request(9, 32);
const RECEIVE = request(10, 32);

const DOMID_ANY = 0x7ff4;
const MSG_NOSIGNAL = 0x4000;
const F_SETFL = 4;

/** A descriptor, `struct argo_dev {buf, len, flags, addr}`, an address; then the message. */
const DEV = 0;
const ADDRESS = 32;
const BUFFER = 64;
/** Bytes of the longest message that goes through here. */
export const MAX_DEVICE_MESSAGE = 0x1_0000;

/** What it takes of the system; tests put something else in its place. */
export interface DeviceCalls {
  exists(path: string): boolean;
  /** A descriptor whose calls do not wait, or -errno. */
  open(path: string): number;
  /** Makes a descriptor's calls not wait. */
  dontWait(fd: number): void;
  /** The result, or -errno. */
  ioctl(fd: number, request: number, address: number): number;
  close(fd: number): void;
  /** Memory that C can reach. */
  allocate(size: number): { readonly address: number; readonly bytes: Uint8Array; free(): void };
}

let system: DeviceCalls | null = null;

/** The system's own. @throws Error where no foreign function interface is installed */
function systemCalls(): DeviceCalls {
  if (system) return system;
  const ffi = loadFfi();
  const libc = ffi.load(null);
  const ioctl = libc.declare('ioctl', 'int', ['int', 'u64', 'address']);
  const fcntl = libc.declare('fcntl', 'int', ['int', 'int', 'long']);
  const malloc = libc.declare('malloc', 'address', ['u64']);
  const free = libc.declare('free', 'int', ['address']);
  const location = libc.declare('__errno_location', 'address', []);
  const error = ffi.view(Number(location()), 4);
  const dontWait = (fd: number): void => {
    fcntl(fd, F_SETFL, constants.O_NONBLOCK);
  };
  system = {
    exists: existsSync,
    dontWait,
    open(path) {
      try {
        const fd = openSync(path, constants.O_RDWR);
        dontWait(fd); // the driver forgets the flag of open(2)
        return fd;
      } catch (cause) {
        return (cause as NodeJS.ErrnoException).errno ?? -errno.EIO;
      }
    },
    ioctl(fd, number, address) {
      const rc = Number(ioctl(fd, number, address));
      return rc === -1 ? -new DataView(error.buffer, error.byteOffset).getInt32(0, true) : rc;
    },
    close: closeSync,
    allocate(size) {
      const address = Number(malloc(size));
      if (address === 0) throw new XenError('argo device', -errno.ENOMEM);
      return { address, bytes: ffi.view(address, size), free: () => void free(address) };
    },
  };
  return system;
}

/** Which of the driver's devices this machine has. */
export function openxtArgo(exists: (path: string) => boolean = existsSync): { dgram: boolean; stream: boolean } {
  return { dgram: exists(DGRAM_DEVICE), stream: exists(STREAM_DEVICE) };
}

/** One open device. Its calls do not wait: what would is -EAGAIN. */
export class ArgoDevice implements Disposable {
  readonly #calls: DeviceCalls;
  readonly #fd: number;
  readonly #memory: ReturnType<DeviceCalls['allocate']>;
  readonly #view: DataView;
  #closed = false;

  /** @throws XenError when it cannot be opened */
  constructor(path: string, calls: DeviceCalls = systemCalls(), accepted?: number) {
    this.#calls = calls;
    this.#fd = accepted ?? calls.open(path);
    if (this.#fd < 0) throw new XenError(path, this.#fd);
    this.#memory = calls.allocate(BUFFER + MAX_DEVICE_MESSAGE);
    const { bytes } = this.#memory;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes of the ring that {@link bind} makes. */
  setRingSize(bytes: number): number {
    this.#view.setUint32(ADDRESS, bytes, true);
    return this.#ioctl(SET_RING_SIZE, ADDRESS);
  }

  /** @param partner whose messages are taken; absent: anybody's */
  bind(port: number, partner = DOMID_ANY): number {
    this.#view.setUint16(ADDRESS, DOMID_ANY, true);
    this.#view.setUint16(ADDRESS + 2, partner, true);
    this.#view.setUint32(ADDRESS + 4, port, true);
    return this.#ioctl(BIND, ADDRESS);
  }

  /** -EINPROGRESS (115): ask again. */
  connect(to: V4vAddr): number {
    this.#putAddress(to);
    return this.#ioctl(CONNECT, ADDRESS);
  }

  /** Why a connection was not to be had: -errno, or 0. */
  connectError(): number {
    const rc = this.#ioctl(GET_CONNECT_ERROR, ADDRESS);
    return rc < 0 ? rc : this.#view.getInt32(ADDRESS, true);
  }

  listen(): number {
    return this.#ioctl(LISTEN, ADDRESS);
  }

  /** A connection, or -errno. */
  accept(): ArgoDevice | number {
    const fd = this.#ioctl(ACCEPT, ADDRESS);
    if (fd < 0) return fd;
    this.#calls.dontWait(fd);
    return new ArgoDevice(STREAM_DEVICE, this.#calls, fd);
  }

  /** @param to absent: where it is connected to */
  send(bytes: Uint8Array, to: V4vAddr | null): number {
    if (bytes.length > MAX_DEVICE_MESSAGE) return -errno.EMSGSIZE;
    this.#memory.bytes.set(bytes, BUFFER);
    if (to) this.#putAddress(to);
    this.#descriptor(bytes.length, to !== null);
    return this.#ioctl(SEND, DEV);
  }

  /** What came, and from where, or -errno. */
  receive(): { readonly payload: Uint8Array; readonly source: V4vAddr } | number {
    this.#view.setBigUint64(ADDRESS, 0n, true);
    this.#descriptor(MAX_DEVICE_MESSAGE, true);
    const length = this.#ioctl(RECEIVE, DEV);
    if (length < 0) return length;
    const payload = this.#memory.bytes.slice(BUFFER, BUFFER + length);
    return {
      payload,
      source: { port: this.#view.getUint32(ADDRESS, true), domain: this.#view.getUint16(ADDRESS + 4, true) },
    };
  }

  /** Twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#calls.close(this.#fd);
    this.#memory.free();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #putAddress({ port, domain }: V4vAddr): void {
    this.#view.setUint32(ADDRESS, port, true);
    this.#view.setUint32(ADDRESS + 4, domain, true); // and the pad
  }

  #descriptor(length: number, addressed: boolean): void {
    const { address } = this.#memory;
    this.#view.setBigUint64(DEV, BigInt(address + BUFFER), true);
    this.#view.setBigUint64(DEV + 8, BigInt(length), true);
    this.#view.setBigUint64(DEV + 16, BigInt(MSG_NOSIGNAL), true);
    this.#view.setBigUint64(DEV + 24, addressed ? BigInt(address + ADDRESS) : 0n, true);
  }

  #ioctl(number: number, offset: number): number {
    if (this.#closed) return -errno.EBADF;
    return this.#calls.ioctl(this.#fd, number, this.#memory.address + offset);
  }
}
