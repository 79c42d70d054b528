/** The caller's event channels: what Linux's `/dev/xen/evtchn` does for one open file of it. */

import { errno } from '../abi/errno.js';
import { checkU32 } from './check.js';

/** What is open, by the process's numbers: to be posted to another thread of it. */
export interface EventDescriptors {
  /** The event channel device, to poll for more than {@link EventChannels} offers; -1 where there is none (the model). */
  readonly fd: number;
  /** The eventfd behind {@link EventChannels.wake}; -1 where there is none. */
  readonly wakeFd: number;
}

/** May return a port to be signalled. */
export type PortListener = (port: number) => number | undefined;

/**
 * One set of ports. Functions return Xen's (or the kernel's) own result: >= 0, or a negative errno. They throw only for
 * misuse: closed, out of range.
 *
 * A thread that waits for events need not be the one that bound them: post `{ fd, wakeFd }` to a Worker and open the same
 * set there with `hypervisor.eventChannels({ fd, wakeFd })`.
 */
export interface EventChannels extends EventDescriptors, Disposable {
  /** A local port for a virtual interrupt, such as VIRQ_DOM_EXC. -EEXIST: somebody has bound it. */
  bindVirq(virq: number): number;
  /** A local port connected to `remotePort` of `domid`. It is pending at once: a signal may have been missed. */
  bindInterdomain(domid: number, remotePort: number): number;
  /** A local port that `domid` may connect to. */
  bindUnbound(domid: number): number;
  /** -ENOTCONN: the port was not bound here. */
  unbind(port: number): number;
  /** Signals the other end. -ENOTCONN: the port was not bound here. */
  notify(port: number): number;
  /**
   * The next port that was signalled; it stays masked until {@link unmask}.
   *
   * @returns -EAGAIN: none is pending
   */
  pending(): number;
  /** Lets the port be signalled again. Any port is taken: what is not bound here is passed over. */
  unmask(port: number): number;
  /** From now on only ports of `domid` can be bound here. -EACCES: restricted already. */
  restrict(domid: number): number;
  /**
   * Blocks this thread until a port is pending, at most so many milliseconds (-1: without end). A Worker that blocks here
   * can be terminated, and the process can exit, within a quarter of a second.
   *
   * @returns 1: one is pending; 0: the time is over, or {@link wake} was called; -EINTR: a signal came
   */
  wait(timeoutMs: number): number;
  /**
   * What a loop of a thread that blocks does in one go, for little more than {@link wait} alone: signals `notify` (0:
   * nobody), waits, takes the port that was signalled and unmasks it.
   *
   * @returns the port; 0: the time is over, or {@link wake} was called; or a negative errno
   */
  next(timeoutMs: number, notify?: number): number;
  /** Ends the {@link wait} of any thread that has this set open, or if none waits, the next. */
  wake(): void;
  /**
   * Calls `listener` from the event loop while ports are pending, and keeps the process alive for it; null ends both.
   * The listener takes ports by {@link pending} until there are none.
   */
  onPending(listener: (() => void) | null): void;
  /**
   * As {@link onPending}, with the rest of the work done: calls `listener` with each port that was signalled, which is taken
   * and unmasked by then, and signals the port that it returns, if any. When ports cannot be taken any more it is called with
   * a negative errno, and that was the last time. It takes the place of an {@link onPending} listener, and the other way round.
   */
  onPort(listener: PortListener | null): void;
  /** Unbinds all, once nobody else has the set open. Twice is harmless. */
  close(): void;
}

/** {@link EventChannels.next} of what has only the single steps. */
export function nextPort(channels: EventChannels, timeoutMs: number, notify: number): number {
  checkU32(notify, 'notify');
  if (notify !== 0) channels.notify(notify);
  const rc = channels.wait(timeoutMs);
  if (rc <= 0) return rc;
  const port = channels.pending();
  if (port < 0) return port === -errno.EAGAIN ? 0 : port;
  channels.unmask(port);
  return port;
}

/**
 * {@link EventChannels.onPort} of what has only {@link EventChannels.onPending}: the listener for that.
 *
 * @param closed whether `listener` has closed the set
 */
export function takingPorts(channels: EventChannels, listener: PortListener, closed: () => boolean): () => void {
  return () => {
    const port = channels.pending();
    if (port === -errno.EAGAIN) return;
    if (port < 0) channels.onPending(null);
    else channels.unmask(port);
    const notify = listener(port);
    if (notify && !closed()) channels.notify(notify);
  };
}
