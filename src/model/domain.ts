/** A domain of the software Xen: its memory, its vCPUs and what the toolstack may set. */

import { XEN_X86_EMU_LAPIC } from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { HVM_PARAM_ALTP2M, HVM_PARAM_MONITOR_RING_PFN } from '../abi/hvm/params.js';
import { SHUTDOWN_crash, SHUTDOWN_poweroff } from '../abi/sched.js';
import { VIRQ_DEBUGGER, VIRQ_DOM_EXC } from '../abi/xen.js';
import { ACCESS_RWX } from './access.js';
import { Altp2m } from './altp2m.js';
import type { DomainConfig, DomainState } from './domain_config.js';
import { EventPorts } from './event_channels.js';
import { forkPage, resetFork } from './fork.js';
import { FrameTypes } from './frame_types.js';
import { GrantFrames } from './grant_frames.js';
import type { Host } from './host.js';
import { newParams } from './hvm_params.js';
import { ORDER_1G, ORDER_2M, ORDER_4K, P2m, type P2mEntry, type PageOrder } from './p2m.js';
import { PagingPool } from './paging_pool.js';
import { DomainIo } from './pci/domain_io.js';
import { restoreDomainIo, saveDomainIo } from './pci/snapshot.js';
import { SharedInfo } from './shared_info.js';
import { Vcpu } from './vcpu.js';
import { ListenerPorts, type MonitorListener } from './vm_event/listener.js';
import {
  type MonitorOptions,
  noMonitorOptions,
  restoreMonitorOptions,
  saveMonitorOptions,
} from './vm_event/monitor_options.js';
import { VmEventRing, type XenPorts } from './vm_event/ring.js';

const SUPERPAGES: readonly PageOrder[] = [ORDER_1G, ORDER_2M];

/** Frame of the local APIC's registers. */
const APIC_PAGE = 0xf_ee00;
/** Frames that tables of four levels reach: 48 bits of address, whatever the processor says it can. */
const FRAMES_IN_REACH = 2 ** 36;

export type { DomainConfig, DomainState } from './domain_config.js';
export type { Host } from './host.js';

export class Domain {
  readonly config: DomainConfig;
  readonly host: Host;
  #vcpus: readonly Vcpu[] = [];
  /** The host's p2m: the memory as dom0 and Xen see it. */
  readonly p2m: P2m;
  readonly frameTypes = new FrameTypes();
  readonly altp2m: Altp2m;
  /** What it has of devices. */
  readonly io: DomainIo;
  readonly pagingPool: PagingPool;
  readonly sharedInfo: SharedInfo;
  readonly grants: GrantFrames;
  /** Frames of Xen's that it sees, and where. */
  readonly #shown = new Map<number, number>();
  readonly events: EventPorts;
  readonly params: BigUint64Array;
  /** Access of frames that get none of their own. */
  defaultAccess = ACCESS_RWX;
  maxPages = 0;
  totPages = 0;
  /** UUID. */
  readonly handle: Uint8Array;
  #pauseCount = 1;
  /** Null while it runs; else a `SHUTDOWN_*` reason. */
  shutdownCode: number | null = null;
  dying = false;
  accessRequired = false;
  /** A debugger looks after it. */
  debugged = false;
  /** Its pages may be shared, and it may be forked. */
  memSharing = false;
  #parent: Domain | null = null;
  /** Forks of it: while there are any, it is paused. */
  #forks = 0;
  /** What its agent wants to be told. */
  monitor: MonitorOptions = noMonitorOptions();
  /** What it shares with its agent; null: nobody has enabled events. */
  ring: VmEventRing | null = null;

  constructor(host: Host, config: DomainConfig) {
    this.host = host;
    this.config = config;
    this.handle = config.handle.slice();
    this.p2m = new P2m(host.pci.readOnly);
    this.io = new DomainIo(config.domid === 0, host.pci);
    this.pagingPool = new PagingPool(host.memory, this.p2m, config.hap);
    this.params = newParams(config.altp2mMode, host.cpu.vendor);
    this.altp2m = new Altp2m(this);
    this.sharedInfo = new SharedInfo(host.memory);
    this.grants = new GrantFrames(host.memory, config.maxGrantFrames);
    this.events = new EventPorts(this, config.maxEvtchnPort, this.sharedInfo);
  }

  get domid(): number {
    return this.config.domid;
  }

  /** None before {@link makeVcpus}. */
  get vcpus(): readonly Vcpu[] {
    return this.#vcpus;
  }

