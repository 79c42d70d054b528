/** A domain's V4V driver, over the memory and the hypercalls of its kernel. */

import { errno } from '../abi/errno.js';
import {
  V4V_RING_DATA_F_EXISTS,
  V4V_RING_DATA_MAGIC,
  V4VOP_notify,
  V4VOP_register_ring,
  V4VOP_sendv,
  V4VOP_unregister_ring,
  v4v_iov,
  v4v_ring_data,
  v4v_ring_data_ent,
  v4v_send_addr,
  v4vRingPages,
} from '../abi/v4v.js';
import { encodeAddr, type V4vAddr } from '../abi/v4v_rules.js';
import { PAGE_SIZE } from '../abi/xen.js';
import { XenError } from '../hypervisor/error.js';
import type { V4vPort } from '../hypervisor/v4v_port.js';
import { Pages } from './pages.js';
import { formatRing, RingReader } from './ring.js';
import { DEFAULT_RING, type DriverRing, RingDriver, type RingRequest } from './ring_driver.js';

/** The first page: arguments of hypercalls. */
const SEND_ADDR = 0;
const IOV = 16;
const RING_DATA = 64;
/** Frame numbers of a ring being registered; at most 256, so that they fit the page. */
const PFNS = 2048;
const MAX_RING_PAGES = 256;
/** Pages behind it: the message being sent. */
const STAGING = PAGE_SIZE;

export class V4vDriver extends RingDriver {
  readonly #port: V4vPort;
  readonly #pages: Pages;
  readonly #stagingPages: number;
  protected readonly sendCall = 'v4v_sendv';

  /**
   * @param port of a software Xen: `xen.v4vPort(domid, { gfn, pages })`, which this object owns from now on
   * @param stagingPages pages that a message is put together in: a longer one cannot be sent. Default 16
   * @throws RangeError when the port has less memory than that
   */
  constructor(port: V4vPort, stagingPages = 16) {
    super();
    this.#port = port;
    this.#stagingPages = stagingPages;
    this.#pages = new Pages(1 + stagingPages, port.bytes.length / PAGE_SIZE);
  }

  get domid(): number {
    return this.#port.domid;
  }

  get maxSend(): number {
    return this.#stagingPages * PAGE_SIZE;
  }

  protected get gone(): boolean {
    return this.#port.closed;
  }

  /**
   * Makes a ring of at most 1 MiB - 64 bytes.
   *
   * @throws XenError EEXIST: the port is in use; EACCES: the domain has as many rings as it may; ENOMEM: no memory left
   * @throws RangeError for a length that no ring can have
   */
  ring({ port = this.freePort(), partner, length = DEFAULT_RING, onReadable }: RingRequest): DriverRing {
    const { bytes } = this.#port;
    const count = v4vRingPages(length);
    if (count > MAX_RING_PAGES)
      throw new RangeError(`a ring of ${length} bytes: at most ${MAX_RING_PAGES * PAGE_SIZE - 64}`);
    const first = this.#pages.take(count);
    if (first === null) throw new XenError('v4v_register_ring', -errno.ENOMEM, { domid: this.domid });
    const offset = bytes.byteOffset + first * PAGE_SIZE;
    const reader = this.#register(port, partner, length, first, count, offset);
    const forget = this.addReader(onReadable);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      this.#pages.give(first, count);
      if (!this.closed) this.#port.hypercall(V4VOP_unregister_ring, this.#port.address + first * PAGE_SIZE);
      forget();
    };
    return { port, reader, release };
  }

  #register(
    port: number,
    partner: number | undefined,
    length: number,
    first: number,
    count: number,
    offset: number,
  ): RingReader {
    const { bytes, address } = this.#port;
    try {
      const id = { port, domain: this.domid, ...(partner === undefined ? {} : { partner }) };
      formatRing(bytes.buffer, length, id, offset);
      const view = this.#view();
      for (let i = 0; i < count; i++) view.setBigUint64(PFNS + i * 8, BigInt(address / PAGE_SIZE + first + i), true);
      const rc = this.#port.hypercall(V4VOP_register_ring, address + first * PAGE_SIZE, address + PFNS, count);
      if (rc < 0) throw new XenError('v4v_register_ring', rc, { domid: this.domid });
      return new RingReader(bytes.buffer, length, offset);
    } catch (error) {
      this.#pages.give(first, count);
      throw error;
    }
  }

  hasRead(): void {
    if (!this.closed) this.#port.hypercall(V4VOP_notify);
  }

  maxMessage(to: V4vAddr): number {
    if (this.closed) return -1;
    const { address } = this.#port;
    const view = this.#view();
    const entry = RING_DATA + v4v_ring_data.size;
    const { at } = v4v_ring_data_ent;
    view.setBigUint64(RING_DATA, V4V_RING_DATA_MAGIC, true);
    view.setUint32(RING_DATA + v4v_ring_data.at.nent, 1, true);
    encodeAddr(view, entry, to);
    view.setUint32(entry + at.space_required, 0xffff_ffff, true); // nobody waits for what can never be
    const rc = this.#port.hypercall(V4VOP_notify, address + RING_DATA);
    const exists = rc === 0 && (view.getUint16(entry + at.flags, true) & V4V_RING_DATA_F_EXISTS) !== 0;
    return exists ? view.getUint32(entry + at.max_message_size, true) : -1;
  }

  trySend(port: number, to: V4vAddr, messageType: number, pieces: readonly Uint8Array[]): number {
    if (this.closed) return -errno.ENOTCONN;
    const { bytes, address } = this.#port;
    let length = 0;
    for (const piece of pieces) {
      if (length + piece.length > this.maxSend) return -errno.EMSGSIZE;
      bytes.set(piece, STAGING + length);
      length += piece.length;
    }
    const view = this.#view();
    encodeAddr(view, SEND_ADDR, { port, domain: this.domid });
    encodeAddr(view, SEND_ADDR + v4v_send_addr.at.dst, to);
    view.setBigUint64(IOV, BigInt(address + STAGING), true);
    view.setUint32(IOV + v4v_iov.at.iov_len, length, true);
    return this.#port.hypercall(V4VOP_sendv, address + SEND_ADDR, address + IOV, 1, messageType);
  }

  protected listen(wanted: boolean): void {
    this.#port.onSignal(wanted ? this.onSignal : null);
  }

  /** A wait that nobody has any more costs a signal in vain, at most. */
  protected stopWaiting(): void {}

  protected shut(): void {
    this.#port.close();
  }

  #view(): DataView {
    const { bytes } = this.#port;
    return new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  }
}
