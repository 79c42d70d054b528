/** The software Xen: a hypervisor behind the port, for callers who are its dom0. */

import { errno } from '../abi/errno.js';
import { HVM_PARAM_MONITOR_RING_PFN } from '../abi/hvm/params.js';
import { isRelease, type Release } from '../abi/release.js';
import { DOMID_FIRST_RESERVED, PAGE_SIZE } from '../abi/xen.js';
import { Arena } from '../hypervisor/arena.js';
import { checkU16 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels, EventDescriptors } from '../hypervisor/event_channels.js';
import type { GrantTable } from '../hypervisor/grant_table.js';
import type { ForeignMapping, Hypervisor } from '../hypervisor/port.js';
import type { V4vPort } from '../hypervisor/v4v_port.js';
import { ARGO_MODES, Argo, type ArgoState } from './argo/argo.js';
import { type Caller, lookupDomain } from './caller.js';
import { ArenaMemory, GuestMemory } from './caller_memory.js';
import { ModelConnection } from './connection.js';
import { ConsoleRing } from './console_ring.js';
import { makeDom0 } from './dom0.js';
import { Domain, type DomainConfig, type DomainState } from './domain.js';
import { EvtchnDevice } from './evtchn_device.js';
import { mapForeign } from './foreign_mapping.js';
import { OpenGnttab } from './gnttab_device.js';
import { asGuest, type Guest, guestConfig } from './guest.js';
import { type HypercallHost, hypercall } from './hypercall.js';
import { MachineMemory, type MachineMemoryState } from './machine_memory.js';
import { dmOp } from './ops/dm_op.js';
import { type Cpu, completeCpu, type GuestOptions, type ModelOptions } from './options.js';
import { ORDER_1G, ORDER_4K } from './p2m.js';
import { Pci } from './pci/pci.js';
import { type PciState, restorePci, savePci } from './pci/snapshot.js';
import { mapResource, resourceSize } from './resource.js';
import { Scheduler } from './scheduler.js';
import { openV4vPort, type V4vMemory } from './v4v/port.js';
import { V4v } from './v4v/v4v.js';
import type { Vcpu } from './vcpu.js';

/** Where the arena seems to be in dom0's address space. Any address will do; this one looks like a mapping. */
const ARENA_BASE = 0x7f00_0000_0000;
const DEFAULT_PAGES = 2 ** 30;
/** Where libxc's domain builder sets the monitor ring's frame aside: among the special pages below 0xff000. */
const MONITOR_RING_PFN = 0xfeff9;

/** A saved {@link ModelXen}: plain JSON. Scripts that vCPUs run are no part of it: they are code, not state. */
export interface ModelSnapshot {
  readonly format: 'xenctrl-model-snapshot/1';
  readonly options: ModelOptions;
  readonly lastDomid: number;
  readonly memory: MachineMemoryState;
  readonly domains: readonly DomainState[];
  /** Absent in those of earlier releases. */
  readonly argo?: ArgoState;
  /** Absent where there are no devices. */
  readonly pci?: PciState;
}

/** A failure that {@link ModelXen.injectFault} asks for. */
export interface Fault {
  /** Hypercall number; every one when absent. */
  readonly op?: number;
  /** Errno to answer instead of doing anything, `errno.ENOMEM` say. */
  readonly errno: number;
  /** How many calls fail. Default 1. */
  readonly times?: number;
}

export class ModelXen implements Hypervisor, HypercallHost {
  readonly kind = 'model';
  readonly release: Release;
  readonly cpu: Cpu;
  readonly shadow: boolean;
  readonly memSharing: boolean;
  readonly commandLine: string;
  readonly memory: MachineMemory;
  readonly arena: Arena;
  readonly domains = new Map<number, Domain>();
  /** What Xen has printed: `xl dmesg`. */
  readonly console = new ConsoleRing();
  /** Which domain gets a global virtual interrupt, where it is not dom0. */
  readonly #virqHandlers = new Map<number, Domain>();
  readonly argo: Argo;
  /** V4V in the place of Argo, if the machine was made for it. */
  readonly v4v: V4v | null;
  /** The machine's PCI devices. */
  readonly pci: Pci;
  readonly dom0: Domain;
  /** @internal */
  readonly scheduler: Scheduler;
  readonly #seed: number;
  readonly #evtchn: EvtchnDevice;
  readonly #openEvents: EventChannels[] = [];
  readonly #openGrants: GrantTable[] = [];
  /** @internal */
  readonly altp2mBooted: boolean;
  /** @internal */
  readonly dom0Caller: Caller;
  readonly #kernels = new WeakMap<Vcpu, Caller>();
  readonly #faults: { op: number | undefined; errno: number; times: number }[] = [];
  #lastDomid = 0;
  #restrictedTo: number | null = null;
  #closed = false;

