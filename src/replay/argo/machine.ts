/** A software Xen with the domains and pages of an Argo recording. */

import { VIRQ_ARGO } from '../../abi/xen.js';
import type { EventChannels } from '../../hypervisor/event_channels.js';
import { ACCESS_RWX } from '../../model/access.js';
import type { ArgoMode } from '../../model/argo/argo.js';
import type { Caller } from '../../model/caller.js';
import type { Domain } from '../../model/domain.js';
import { ModelXen } from '../../model/index.js';
import { ORDER_4K } from '../../model/p2m.js';
import { type MemoryItem, RecordedMemory } from './memory.js';
import { PageSet } from './page_set.js';

const PAGE_SIZE = 4096;

/** A guest as a create_domain row describes it. */
export interface RecordedGuest {
  readonly name: string;
  readonly domid: number;
  readonly abi: 32 | 64;
  readonly vcpus: number;
  readonly gfns: readonly number[];
}

interface Player {
  readonly domain: Domain;
  readonly abi: 32 | 64;
  /** Its port of VIRQ_ARGO; 0: not bound. */
  port: number;
  /** A frame that keeps the domain in being after its end. */
  heldFrame: number | null;
}

export class ArgoMachine {
  readonly xen: ModelXen;
  readonly pageSets = new Map<string, PageSet>();
  readonly #players = new Map<string, Player>();
  readonly #dom0Events: EventChannels;

  constructor(mode: ArgoMode) {
    this.xen = new ModelXen({ release: '4.20', argo: mode });
    const { dom0 } = this.xen;
    // of dom0's memory only the recorded frames matter, and none but they are its own
    dom0.p2m.clear();
    this.#players.set('dom0', { domain: dom0, abi: 64, port: 0, heldFrame: null });
    this.#dom0Events = this.xen.eventChannels();
  }

  has(name: string): boolean {
    return this.#players.has(name);
  }

  /** The name of the domain with this id that was made last. */
  nameOf(domid: number): string | null {
    const names = [...this.#players].filter(([, { domain }]) => domain.domid === domid).map(([name]) => name);
    return names.at(-1) ?? null;
  }

  createGuest(guest: RecordedGuest): void {
    const domain = this.xen.add({
      domid: guest.domid,
      type: 'hvm',
      hap: true,
      nestedVirt: false,
      maxVcpus: guest.vcpus,
      handle: new Uint8Array(16),
      altp2mMode: 0,
      nrAltp2m: 0,
      ssidref: 0,
      emulationFlags: 1,
      maxEvtchnPort: 1023,
      maxGrantFrames: 64,
      vmtraceSize: 0,
      abi: guest.abi,
    });
    domain.makeVcpus();
    domain.maxPages = guest.gfns.length;
    for (const gfn of guest.gfns) domain.populate(gfn, ORDER_4K);
    this.#players.set(guest.name, { domain, abi: guest.abi, port: 0, heldFrame: null });
  }

  addPages(name: string, owner: string, gfns: readonly number[]): PageSet {
    const { domain } = this.#player(owner);
    for (const gfn of gfns) if (!domain.p2m.lookup(gfn).present) this.#addFrame(domain, gfn);
    const pages = new PageSet(name, domain, gfns);
    this.pageSets.set(name, pages);
    return pages;
  }

  #addFrame(domain: Domain, gfn: number): void {
    domain.maxPages = Math.max(domain.maxPages, domain.totPages + 1);
    if (domain.isHvm) domain.populate(gfn, ORDER_4K);
    else domain.p2m.set(gfn, this.xen.memory.allocate(domain.domid, ORDER_4K) ?? 0, ACCESS_RWX, null);
  }

  bindVirq(name: string, virq: number, vcpu: number): number {
    const player = this.#player(name);
    const { domain } = player;
    const port = domain === this.xen.dom0 ? this.#dom0Events.bindVirq(virq) : domain.events.bindVirq(virq, vcpu);
    if (port > 0 && virq === VIRQ_ARGO) player.port = port;
    return Math.min(port, 0);
  }

  /** Names of the domains that VIRQ_ARGO came to since the last call of this. */
  takeSignalled(): string[] {
    const signalled: string[] = [];
    for (const [name, { domain, port }] of this.#players) {
      if (port === 0 || domain === this.xen.dom0 || !domain.events.isPending(port)) continue;
      domain.events.clearPending(port);
      signalled.push(name);
    }
    for (let port = this.#dom0Events.pending(); port > 0; port = this.#dom0Events.pending()) {
      this.#dom0Events.unmask(port);
      signalled.push('dom0');
    }
    return signalled;
  }

  /** Ends a domain; as a zombie it is still there, without any part in Argo. */
  destroy(name: string, zombie: boolean): void {
    const player = this.#player(name);
    const { domain } = player;
    if (zombie) {
      const frame = this.xen.memory.allocate(domain.domid, ORDER_4K);
      domain.totPages++;
      if (frame !== null) this.xen.memory.hold(domain.domid, frame);
      player.heldFrame = frame;
    }
    for (const [key, pages] of this.pageSets) if (pages.owner === domain) this.pageSets.delete(key);
    this.xen.destroy(domain);
    if (!zombie) this.#players.delete(name);
  }

  releaseZombie(name: string): void {
    const { heldFrame } = this.#player(name);
    if (heldFrame !== null) this.xen.memory.letGo(heldFrame);
    this.#players.delete(name);
  }

  softReset(name: string): void {
    const player = this.#player(name);
    this.xen.argo.teardown(player.domain);
    player.domain.events.reset();
    player.port = 0;
  }

  domain(name: string): Domain {
    return this.#player(name).domain;
  }

  /** A hypercall of a domain whose memory is what the row lists. @returns the register, as a signed number */
  call(name: string, op: number, args: readonly number[], items: readonly MemoryItem[]): number {
    const { domain, abi } = this.#player(name);
    const [a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = args;
    const memory = new RecordedMemory(items, (address) =>
      domain === this.xen.dom0 || !Number.isSafeInteger(address)
        ? null
        : domain.page(Math.floor(address / PAGE_SIZE), true),
    );
    const caller: Caller = { ...this.xen.dom0Caller, domain, privileged: domain === this.xen.dom0, memory, abi };
    return this.xen.connectedHypercall(caller, op, a1, a2, a3, a4, a5);
  }

  #player(name: string): Player {
    const player = this.#players.get(name);
    if (!player) throw new RangeError(`there is no domain ${name}`);
    return player;
  }
}
