/** What a V4V driver in a domain's kernel needs of its machine. The software Xen offers it; no real Xen has V4V. */

/** A domain's way to V4V. */
export interface V4vPort extends Disposable {
  readonly domid: number;
  readonly closed: boolean;
  /** Memory of the domain that the driver has for itself: whole pages with consecutive frame numbers. */
  readonly bytes: Uint8Array;
  /** Guest-physical address of the first of them. */
  readonly address: number;
  /** The V4V hypercall: >= 0, or a negative errno. */
  hypercall(cmd: number, arg1?: number, arg2?: number, arg3?: number, arg4?: number): number;
  /**
   * Calls `listener` whenever V4V has signalled the domain, from the event loop, and keeps the process alive for it; null
   * ends both. Signals that come before the listener runs are one call.
   */
  onSignal(listener: (() => void) | null): void;
  /** Twice is harmless. The domain's end closes it, too. */
  close(): void;
}
