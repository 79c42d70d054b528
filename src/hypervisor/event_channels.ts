/** The caller's event channels: what Linux's `/dev/xen/evtchn` does for one open file of it. */

/**
 * One set of ports. Functions return Xen's (or the kernel's) own result: >= 0, or a negative errno. They throw only for
 * misuse: closed, out of range.
 */
export interface EventChannels extends Disposable {
  /** The file to poll for more than this interface offers, or -1 where there is none (the model). */
  readonly fd: number;
  /** A local port for a virtual interrupt, such as VIRQ_DOM_EXC. -EEXIST: somebody has bound it. */
  bindVirq(virq: number): number;
  /** A local port connected to `remotePort` of `domid`. */
  bindInterdomain(domid: number, remotePort: number): number;
  /** A local port that `domid` may connect to. */
  bindUnbound(domid: number): number;
  unbind(port: number): number;
  /** Signals the other end. */
  notify(port: number): number;
  /**
   * The next port that was signalled; it stays masked until {@link unmask}.
   *
   * @returns -EAGAIN: none is pending
   */
  pending(): number;
  unmask(port: number): number;
  /** From now on only ports of `domid` can be bound here. */
  restrict(domid: number): number;
  /**
   * Blocks this thread until a port is pending, at most so many milliseconds (-1: without end).
   *
   * @returns 1: one is pending; 0: the time is over; -EINTR: a signal came
   */
  wait(timeoutMs: number): number;
  /**
   * Calls `listener` from the event loop while ports are pending, and keeps the process alive for it; null ends both.
   * The listener takes ports by {@link pending} until there are none.
   */
  onPending(listener: (() => void) | null): void;
  /** Unbinds all. Twice is harmless. */
  close(): void;
}
