/**
 * Event channels of the caller, as libxenevtchn: its twelve calls under their own names. In a Xen of which the caller is
 * dom0 they go through Linux's `/dev/xen/evtchn`.
 *
 *     using xce = xenevtchn_open(xch);
 *     const port = xenevtchn_bind_virq(xce, VIRQ_DOM_EXC);
 *     while (xce.channels.wait(-1) === 1) {
 *       const pending = xenevtchn_pending(xce);
 *       xenevtchn_unmask(xce, pending);
 *     }
 *
 * What the library leaves to poll(2) on its descriptor is on the handle: `xce.channels.wait()` for a thread that may
 * block, `xce.channels.onPending()` for the event loop. There is no logger and there are no flags: the descriptor is
 * closed when another program is executed.
 *
 * Every call throws TypeError or RangeError for arguments out of range and once the handle is closed, XenError for what
 * Xen or the kernel refuses. Source of the errors: `drivers/xen/evtchn.c` in Linux and, behind it,
 * `xen/common/event_channel.c`.
 */

import { errno } from '../abi/errno.js';
import { checkS32 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels } from '../hypervisor/event_channels.js';
import type { XcInterface } from './interface.js';

/** A set of ports. Make it with {@link xenevtchn_open}; close it, or declare it with `using`. */
export class XenevtchnHandle implements Disposable {
  /** What the calls of this file work on. */
  readonly channels: EventChannels;

  /** @internal */
  constructor(channels: EventChannels) {
    this.channels = channels;
  }

  [Symbol.dispose](): void {
    this.channels.close();
  }
}

/** The result, or the error that it is. */
function checked(call: string, rc: number, details?: { domid?: number; hint?: string | undefined }): number {
  if (rc < 0) throw new XenError(call, rc, details);
  return rc;
}

/** As the call that was made, whatever the port below calls it. */
function named<Result>(call: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    throw new XenError(call, error.errno, { hint: error.hint });
  }
}

/**
 * Opens the event channel device. Mirrors `xenevtchn_open`.
 *
 * @throws XenError `ENOENT`, `EACCES` or `ENODEV`: the device is not there, or not for the caller; the hint says what
 *   mends it
 */
export function xenevtchn_open(xch: XcInterface): XenevtchnHandle {
  const { hypervisor } = xch;
  return named('xenevtchn_open', () => new XenevtchnHandle(hypervisor.eventChannels()));
}

/**
 * A handle on a descriptor that is open: one that this process inherited, or of another thread. The descriptor is
 * duplicated (libxenevtchn takes it over): whoever opened it goes on owning it. It is set not to block. Mirrors
 * `xenevtchn_fdopen`, since libxenevtchn 1.2 (Xen 4.15).
 *
 * @throws XenError `EBADF`: the descriptor is not open; `ENOTTY`: it is no event channel device; `EOPNOTSUPP`: the model
 *   has no descriptors
 */
export function xenevtchn_fdopen(xch: XcInterface, fd: number): XenevtchnHandle {
  checkS32(fd, 'fd');
  const { hypervisor } = xch;
  return named('xenevtchn_fdopen', () => new XenevtchnHandle(hypervisor.eventChannels({ fd, wakeFd: -1 })));
}

/** Unbinds all ports and closes the handle. Twice is harmless. Mirrors `xenevtchn_close`. */
export function xenevtchn_close(xce: XenevtchnHandle): void {
  xce.channels.close();
}

/** The descriptor, for poll(2); -1 on the model, which has none. Do not read from it. Mirrors `xenevtchn_fd`. */
export function xenevtchn_fd(xce: XenevtchnHandle): number {
  return xce.channels.fd;
}

/**
 * From now on only ports of `domid` can be bound, and no virtual interrupts. Mirrors `xenevtchn_restrict`; Linux 4.15.
 *
 * @throws XenError `EACCES`: the handle is restricted already; `EINVAL`: domain 0, or no domain's number
 */
export function xenevtchn_restrict(xce: XenevtchnHandle, domid: number): void {
  checked('xenevtchn_restrict', xce.channels.restrict(domid), { domid });
}

/**
 * Signals the other end of a port. Mirrors `xenevtchn_notify`.
 *
 * @throws XenError `ENOTCONN`: the port was not bound by this handle
 */
export function xenevtchn_notify(xce: XenevtchnHandle, port: number): void {
  checked('xenevtchn_notify', xce.channels.notify(port));
}

/**
 * A new port that `domid` may connect to. Mirrors `xenevtchn_bind_unbound_port`.
 *
 * @returns the port
 * @throws XenError `EACCES`: the handle is restricted to another domain; `ENOSPC`: no port is free
 */
export function xenevtchn_bind_unbound_port(xce: XenevtchnHandle, domid: number): number {
  return checked('xenevtchn_bind_unbound_port', xce.channels.bindUnbound(domid), { domid });
}

/**
 * A new port that is connected to another domain's. It is pending at once, since a signal may have come before. Mirrors
 * `xenevtchn_bind_interdomain`.
 *
 * @param remote_port one that `domid` made for the caller to connect to
 * @returns the port
 * @throws XenError `ESRCH`: no such domain; `EINVAL`: the remote port is not one for the caller, or has been connected;
 *   `EACCES`: the handle is restricted to another domain; `ENOSPC`: no port is free
 */
export function xenevtchn_bind_interdomain(xce: XenevtchnHandle, domid: number, remote_port: number): number {
  return checked('xenevtchn_bind_interdomain', xce.channels.bindInterdomain(domid, remote_port), { domid });
}

/**
 * A new port for a virtual interrupt, on vCPU 0. Mirrors `xenevtchn_bind_virq`.
 *
 * @returns the port
 * @throws XenError `EEXIST`: some program has bound it, and of most there can be only one (xenstored has VIRQ_DOM_EXC in
 *   most dom0s); `EINVAL`: no such interrupt; `EACCES`: the handle is restricted; `ENOSPC`: no port is free
 */
export function xenevtchn_bind_virq(xce: XenevtchnHandle, virq: number): number {
  const rc = xce.channels.bindVirq(virq);
  const hint =
    rc === -errno.EEXIST ? 'another program has bound this interrupt (xenstored has VIRQ_DOM_EXC)' : undefined;
  return checked('xenevtchn_bind_virq', rc, { hint });
}

/**
 * Gives a port up. Mirrors `xenevtchn_unbind`.
 *
 * @throws XenError `ENOTCONN`: the port was not bound by this handle; `EINVAL`: no port has this number
 */
export function xenevtchn_unbind(xce: XenevtchnHandle, port: number): void {
  checked('xenevtchn_unbind', xce.channels.unbind(port));
}

/**
 * The next port that was signalled. It is masked until {@link xenevtchn_unmask}; a signal that comes before is kept.
 * Mirrors `xenevtchn_pending`, but does not block.
 *
 * @returns the port
 * @throws XenError `EAGAIN`: none is pending
 */
export function xenevtchn_pending(xce: XenevtchnHandle): number {
  const rc = xce.channels.pending();
  const hint = rc === -errno.EAGAIN ? 'no port is pending: wait for one with channels.wait()' : undefined;
  return checked('xenevtchn_pending', rc, { hint });
}

/** Lets a port be signalled again. Ports that are not the handle's are passed over. Mirrors `xenevtchn_unmask`. */
export function xenevtchn_unmask(xce: XenevtchnHandle, port: number): void {
  checked('xenevtchn_unmask', xce.channels.unmask(port));
}