  /** Makes the vCPUs, as many as the domain was created for, all of them down. Twice is harmless. */
  makeVcpus(): void {
    if (this.#vcpus.length > 0) return;
    this.#vcpus = Array.from({ length: this.config.maxVcpus }, (_, id) => new Vcpu(this, id));
  }

  /** `XEN_ALTP2M_*`. */
  get altp2mMode(): number {
    return Number(this.params[HVM_PARAM_ALTP2M]);
  }

  get isHvm(): boolean {
    return this.config.type === 'hvm';
  }

  /** How often toolstacks have paused it. A new domain is paused once, by its creator. */
  get pauseCount(): number {
    return this.#pauseCount;
  }

  set pauseCount(count: number) {
    this.#pauseCount = count;
    if (count === 0) this.#mapApicPage();
    if (count === 0) this.host.scheduler.wake();
  }

  /**
   * Intel's APIC access page is in the memory of every domain with a local APIC that has run once
   * (`vmx_domain_creation_finished`; seen on 4.17). Nothing can be done with it, but no frame is beyond it.
   */
  #mapApicPage(): void {
    if (this.host.cpu.vendor !== 'intel' || !(this.config.emulationFlags & XEN_X86_EMU_LAPIC)) return;
    this.p2m.maxMapped = Math.max(this.p2m.maxMapped, APIC_PAGE);
  }

  /** True when the domain's vCPUs get processor time. */
  get runs(): boolean {
    return this.#pauseCount === 0 && this.#forks === 0 && this.shutdownCode === null && !this.dying;
  }

  /** Whose fork it is, or null. */
  get parent(): Domain | null {
    return this.#parent;
  }