  constructor(options: ModelOptions = {}) {
    const { release = '4.17', altp2m = true, argo = 'not-compiled-in' } = options;
    if (!isRelease(release)) throw new RangeError(`release ${String(release)} is not modelled: 4.14 to 4.22 are`);
    this.release = release;
    this.cpu = completeCpu(options.cpu);
    this.shadow = options.shadow ?? false;
    this.memSharing = options.memSharing ?? false;
    this.altp2mBooted = altp2m;
    if (!ARGO_MODES.includes(argo)) throw new RangeError(`argo must be one of ${ARGO_MODES.join(', ')}`);
    this.argo = new Argo(argo, this.domains);
    this.v4v = v4vOf(options);
    this.v4v?.attach({
      allocate: (domain) => domain.events.allocUnbound(domain.domid, domain.domid),
      signal: (domain, port) => domain.events.send(port),
    });
    const argoWords = argo === 'mac-permissive' ? ' argo=1,mac-permissive=1' : this.argo.on ? ' argo=1' : '';
    this.commandLine = `console=com1${altp2m ? ' altp2m=1' : ''}${argoWords}${this.v4v ? ' v4v=1' : ''}`;
    this.memory = new MachineMemory(options.memoryPages ?? DEFAULT_PAGES);
    this.pci = new Pci(options.pci ?? { devices: [] }, this);
    this.console.print(`Xen version ${release}.0-model`, `Command line: ${this.commandLine}`);
    this.arena = new Arena(new ArrayBuffer((options.arenaPages ?? 64) * PAGE_SIZE), ARENA_BASE);
    this.#seed = options.seed ?? 0;
    this.scheduler = new Scheduler(this.#seed);
    this.dom0 = makeDom0((config) => this.add(config));
    this.#evtchn = new EvtchnDevice({
      ports: this.dom0.events,
      domid: this.dom0.domid,
      vcpus: this.dom0.vcpus.length,
      lookup: (domid) => this.dom0Caller.lookup(domid)?.events ?? null,
      step: () => this.step(),
    });
    this.dom0Caller = {
      vcpu: null,
      domain: this.dom0,
      privileged: true,
      memory: new ArenaMemory(this.arena),
      abi: 64,
      lookup: (domid) => lookupDomain(this.dom0, this.domains, domid),
    };
  }

  /** Whether this machine and its command line offer altp2m. */
  get altp2mSupported(): boolean {
    return this.altp2mBooted && this.cpu.hap && this.cpu.vendor === 'intel';
  }

  hypercall(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    if (this.#restrictedTo !== null) return -errno.EPERM;
    if (this.#faults.length > 0) {
      const failed = this.#takeFault(op);
      if (failed !== null) return failed;
    }
    return hypercall(this, this.dom0Caller, op, a1, a2, a3, a4, a5);
  }

  hypercall64(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): bigint {
    return BigInt(this.hypercall(op, a1, a2, a3, a4, a5));
  }

  async hypercallAsync(op: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Promise<number> {
    // the model is this thread's own; a turn of the event loop is what "elsewhere" can mean here
    await new Promise((resolve) => setImmediate(resolve));
    return this.hypercall(op, a1, a2, a3, a4, a5);
  }

  mapForeign(domid: number, gfns: readonly number[], _prot: number): ForeignMapping {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    if (this.#restrictedTo !== null && domid !== this.#restrictedTo) {
      throw new XenError('mapForeign', -errno.EPERM, { domid });
    }
    return mapForeign(this, domid, gfns);
  }

  mapResource(domid: number, type: number, id: number, frame: number, count: number, _prot: number): ForeignMapping {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    if (this.#refuses(domid)) throw new XenError('mapResource', -errno.EPERM, { domid });
    return mapResource(this, domid, type, id, frame, count);
  }

  resourceSize(domid: number, type: number, id: number): number {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    return this.#refuses(domid) ? -errno.EPERM : resourceSize(this, domid, type, id);
  }

  dmOp(domid: number, buffers: readonly Uint8Array[]): number {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    return this.#refuses(domid) ? -errno.EPERM : dmOp(this, domid, buffers);
  }

  pciConfig(sbdf: number): Uint8Array | null {
    return this.pci.config(sbdf);
  }

  #refuses(domid: number): boolean {
    return this.#restrictedTo !== null && this.#restrictedTo !== domid;
  }

  eventChannels(same?: EventDescriptors): EventChannels {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    const opened = this.openEvtchn(same);
    this.#openEvents.push(opened);
    return opened;
  }

  /** Opens `/dev/xen/evtchn` for a connection. @internal */
  openEvtchn(same?: EventDescriptors): EventChannels {
    return this.#evtchn.open(same);
  }

  /** @internal */
  sendGlobalVirq(virq: number): void {
    (this.#virqHandlers.get(virq) ?? this.dom0).events.raiseVirq(virq);
  }

  /** @internal */
  setVirqHandler(virq: number, domain: Domain): void {
    this.#virqHandlers.set(virq, domain);
  }

  grantTable(): GrantTable {
    if (this.#closed) throw new TypeError('this hypervisor is closed');
    const opened = this.openGnttab();
    this.#openGrants.push(opened);
    return opened;
  }

  /** Opens `/dev/xen/gntdev` and `gntalloc` for a connection. @internal */
  openGnttab(): GrantTable {
    return new OpenGnttab(this);
  }

  restrict(domid: number): void {
    checkU16(domid, 'domid');
    if (this.#restrictedTo !== null && this.#restrictedTo !== domid) {
      throw new XenError('restrict', -errno.EINVAL, { domid });
    }
    this.#restrictedTo = domid;
  }

  /**
   * Another connection to this machine, with an arena and restrictions of its own, as a second process in dom0 that opens
   * privcmd has them. It fails when this machine is closed.
   */
  connect(): Hypervisor {
    return new ModelConnection(this);
  }

  /** As the end of a process: its event channels close. */
  close(): void {
    this.#closed = true;
    this.scheduler.close();
    for (const events of this.#openEvents.splice(0)) events.close();
    for (const grants of this.#openGrants.splice(0)) grants.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Makes a guest as a toolstack would, and starts it. Its vCPUs do what the caller has them do.
   *
   * @throws XenError when Xen would refuse such a domain (`EINVAL`, `EOPNOTSUPP`) or has no memory (`ENOMEM`)
   */
  createGuest(options: GuestOptions = {}): Guest {
    const domain = this.addGuest(options);
    if (domain.isHvm) {
      domain.params[HVM_PARAM_MONITOR_RING_PFN] = BigInt(MONITOR_RING_PFN);
      // xc_monitor_enable populates it
      domain.maxPages++;
    }
    for (const vcpu of domain.vcpus) vcpu.start();
    domain.pauseCount = 0;
    return asGuest(domain);
  }

  /** As {@link createGuest}, but the domain is left paused, with its vCPUs down, as createdomain leaves it. */
  addGuest(options: GuestOptions): Domain {
    const config = guestConfig(this, options);
    const domain = this.add(config);
    domain.makeVcpus();
    const pages = options.memoryPages ?? 0;
    domain.maxPages = pages;
    if (!domain.populateFromZero(pages, options.pages === '4K' ? ORDER_4K : ORDER_1G)) {
      this.destroy(domain);
      throw new XenError('createGuest', -errno.ENOMEM, { domid: config.domid });
    }
    return domain;
  }

  /**
   * A domain's kernel as a user of V4V, for the sockets of `xenctrl/v4v`. One at a time for each domain.
   *
   * @param memory frames of the domain that nobody else uses
   * @throws XenError ENOSYS: this machine has no V4V; ESRCH: no such domain; EINVAL: it has such a driver already
   */
  v4vPort(domid: number, memory: V4vMemory): V4vPort {
    const state = this.v4v?.domain(domid);
    if (!state) throw new XenError('v4vPort', this.v4v ? -errno.ESRCH : -errno.ENOSYS, { domid });
    return openV4vPort(state, memory, domid === this.dom0.domid ? this.openEvtchn() : null);
  }

  /**
   * Lets one vCPU that runs a script carry out one instruction, without waiting for the event loop.
   *
   * @returns false: none can run; all have ended, or wait for an agent or for dom0
   */
  step(): boolean {
    return this.scheduler.step();
  }

  /** From now on hypercalls of dom0 fail as asked, until the fault is used up. For tests of error paths. */
  injectFault(fault: Fault): void {
    this.#faults.push({ op: fault.op, errno: Math.abs(fault.errno), times: fault.times ?? 1 });
  }

  /** The whole machine as plain JSON; {@link ModelXen.restore} makes it again. Agents and mappings are no part of it. */
  save(): ModelSnapshot {
    return {
      format: 'xenctrl-model-snapshot/1',
      options: {
        release: this.release,
        altp2m: this.altp2mBooted,
        argo: this.argo.mode,
        ...(this.v4v ? { v4v: this.v4v.options } : {}),
        cpu: this.cpu,
        ...(this.pci.functions.size > 0 && { pci: this.pci.madeWith }),
        shadow: this.shadow,
        memSharing: this.memSharing,
        seed: this.#seed,
        memoryPages: this.memory.totalPages,
        arenaPages: this.arena.bytes.length / PAGE_SIZE,
      },
      lastDomid: this.#lastDomid,
      memory: this.memory.save(),
      domains: [...this.domains.values()].map((domain) => domain.save()),
      argo: this.argo.save(),
      ...(this.pci.functions.size > 0 && { pci: savePci(this.pci) }),
    };
  }

  /**
   * Makes a machine from a snapshot.
   *
   * @throws TypeError when it is none
   */
  static restore(snapshot: ModelSnapshot): ModelXen {
    if (snapshot?.format !== 'xenctrl-model-snapshot/1') throw new TypeError('this is no snapshot of a software Xen');
    const xen = new ModelXen(snapshot.options);
    if (snapshot.pci) restorePci(xen.pci, snapshot.pci);
    for (const state of snapshot.domains) {
      const { handle, ...config } = state.config;
      const isDom0 = config.domid === xen.dom0.domid;
      const domain = isDom0 ? xen.dom0 : xen.add({ ...config, handle: new Uint8Array(Buffer.from(handle, 'hex')) });
      domain.restore(state);
    }
    xen.memory.restore(snapshot.memory);
    for (const state of snapshot.domains) {
      const domain = xen.domains.get(state.config.domid);
      domain?.restoreRing(state);
      const parent = state.parent === null ? undefined : xen.domains.get(state.parent);
      if (parent) domain?.adopt(parent);
    }
    xen.argo.restore(snapshot.argo ?? []);
    xen.#lastDomid = snapshot.lastDomid;
    return xen;
  }

  /** The guest with this id, as {@link createGuest} gave it, or null. */
  guest(domid: number): Guest | null {
    const domain = domid === this.dom0.domid ? undefined : this.domains.get(domid);
    return domain ? asGuest(domain) : null;
  }

  /** @internal */
  freeDomid(): number | null {
    for (let tried = 0; tried < DOMID_FIRST_RESERVED; tried++) {
      this.#lastDomid = this.#lastDomid + 1 >= DOMID_FIRST_RESERVED ? 1 : this.#lastDomid + 1;
      if (!this.domains.has(this.#lastDomid)) return this.#lastDomid;
    }
    return null;
  }

  /** @internal */
  add(config: DomainConfig): Domain {
    const domain = new Domain(this, config);
    this.domains.set(config.domid, domain);
    this.v4v?.domainCreated(domain);
    return domain;
  }

  /** @internal */
  destroy(domain: Domain): void {
    if (domain.dying) return;
    for (const [virq, handler] of this.#virqHandlers) if (handler === domain) this.#virqHandlers.delete(virq);
    this.argo.teardown(domain);
    this.v4v?.domainDestroyed(domain);
    this.pci.domainDestroyed(domain);
    domain.die(() => this.domains.delete(domain.domid));
  }

  /** @internal */
  guestHypercall(vcpu: Vcpu, op: number, args: readonly number[]): number {
    const [a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = args;
    return hypercall(this, this.#kernelOf(vcpu), op, a1, a2, a3, a4, a5);
  }

  /** A domain's own kernel as a caller: its addresses are guest-physical. */
  #kernelOf(vcpu: Vcpu): Caller {
    const known = this.#kernels.get(vcpu);
    if (known) return known;
    const { domain } = vcpu;
    const caller: Caller = {
      vcpu,
      domain,
      privileged: domain === this.dom0,
      memory: new GuestMemory((address, write) => domain.page(Math.floor(address / PAGE_SIZE), write)),
      abi: domain.config.abi ?? 64,
      lookup: (domid) => lookupDomain(domain, this.domains, domid),
    };
    this.#kernels.set(vcpu, caller);
    return caller;
  }

  /** A hypercall that came over another connection than this one. @internal */
  connectedHypercall(caller: Caller, op: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    if (this.#closed) throw new TypeError('the machine of this connection is closed');
    return this.#takeFault(op) ?? hypercall(this, caller, op, a1, a2, a3, a4, a5);
  }

  #takeFault(op: number): number | null {
    const index = this.#faults.findIndex((fault) => fault.op === undefined || fault.op === op);
    const fault = this.#faults[index];
    if (!fault) return null;
    fault.times--;
    if (fault.times <= 0) this.#faults.splice(index, 1);
    return -fault.errno;
  }
}

/** The machine's V4V, if it is to have one. The number of the hypercall is Argo's, too. */
function v4vOf({ v4v = false, argo = 'not-compiled-in' }: ModelOptions): V4v | null {
  if (v4v === false) return null;
  if (argo !== 'not-compiled-in') throw new RangeError('a machine has V4V or Argo, not both: hypercall 39 is either');
  if (v4v instanceof V4v) return v4v;
  return new V4v(v4v === true ? {} : v4v);
}
