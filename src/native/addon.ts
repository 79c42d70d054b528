/** The native addon's whole surface (`native/binding.cc`). It never throws: -22 for wrong arguments, -9 after close. */

import type { EspAddon } from './esp.js';
import type { NetAddon } from './net.js';
import type { NetdevAddon } from './netdev.js';
import type { XenbusAddon } from './xenbus.js';

/** Raised with every change of this surface, here and in `native/binding.cc`. */
export const ADDON_ABI = 13;

export interface Addon extends EspAddon, NetAddon, NetdevAddon, XenbusAddon {
  readonly abi: number;
  /**
   * Opens privcmd and makes the arena.
   *
   * @param path the device; null for where Linux has it
   * @param arenaPages 1 to 1024
   * @returns the handle, or the negative errno; -95 when this Node forbids memory that is not its own
   */
  open(path: string | null, arenaPages: number): NativeHandle | number;
  /** Opens the event channel device; null for where Linux has it. */
  openEvtchn(path: string | null): NativeEvtchn | number;
  /**
   * Opens an event channel device of this process once more.
   *
   * @param wakeFd its eventfd; null makes a new one
   * @returns the handle, or the negative errno; -25 when `fd` is no such device
   */
  openEvtchn(fd: number, wakeFd: number | null): NativeEvtchn | number;
  /** The devices for grants; each is opened when it is first needed. */
  openGrants(): NativeGrants;
}

/** A mapping's number and its pages. */
export interface NativeMapping {
  readonly id: number;
  readonly buffer: ArrayBuffer;
}

/**
 * An open device. A slot is 56 bytes of the arena: `op`, five arguments, result, 64 bits each. Offsets are in bytes and
 * multiples of 8. When the handle is forgotten without close(), the collector closes it some time.
 */
export interface NativeHandle {
  readonly arena: ArrayBuffer;
  /** Address of the arena's first byte. */
  readonly address: number;
  /** Issues the slot at offset 0. */
  hypercall(): void;
  /** Issues `count` slots one after the other. 0, or -22 and nothing issued when they do not lie in the arena. */
  hypercallBatch(offset: number, count: number): number;
  /** Copies the slot at `offset` and issues it on a pool thread. The promise gives its result. */
  hypercallAsync(offset: number): Promise<number> | number;
  /**
   * Maps frames and fills `errors`, which is as long as `gfns`. Fetching pages that are paged out may block for a minute.
   *
   * @returns the mapping, or the negative errno that kept all from being mapped; -24 when too many are open
   */
  mapForeign(domid: number, gfns: BigUint64Array, prot: number, errors: Int32Array): NativeMapping | number;
  /** As mapForeign, for `count` frames of a resource. */
  mapResource(
    domid: number,
    type: number,
    id: number,
    frame: number,
    count: number,
    prot: number,
  ): NativeMapping | number;
  resourceSize(domid: number, type: number, id: number): number;
  /** A device model operation on 1 to 16 buffers of at most 4096 bytes (-7: more than that). Xen may write to all. */
  dmOp(domid: number, ...buffers: Uint8Array[]): number;
  /** Detaches the mapping's buffer, then unmaps. 0, or -22 when there is no such mapping any more. */
  unmap(id: number): number;
  restrict(domid: number): number;
  /** Detaches the arena and all mappings. The device itself closes once no call in flight uses it. Always 0. */
  close(): number;
}

/** Grants. Errors of opening the device are those of the first call that needs it. */
export interface NativeGrants {
  /** Maps what `domid` granted, all or nothing. */
  map(domid: number, refs: Uint32Array, prot: number): NativeMapping | number;
  /** Grants as many fresh pages as `refs` has room for, and fills it. */
  share(domid: number, writable: boolean, refs: Uint32Array): NativeMapping | number;
  /** Detaches the buffer, unmaps, and gives the pages back to the device. 0, or -22 when there is no such mapping. */
  unmap(id: number): number;
  close(): number;
}

/** An open event channel device. Functions without a comment are the device's requests and give its answers. */
export interface NativeEvtchn {
  readonly fd: number;
  readonly wakeFd: number;
  bindVirq(virq: number): number;
  bindInterdomain(domid: number, port: number): number;
  bindUnbound(domid: number): number;
  unbind(port: number): number;
  notify(port: number): number;
  /** The next pending port; -11 when there is none. */
  pending(): number;
  unmask(port: number): number;
  restrict(domid: number): number;
  /** 1: a port is pending; 0: the time is over; 2: woken; or a negative errno. Blocks the thread, whatever becomes of it. */
  wait(milliseconds: number): number;
  /**
   * Notifies a port unless it is 0, waits, takes the port that is pending and unmasks it: the port; 0: the time is over;
   * 2 ** 32: woken; or a negative errno.
   */
  next(milliseconds: number, notify: number): number;
  wake(): number;
  /** Has the event loop call `listener` while a port is pending; null ends it. 0, or a negative errno. */
  onPending(listener: (() => void) | null): number;
  /** As onPending, with each port taken and unmasked (or an errno, once), and a port that is returned notified. */
  onPort(listener: ((port: number) => unknown) | null): number;
  close(): number;
}
