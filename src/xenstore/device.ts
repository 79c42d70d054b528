/** Xenstore's device, which leads to the daemon in whatever domain it runs. */

import { errno } from '../abi/errno.js';
import { loadAddon } from '../native/load.js';
import type { NativeXenbus } from '../native/xenbus.js';
import { XenstoreError } from './error.js';
import type { TransportListener, XenstoreTransport } from './transport.js';

/** Room for a message and more. */
const PIECE = 8192;

/** Pieces that are taken before others get their turn. */
const TURN = 16;

/**
 * @throws XenstoreError ENOENT: no such device; EACCES: it is root's; ENOSYS: there is no native addon, without which
 *   Node cannot wait for a device
 */
export function openDevice(path: string): XenstoreTransport {
  const loaded = loadAddon();
  if (loaded.addon === null) throw new XenstoreError('open', 'ENOSYS', { path, hint: loaded.reason });
  const native = loaded.addon.openXenbus(path);
  if (typeof native === 'number') throw XenstoreError.of('open', native, { path, hint: deviceHint(native) });
  return new DeviceTransport(path, native);
}

class DeviceTransport implements XenstoreTransport {
  readonly name: string;
  /**
   * Linux's driver keeps what is written in one buffer per open file, from which its thread sends it later: the next
   * request would be written over it, and be sent twice while the first is lost (seen with Linux 6.1).
   */
  readonly oneAtATime = true;
  readonly #native: NativeXenbus;
  readonly #piece = new Uint8Array(PIECE);
  #listener: TransportListener | null = null;

  constructor(path: string, native: NativeXenbus) {
    this.name = path;
    this.#native = native;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
    const rc = this.#native.onReadable(() => this.#readable());
    if (rc < 0) this.#end(XenstoreError.of('poll', rc, { path: this.name }));
  }

  send(message: Uint8Array): void {
    const rc = this.#native.write(message);
    if (rc === message.length) return;
    // not from here: whoever sends does not expect to be told of the end meanwhile
    const error = XenstoreError.of('send', rc < 0 ? rc : errno.EIO, { path: this.name });
    setImmediate(() => this.#end(error));
  }

  close(): void {
    this.#listener = null;
    this.#native.close();
  }

  #readable(): void {
    for (let i = 0; i < TURN && this.#listener; i++) {
      const size = this.#native.read(this.#piece);
      if (size === -errno.EAGAIN || size === -errno.EINTR) return;
      if (size <= 0) {
        this.#end(size < 0 ? XenstoreError.of('receive', size, { path: this.name }) : null);
        return;
      }
      this.#listener.received(this.#piece.subarray(0, size));
    }
  }

  #end(error: Error | null): void {
    const listener = this.#listener;
    this.close();
    listener?.ended(error);
  }
}

function deviceHint(rc: number): string | undefined {
  switch (rc) {
    case -errno.ENOENT:
    case -errno.ENODEV:
    case -errno.ENXIO:
      return 'run on a Xen dom0, with the module loaded (modprobe xenfs)';
    case -errno.EACCES:
    case -errno.EPERM:
      return 'run as root (sudo)';
    default:
      return undefined;
  }
}