  /** From now on it is a fork of `parent`, which is paused. @internal */
  adopt(parent: Domain): void {
    if (this.#parent) return;
    this.#parent = parent;
    parent.#forks++;
  }

  /** It is no fork any more. @internal */
  orphan(): void {
    const parent = this.#parent;
    if (!parent) return;
    this.#parent = null;
    parent.#forks--;
    parent.host.scheduler.wake();
  }

  /** Takes a fork back to where its parent is: the state of its vCPUs, its memory. Null: it is no fork. */
  resetFork(state: boolean, memory: boolean): number | null {
    return this.#parent && resetFork(this, this.#parent, state, memory);
  }

  /** Looks a frame up as one that is to be used: a fork that has none gets a copy of its parent's. */
  find(gfn: number): Readonly<P2mEntry> {
    const entry = this.p2m.lookup(gfn);
    return !entry.present && this.#parent && forkPage(this, gfn) ? this.p2m.lookup(gfn) : entry;
  }

  /** Ends the domain's life in its own eyes. The first reason stays. */
  shutdown(reason: number): void {
    if (this.shutdownCode !== null) return;
    this.shutdownCode = reason;
    this.host.scheduler.wake();
    this.host.sendGlobalVirq(VIRQ_DOM_EXC);
  }

  /** Xen's `domain_crash`. */
  crash(): void {
    if (this.shutdownCode === null) this.host.console.print(`Domain ${this.domid} crashed`);
    this.shutdown(SHUTDOWN_crash);
  }

  /** A vCPU has come to where its debugger wants to see it (`domain_pause_for_debugger`): a toolstack lets it go on. */
  pauseForDebugger(): void {
    this.pauseCount++;
    this.host.sendGlobalVirq(VIRQ_DEBUGGER);
  }

  /** A vCPU halted with interrupts off and will not come back: when none is left, the domain is powered off. */
  vcpuDown(): void {
    if (this.vcpus.every((vcpu) => !vcpu.online)) this.shutdown(SHUTDOWN_poweroff);
  }

  /**
   * Gives the domain 2^order pages at `gfn`.
   *
   * @returns false when the domain or the machine has no more, or a guest's tables reach no such frame: then the pages
   *   are the domain's all the same
   */
  populate(gfn: number, order: number): boolean {
    const count = 2 ** order;
    if (this.dying || this.totPages + count > this.maxPages) return false;
    const mfn = this.host.memory.allocate(this.domid, order);
    if (mfn === null) return false;
    this.totPages += count;
    if (gfn + count > FRAMES_IN_REACH) return false;
    const page = gfn % count === 0 ? (SUPERPAGES.find((size) => size <= order) ?? ORDER_4K) : ORDER_4K;
    for (let done = 0; done < count; done += 2 ** page) this.mapHost(gfn + done, mfn + done, page);
    return true;
  }

  /**
   * Gives the domain 2^order pages that are not mapped anywhere yet. A PV domain names them by their machine frames.
   *
   * @returns the first of them, or null
   */
  reserve(order: number): number | null {
    const count = 2 ** order;
    if (this.dying || this.totPages + count > this.maxPages) return null;
    const mfn = this.host.memory.allocate(this.domid, order);
    if (mfn === null) return null;
    this.totPages += count;
    if (!this.isHvm) {
      const { maxMapped } = this.p2m;
      for (let i = 0; i < count; i++) this.p2m.set(mfn + i, mfn + i, this.defaultAccess, null);
      this.p2m.maxMapped = maxMapped;
    }
    return mfn;
  }

  /** Gives the domain `pages` pages at frame 0 and up, in the largest pages that fit. False when memory is short. */
  populateFromZero(pages: number, largest: PageOrder): boolean {
    const sizes = SUPERPAGES.filter((size) => size <= largest);
    for (let gfn = 0; gfn < pages; ) {
      const order = sizes.find((size) => gfn % 2 ** size === 0 && gfn + 2 ** size <= pages) ?? ORDER_4K;
      if (!this.populate(gfn, order)) return false;
      gfn += 2 ** order;
    }
    return true;
  }

  /** Takes one page away. False when there is none at `gfn`. */
  depopulate(gfn: number): boolean {
    const entry = this.p2m.lookup(gfn);
    if (!entry.present) return false;
    const { mfn } = entry;
    if (this.unmapDevice(gfn)) return true;
    this.unmapHost(gfn);
    if (this.host.memory.isXen(mfn)) return true;
    this.host.memory.free(mfn, () => {
      this.totPages--;
    });
    return true;
  }

  /**
   * What libxc's xc_monitor_enable does, for an agent that is a function: the ring's frame is populated if it is a hole,
   * shared, and taken out of the guest. The function is told of each event at once, and its answer goes into the ring.
   *
   * @returns 0; -EBUSY: there is an agent already (or was, and has not been disabled); -EOPNOTSUPP: no
   *   HVM_PARAM_MONITOR_RING_PFN; -ENOMEM: no page for the ring
   */
  enableMonitor(listener: MonitorListener): number {
    if (this.ring) return -errno.EBUSY;
    const gfn = Number(this.params[HVM_PARAM_MONITOR_RING_PFN]);
    if (gfn === 0) return -errno.EOPNOTSUPP;
    if (!this.p2m.lookup(gfn).present && !this.populate(gfn, ORDER_4K)) return -errno.ENOMEM;
    const rc = this.enableRing(new ListenerPorts(this, listener), 0);
    if (rc < 0) return rc;
    this.depopulate(gfn);
    return 0;
  }

  /**
   * XEN_VM_EVENT_ENABLE of the monitor.
   *
   * @param remote the domain that the agent runs in
   * @returns the event channel port that it connects to, or as {@link VmEventRing.enable}
   */
  enableRing(ports: XenPorts, remote: number): number {
    this.monitor.msrs ??= new Map();
    const ring = VmEventRing.enable(this, ports, remote);
    return typeof ring === 'number' ? ring : ring.port;
  }

  /**
   * XEN_VM_EVENT_DISABLE of the monitor. All its options go off, even when the ring is busy.
   *
   * @returns 0; -EINVAL: there is no agent; -EBUSY: an event waits for a slot in the ring
   */
  disableMonitor(): number {
    if (!this.ring) return -errno.EINVAL;
    const rc = this.ring.disable();
    this.monitor = noMonitorOptions();
    return rc;
  }

  /** The frame that shows a frame of Xen's, or null. */
  shownAt(mfn: number): number | null {
    return this.#shown.get(mfn) ?? null;
  }

  mapHost(gfn: number, mfn: number, order: PageOrder): void {
    if (this.host.memory.isXen(mfn)) this.#shown.set(mfn, gfn);
    if (this.frameTypes.of(gfn) === 'mmio_direct') this.frameTypes.set(gfn, 'ram_rw');
    this.p2m.set(gfn, mfn, this.defaultAccess, null, order);
    this.altp2m.propagateChange(gfn, order);
  }

  /** Has a frame show nothing. What it showed goes on to exist. */
  unmapHost(gfn: number): void {
    const { mfn } = this.p2m.lookup(gfn);
    if (this.#shown.get(mfn) === gfn) this.#shown.delete(mfn);
    this.p2m.remove(gfn);
    this.altp2m.propagateRemoval(gfn);
  }

  /** Has a frame show a device's. What it showed before goes on to exist. False: no table reaches the frame. */
  mapDevice(gfn: number, mfn: number): boolean {
    if (gfn >= FRAMES_IN_REACH) return false;
    this.mapHost(gfn, mfn, ORDER_4K);
    this.frameTypes.set(gfn, 'mmio_direct');
    return true;
  }

  /** Takes {@link mapDevice} back. False: the frame shows nothing of a device. */
  unmapDevice(gfn: number): boolean {
    if (!this.p2m.lookup(gfn).present || this.frameTypes.of(gfn) !== 'mmio_direct') return false;
    this.unmapHost(gfn);
    this.frameTypes.set(gfn, 'ram_rw');
    return true;
  }

  /** Pages of these machine frames are looked at again: they may be read-only now, or no more. */
  refreshFrames(first: number, last: number): void {
    this.p2m.refresh(first, last);
    this.altp2m.refreshFrames(first, last);
  }

  /**
   * Ends the domain: it gives up its memory, views and tables. Frames that somebody has mapped keep it in being.
   *
   * @param gone called when the last of them is free; at once when there is none
   */
  die(gone: () => void): void {
    this.dying = true;
    this.orphan();
    this.ring?.destroy();
    this.events.destroy();
    this.host.scheduler.wake();
    this.altp2m.setActive(false);
    const { maxMapped } = this.p2m;
    this.p2m.clear();
    this.p2m.maxMapped = maxMapped;
    this.sharedInfo.free();
    this.grants.free();
    for (const vcpu of this.vcpus) vcpu.trace?.free();
    if (this.isHvm) this.pagingPool.resize(0);
    const end = (): void => {
      this.pagingPool.free();
      gone();
      this.host.sendGlobalVirq(VIRQ_DOM_EXC);
    };
    this.totPages = this.host.memory.releaseDomain(this.domid, this.totPages, () => {
      this.totPages--;
      if (this.totPages === 0) end();
    });
    if (this.totPages === 0) end();
    else this.host.sendGlobalVirq(VIRQ_DOM_EXC);
  }

  /** What {@link restore} and {@link restoreRing} need to make this domain again. The agent is no part of it, its ring is. */
  save(): DomainState {
    return {
      config: { ...this.config, handle: Buffer.from(this.handle).toString('hex') },
      params: Array.from(this.params, String),
      defaultAccess: this.defaultAccess,
      maxPages: this.maxPages,
      totPages: this.totPages,
      pagingPoolBytes: this.pagingPool.bytes,
      pauseCount: this.pauseCount,
      shutdownCode: this.shutdownCode,
      accessRequired: this.accessRequired,
      debugged: this.debugged,
      p2m: this.p2m.save(),
      frameTypes: this.frameTypes.save(),
      ...(this.host.pci.functions.size > 0 && { io: saveDomainIo(this.io) }),
      altp2m: this.altp2m.save(),
      vcpus: this.vcpus.map((vcpu) => vcpu.save()),
      events: this.events.save(),
      monitor: saveMonitorOptions(this.monitor),
      ring: this.ring?.save() ?? null,
      memSharing: this.memSharing,
      parent: this.#parent?.domid ?? null,
      sharedInfo: this.sharedInfo.save(),
      grants: this.grants.save(),
      shown: [...this.#shown],
    };
  }

  restore(state: DomainState): void {
    this.params.set(state.params.map(BigInt));
    this.defaultAccess = state.defaultAccess;
    this.maxPages = state.maxPages;
    this.totPages = state.totPages;
    this.pagingPool.restore(state.pagingPoolBytes);
    this.#pauseCount = state.pauseCount;
    this.shutdownCode = state.shutdownCode;
    this.accessRequired = state.accessRequired;
    this.debugged = state.debugged;
    this.memSharing = state.memSharing;
    this.p2m.restore(state.p2m);
    if (state.frameTypes) this.frameTypes.restore(state.frameTypes);
    if (state.io) restoreDomainIo(this.io, this.host.pci, state.io);
    this.altp2m.restore(state.altp2m);
    if (state.vcpus.length > 0) this.makeVcpus();
    state.vcpus.forEach((from, id) => {
      this.vcpus[id]?.restore(from);
    });
    this.events.restore(state.events);
    this.monitor = restoreMonitorOptions(state.monitor);
  }

  /** The part of {@link restore} that needs the machine's memory as it was. */
  restoreRing(state: DomainState): void {
    if (state.ring) this.ring = VmEventRing.restore(this, this.events, state.ring);
    this.sharedInfo.restore(state.sharedInfo);
    this.grants.restore(state.grants);
    for (const [mfn, gfn] of state.shown) this.#shown.set(mfn, gfn);
  }

  /** The page behind a frame of the host's p2m, or null: there is none, or it is a device's and not for hypercalls. */
  page(gfn: number, write: boolean): Uint8Array | null {
    const entry = this.find(gfn);
    const { memory } = this.host;
    if (!entry.present || memory.isDevice(entry.mfn)) return null;
    return write ? memory.page(this.domid, entry.mfn) : memory.peek(entry.mfn);
  }
}
