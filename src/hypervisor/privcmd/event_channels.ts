/** Event channels through Linux's `/dev/xen/evtchn` and the native addon. */

import { errno, errnoName } from '../../abi/errno.js';
import type { Addon, NativeEvtchn } from '../../native/addon.js';
import { checkDomid, checkS32, checkU32 } from '../check.js';
import { XenError } from '../error.js';
import type { EventChannels, EventDescriptors, PortListener } from '../event_channels.js';
import { refusal } from './device.js';

/** Where Linux has the device. */
export const EVTCHN_NODE = '/dev/xen/evtchn';

export class PrivcmdEventChannels implements EventChannels {
  readonly #native: NativeEvtchn;
  readonly #closing: () => void;
  #closed = false;

  /**
   * @param closing called when it closes
   * @throws XenError
   */
  constructor(addon: Addon, same: EventDescriptors | undefined, closing: () => void) {
    const native = same === undefined ? addon.openEvtchn(null) : openAgain(addon, same);
    if (typeof native === 'number') throw openError(native, same);
    this.#native = native;
    this.#closing = closing;
  }

  get fd(): number {
    return this.#open.fd;
  }

  get wakeFd(): number {
    return this.#open.wakeFd;
  }

  bindVirq(virq: number): number {
    checkU32(virq, 'virq');
    return this.#open.bindVirq(virq);
  }

  bindInterdomain(domid: number, remotePort: number): number {
    checkDomid(domid);
    checkU32(remotePort, 'remotePort');
    return this.#open.bindInterdomain(domid, remotePort);
  }

  bindUnbound(domid: number): number {
    checkDomid(domid);
    return this.#open.bindUnbound(domid);
  }

  unbind(port: number): number {
    checkU32(port, 'port');
    return this.#open.unbind(port);
  }

  notify(port: number): number {
    checkU32(port, 'port');
    return this.#open.notify(port);
  }

  pending(): number {
    return this.#open.pending();
  }

  unmask(port: number): number {
    checkU32(port, 'port');
    return this.#open.unmask(port);
  }

  restrict(domid: number): number {
    checkDomid(domid);
    return this.#open.restrict(domid);
  }

  wait(timeoutMs: number): number {
    const native = this.#open;
    const rc = waitInSlices(timeoutMs, (slice) => native.wait(slice));
    return rc > PENDING ? 0 : rc;
  }

  next(timeoutMs: number, notify = 0): number {
    const native = this.#open;
    checkU32(notify, 'notify');
    const rc = waitInSlices(timeoutMs, (slice) => {
      const port = native.next(slice, notify);
      notify = 0;
      return port;
    });
    return rc === WOKEN ? 0 : rc;
  }

  wake(): void {
    this.#open.wake();
  }

  onPending(listener: (() => void) | null): void {
    checkListener(listener);
    // by way of this object, so that what has a listener is not collected
    const rc = this.#open.onPending(listener === null ? null : () => this.#closed || listener());
    if (rc < 0) throw new XenError('onPending', rc);
  }

  onPort(listener: PortListener | null): void {
    const native = this.#open;
    checkListener(listener);
    const rc = native.onPort(listener && ((port) => (this.#closed ? undefined : listener(port))));
    if (rc < 0) throw new XenError('onPort', rc);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    this.#closing();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #open(): NativeEvtchn {
    if (this.#closed) throw new TypeError('these event channels are closed');
    return this.#native;
  }
}

function openAgain(addon: Addon, { fd, wakeFd }: EventDescriptors): NativeEvtchn | number {
  checkDescriptors({ fd, wakeFd });
  return addon.openEvtchn(fd, wakeFd < 0 ? null : wakeFd);
}

/** Checks descriptors as they come from another thread. */
export function checkDescriptors({ fd, wakeFd }: EventDescriptors): void {
  checkS32(fd, 'fd');
  checkS32(wakeFd, 'wakeFd');
  if (fd < 0) throw new RangeError(`fd must be a descriptor of ${EVTCHN_NODE}, not ${fd}`);
}

export function checkListener(listener: unknown): void {
  if (listener === null || typeof listener === 'function') return;
  throw new TypeError(`listener must be a function or null, not ${typeof listener}`);
}

export function openError(rc: number, same?: EventDescriptors): XenError {
  if (same === undefined) return new XenError('eventChannels', rc, { hint: refusal(EVTCHN_NODE, errnoName(rc)) });
  const hint =
    rc === -errno.ENOTTY
      ? `descriptor ${same.fd} is not ${EVTCHN_NODE}`
      : rc === -errno.EBADF
        ? 'the set was closed meanwhile, or the numbers are of another process'
        : undefined;
  return new XenError('eventChannels', rc, { hint });
}

/** What waiting gives besides 0, an errno and more when it was woken; what taking a port gives when that was woken. */
const PENDING = 1;
const WOKEN = 2 ** 32;

/** A thread that blocks in the kernel can neither be terminated nor let the process exit; back in JavaScript it can. */
const LONGEST_SLICE = 250;

/**
 * Waits, a slice at a time.
 *
 * @param wait waits so many milliseconds; 0: the time is over
 * @returns what `wait` gave last
 */
export function waitInSlices(timeoutMs: number, wait: (ms: number) => number): number {
  checkS32(timeoutMs, 'timeoutMs');
  let left = timeoutMs < 0 ? Number.POSITIVE_INFINITY : timeoutMs;
  for (;;) {
    const slice = Math.min(left, LONGEST_SLICE);
    const rc = wait(slice);
    if (rc !== 0) return rc;
    left -= slice;
    if (left <= 0) return 0;
  }
}
