/**
 * Another caller in dom0: a connection with an arena and restrictions of its own to a machine that others use, too, as
 * a second process that opens privcmd has them.
 */

import { errno } from '../abi/errno.js';
import { PAGE_SIZE } from '../abi/xen.js';
import { Arena } from '../hypervisor/arena.js';
import { checkU16 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels, EventDescriptors } from '../hypervisor/event_channels.js';
import type { GrantTable } from '../hypervisor/grant_table.js';
import type { ForeignMapping, Hypervisor } from '../hypervisor/port.js';
import type { Caller } from './caller.js';
import { ArenaMemory } from './caller_memory.js';

const ARENA_PAGES = 64;
/** Where the arena seems to be in the caller's address space: each caller has its own. */
const ARENA_BASE = 0x7f00_0000_0000;

/** What a connection needs of the machine. */
interface Machine {
  readonly dom0Caller: Caller;
  connectedHypercall(caller: Caller, op: number, a1: number, a2: number, a3: number, a4: number, a5: number): number;
  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping;
  mapResource(domid: number, type: number, id: number, frame: number, count: number, prot: number): ForeignMapping;
  resourceSize(domid: number, type: number, id: number): number;
  dmOp(domid: number, buffers: readonly Uint8Array[]): number;
  openEvtchn(same?: EventDescriptors): EventChannels;
  openGnttab(): GrantTable;
  pciConfig(sbdf: number): Uint8Array | null;
}

export class ModelConnection implements Hypervisor {
  readonly kind = 'model';
  readonly arena: Arena;
  readonly #machine: Machine;
  readonly #caller: Caller;
  readonly #mappings: ForeignMapping[] = [];
  readonly #events: EventChannels[] = [];
  readonly #grants: GrantTable[] = [];
  #restrictedTo: number | null = null;
  #closed = false;

  constructor(machine: Machine, arenaPages = ARENA_PAGES) {
    this.#machine = machine;
    this.arena = new Arena(new ArrayBuffer(arenaPages * PAGE_SIZE), ARENA_BASE);
    this.#caller = { ...machine.dom0Caller, memory: new ArenaMemory(this.arena) };
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    this.#checkOpen();
    if (this.#restrictedTo !== null) return -errno.EPERM;
    return this.#machine.connectedHypercall(this.#caller, op, a1, a2, a3, a4, a5);
  }

  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    return BigInt(this.hypercall(op, a1, a2, a3, a4, a5));
  }

  async hypercallAsync(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.hypercall(op, a1, a2, a3, a4, a5);
  }

  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping {
    this.#checkOpen();
    if (this.#restrictedTo !== null && domid !== this.#restrictedTo) {
      throw new XenError('mapForeign', -errno.EPERM, { domid });
    }
    const mapping = this.#machine.mapForeign(domid, gfns, prot);
    this.#mappings.push(mapping);
    return mapping;
  }

  mapResource(domid: number, type: number, id: number, frame: number, count: number, prot: number): ForeignMapping {
    this.#checkOpen();
    if (this.#refuses(domid)) throw new XenError('mapResource', -errno.EPERM, { domid });
    const mapping = this.#machine.mapResource(domid, type, id, frame, count, prot);
    this.#mappings.push(mapping);
    return mapping;
  }

  resourceSize(domid: number, type: number, id: number): number {
    this.#checkOpen();
    return this.#refuses(domid) ? -errno.EPERM : this.#machine.resourceSize(domid, type, id);
  }

  dmOp(domid: number, buffers: readonly Uint8Array[]): number {
    this.#checkOpen();
    return this.#refuses(domid) ? -errno.EPERM : this.#machine.dmOp(domid, buffers);
  }

  pciConfig(sbdf: number): Uint8Array | null {
    return this.#machine.pciConfig(sbdf);
  }

  #refuses(domid: number): boolean {
    return this.#restrictedTo !== null && this.#restrictedTo !== domid;
  }

  eventChannels(same?: EventDescriptors): EventChannels {
    this.#checkOpen();
    const opened = this.#machine.openEvtchn(same);
    this.#events.push(opened);
    return opened;
  }

  grantTable(): GrantTable {
    this.#checkOpen();
    const opened = this.#machine.openGnttab();
    this.#grants.push(opened);
    return opened;
  }

  restrict(domid: number): void {
    this.#checkOpen();
    checkU16(domid, 'domid');
    if (this.#restrictedTo !== null && this.#restrictedTo !== domid) {
      throw new XenError('restrict', -errno.EINVAL, { domid });
    }
    this.#restrictedTo = domid;
  }

  /** As the end of a process: what it has mapped is unmapped, and its event channels close. */
  close(): void {
    this.#closed = true;
    for (const events of this.#events.splice(0)) events.close();
    for (const grants of this.#grants.splice(0)) grants.close();
    for (const mapping of this.#mappings.splice(0)) mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
  }
}
