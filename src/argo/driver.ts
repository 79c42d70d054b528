/** dom0's Argo driver: rings, sends that wait for room, and who is told of signals. Sockets and streams share it. */

import { errno } from '../abi/errno.js';
import type { V4vAddr } from '../abi/v4v_rules.js';
import { VIRQ_ARGO } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels } from '../hypervisor/event_channels.js';
import { ARGO_LAYOUT, RingReader } from '../v4v/ring.js';
import { DEFAULT_RING, type DriverRing, RingDriver, type RingRequest } from '../v4v/ring_driver.js';
import { argo_notify, argoError, probeRc, sendvRc } from '../xc/argo.js';
import { argo_register_ring, type RingAllocator } from '../xc/argo_ring.js';
import type { XcInterface } from '../xc/interface.js';

/** A message is put together in the hypercall arena, which has 256 KiB for all. */
const MAX_SEND = 0x1_0000;
/** Where too many wait for room already, Xen does not tell: one has to look. */
const LOOK_AGAIN_MS = 10;

export interface ArgoDriverOptions {
  /** Where the pages of rings come from, when this is not a process in dom0. */
  readonly allocate?: RingAllocator;
  /** This domain's id. Default 0: dom0. */
  readonly domid?: number;
}

export class ArgoDriver extends RingDriver {
  readonly domid: number;
  readonly maxSend = MAX_SEND;
  protected readonly sendCall = 'argo_sendv';
  protected readonly gone = false;
  readonly #xch: XcInterface;
  readonly #allocate: RingAllocator | undefined;
  readonly #events: EventChannels;
  #look: NodeJS.Timeout | null = null;
  /** Rings that Xen may hold a wait of this domain for: a message that gets through later does not end it. */
  readonly #waits = new Map<string, V4vAddr>();

  /**
   * One driver can be open in a domain: VIRQ_ARGO has one port.
   *
   * @param xch stays the caller's
   * @throws XenError EEXIST: another program of this domain has VIRQ_ARGO, or its kernel's own Argo driver; EOPNOTSUPP,
   *   ENOSYS, ENODEV, EACCES: see `argo_probe`
   */
  constructor(xch: XcInterface, { allocate, domid = 0 }: ArgoDriverOptions = {}) {
    super();
    this.#xch = xch;
    this.#allocate = allocate;
    this.domid = domid;
    const off = probeRc(xch);
    if (off < 0) throw argoError('argo_notify', off);
    this.#events = xch.hypervisor.eventChannels();
    const port = this.#events.bindVirq(VIRQ_ARGO);
    if (port >= 0) return;
    this.#events.close();
    const hint = "another program or the kernel's own driver has VIRQ_ARGO: use /dev/argo_dgram where that is there";
    throw new XenError('bindVirq', port, port === -errno.EEXIST ? { hint } : {});
  }

  /**
   * Makes a ring.
   *
   * @throws XenError see {@link argo_register_ring}
   * @throws RangeError for a length that no ring can have
   */
  ring({ port = this.freePort(), partner, length = DEFAULT_RING, onReadable }: RingRequest): DriverRing {
    const options = { aport: port, len: length, ...(partner === undefined ? {} : { partner_id: partner }) };
    const ring = argo_register_ring(this.#xch, options, this.#allocate);
    const { buffer, byteOffset } = ring.memory;
    const reader = new RingReader(buffer, length, byteOffset, ARGO_LAYOUT);
    const forget = this.addReader(onReadable);
    const release = (): void => {
      ring.close();
      forget();
    };
    return { port, reader, release };
  }

  hasRead(): void {
    if (!this.closed) argo_notify(this.#xch);
  }

  maxMessage({ port, domain }: V4vAddr): number {
    if (this.closed) return -1;
    // nobody waits for what can never be
    const [info] = argo_notify(this.#xch, [{ aport: port, domain_id: domain, space_required: 0xffff_ffff }]);
    return info?.exists ? info.max_message_size : -1;
  }

  trySend(port: number, to: V4vAddr, messageType: number, pieces: readonly Uint8Array[]): number {
    if (this.closed) return -errno.ENOTCONN;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length > this.maxSend) return -errno.EMSGSIZE;
    const rc = sendvRc(this.#xch, port, { aport: to.port, domain_id: to.domain }, pieces, messageType);
    if (rc === -errno.EAGAIN) this.#waits.set(`${to.domain}:${to.port}`, to);
    if (rc !== -errno.EBUSY) return rc;
    this.#look ??= setTimeout(() => {
      this.#look = null;
      if (!this.closed) this.onSignal();
    }, LOOK_AGAIN_MS);
    return -errno.EAGAIN;
  }

  protected listen(wanted: boolean): void {
    this.#events.onPort(wanted ? this.#onPort : null);
  }

  readonly #onPort = (): undefined => {
    this.onSignal();
  };

  protected stopWaiting(to: V4vAddr): void {
    this.#waits.delete(`${to.domain}:${to.port}`);
    this.#endWait(to);
  }

  /** A question for no room at all finds it, and that ends the wait. */
  #endWait({ port, domain }: V4vAddr): void {
    argo_notify(this.#xch, [{ aport: port, domain_id: domain }]);
  }

  protected shut(): void {
    if (this.#look) clearTimeout(this.#look);
    for (const to of this.#waits.values()) this.#endWait(to);
    this.#waits.clear();
    this.#events.close();
  }
}
