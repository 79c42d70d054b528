/**
 * Event channels through the distribution's libxenevtchn. Nobody closes a set that is forgotten, or whose Worker is
 * terminated: it stays open until the process ends.
 */

import { errno } from '../../abi/errno.js';
import { loadAddon } from '../../native/load.js';
import { checkDomid, checkU32 } from '../check.js';
import { XenError } from '../error.js';
import {
  type EventChannels,
  type EventDescriptors,
  nextPort,
  type PortListener,
  takingPorts,
} from '../event_channels.js';
import { checkDescriptors, checkListener, openError, waitInSlices } from '../privcmd/event_channels.js';
import type { EvtchnFunctions, Libraries } from './libraries.js';
import { callByTimer } from './timer_poll.js';

// Linux, asm-generic
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0o4000;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const POLLIN = 1;
/** struct pollfd as two 32-bit words: the descriptor; events in the lower half, revents in the upper. */
const REVENTS = 16;
const WOKEN = 2;

export class LibxenEventChannels implements EventChannels {
  readonly #errno: Int32Array;
  readonly #lib: EvtchnFunctions;
  readonly #closing: () => void;
  readonly #handle: number;
  readonly #fd: number;
  readonly #wakeFd: number;
  #closed = false;
  #stopCalls: (() => void) | null = null;

  /**
   * @param closing called when it closes
   * @throws XenError
   */
  constructor(libraries: Libraries, lib: EvtchnFunctions, same: EventDescriptors | undefined, closing: () => void) {
    this.#errno = libraries.errno;
    this.#lib = lib;
    this.#closing = closing;
    this.#handle = same === undefined ? Number(lib.xenevtchn_open(0, 0)) : this.#openAgain(same);
    if (this.#handle === 0) throw openError(this.#lastError(), same);
    this.#fd = Number(lib.xenevtchn_fd(this.#handle));
    const flags = Number(lib.fcntl(this.#fd, F_GETFL, 0));
    lib.fcntl(this.#fd, F_SETFL, flags | O_NONBLOCK); // wait() blocks, and can be woken
    const { wakeFd = -1 } = same ?? {};
    this.#wakeFd = Number(wakeFd < 0 ? lib.eventfd(0, EFD_CLOEXEC_NONBLOCK) : lib.fcntl(wakeFd, F_DUPFD_CLOEXEC, 0));
    if (this.#wakeFd >= 0) return;
    const rc = this.#lastError();
    lib.xenevtchn_close(this.#handle);
    throw openError(rc, same);
  }

  #openAgain(same: EventDescriptors): number {
    checkDescriptors(same);
    const lib = this.#lib;
    const fd = Number(lib.fcntl(same.fd, F_DUPFD_CLOEXEC, 0)); // the handle closes its own
    if (fd < 0) throw openError(this.#lastError(), same);
    const handle = Number(lib.xenevtchn_fdopen(0, fd, 0));
    if (handle === 0) {
      const rc = this.#lastError();
      lib.close(fd);
      throw openError(rc, same);
    }
    // no device has this port, and only this device has the request
    if (this.#result(lib.xenevtchn_unbind(handle, 0xffff_ffff)) !== -errno.EINVAL) {
      lib.xenevtchn_close(handle);
      throw openError(-errno.ENOTTY, same);
    }
    return handle;
  }

  get fd(): number {
    this.#checkOpen();
    return this.#fd;
  }

  get wakeFd(): number {
    this.#checkOpen();
    return this.#wakeFd;
  }

  bindVirq(virq: number): number {
    this.#checkOpen();
    checkU32(virq, 'virq');
    return this.#result(this.#lib.xenevtchn_bind_virq(this.#handle, virq));
  }

  bindInterdomain(domid: number, remotePort: number): number {
    this.#checkOpen();
    checkDomid(domid);
    checkU32(remotePort, 'remotePort');
    return this.#result(this.#lib.xenevtchn_bind_interdomain(this.#handle, domid, remotePort));
  }

  bindUnbound(domid: number): number {
    this.#checkOpen();
    checkDomid(domid);
    return this.#result(this.#lib.xenevtchn_bind_unbound_port(this.#handle, domid));
  }

  unbind(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    return this.#result(this.#lib.xenevtchn_unbind(this.#handle, port));
  }

  notify(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    return this.#result(this.#lib.xenevtchn_notify(this.#handle, port));
  }

  pending(): number {
    this.#checkOpen();
    return this.#result(this.#lib.xenevtchn_pending(this.#handle));
  }

  unmask(port: number): number {
    this.#checkOpen();
    checkU32(port, 'port');
    return this.#result(this.#lib.xenevtchn_unmask(this.#handle, port));
  }

  restrict(domid: number): number {
    this.#checkOpen();
    checkDomid(domid);
    return this.#result(this.#lib.xenevtchn_restrict(this.#handle, domid));
  }

  wait(timeoutMs: number): number {
    this.#checkOpen();
    const rc = waitInSlices(timeoutMs, (slice) => this.#poll(slice));
    return rc === WOKEN ? 0 : rc;
  }

  next(timeoutMs: number, notify = 0): number {
    return nextPort(this, timeoutMs, notify);
  }

  /** 1: a port is pending; 0: the time is over; {@link WOKEN}; or a negative errno. */
  #poll(ms: number): number {
    const files = Int32Array.of(this.#fd, POLLIN, this.#wakeFd, POLLIN);
    const ready = this.#result(this.#lib.poll(files, 2, ms));
    if (ready <= 0) return ready;
    if ((files[1] as number) >>> REVENTS !== 0) return 1;
    this.#lib.read(this.#wakeFd, new BigUint64Array(1), 8);
    return WOKEN;
  }

  wake(): void {
    this.#checkOpen();
    this.#lib.write(this.#wakeFd, BigUint64Array.of(1n), 8);
  }

  /**
   * No foreign function interface can have Node's event loop look at a descriptor. Where the native addon is to be had,
   * it does; else a timer looks, every millisecond while something happens and every ten while nothing does.
   */
  onPending(listener: (() => void) | null): void {
    this.#checkOpen();
    checkListener(listener);
    this.#stopCalls?.();
    this.#stopCalls = listener && this.#callWhilePending(listener);
  }

  onPort(listener: PortListener | null): void {
    this.#checkOpen();
    checkListener(listener);
    this.onPending(listener && takingPorts(this, listener, () => this.#closed));
  }

  #callWhilePending(listener: () => void): () => void {
    const { addon } = loadAddon();
    const native = addon?.openEvtchn(this.#fd, this.#wakeFd);
    if (native === undefined) return callByTimer(() => this.#pollEvents(), listener);
    const rc = typeof native === 'number' ? native : native.onPending(() => this.#closed || listener());
    if (typeof native === 'number' || rc < 0) throw new XenError('onPending', rc);
    return () => native.close();
  }

  /** Whether a port is pending, and nothing else. */
  #pollEvents(): boolean {
    return Number(this.#lib.poll(Int32Array.of(this.#fd, POLLIN), 1, 0)) === 1;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopCalls?.();
    this.#lib.xenevtchn_close(this.#handle);
    this.#lib.close(this.#wakeFd);
    this.#closing();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #result(rc: number | bigint): number {
    return rc === -1 ? this.#lastError() : Number(rc);
  }

  #lastError(): number {
    return -(this.#errno[0] as number);
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('these event channels are closed');
  }
}
