/** One replay under way: the Xen that it runs on, the handle on it, and the guest that the steps are about. */

import { atLeast, type Release } from '../abi/release.js';
import { ModelXen } from '../model/index.js';
import type { ModelOptions } from '../model/options.js';
import { xc_altp2m_get_vcpu_p2m_idx } from '../xc/altp2m.js';
import { xc_domain_getinfo_single } from '../xc/domain_info.js';
import { type XcInterface, xc_interface_open } from '../xc/interface.js';
import { Agent } from './agent.js';
import { attempt } from './attempt.js';
import { type Command, type CommandResult, GuestDriver } from './driver.js';

/** The program in a guest, as the steps have it do things. */
export interface GuestProgram {
  run(command: Command): CommandResult;
}

/** Where steps are taken. What differs between the software Xen and a real one is abstract. */
export abstract class Session implements Disposable {
  abstract readonly xch: XcInterface;
  /** Target of the steps that name none; null before the first guest, and after one that could not be made. */
  current: number | null = null;
  readonly #agents = new Map<number, Agent>();

  get release(): Release {
    return this.xch.abi.release;
  }

  /** True when the release is `than` or newer. */
  since(than: Release): boolean {
    return atLeast(this.release, than);
  }

  /** Makes `domid` the target of what follows. `driven`: the recordings' program runs in it. */
  abstract enter(domid: number, driven: boolean): void;

  /** The domain has its memory: the program is put into it. */
  abstract load(domid: number): void;

  /** The program on a vCPU; null when the domain or the vCPU does not exist. */
  abstract driver(domid: number, vcpu: number): GuestProgram | null;

  /** The domain has been unpaused: the recordings' program, if it is there, runs on. */
  abstract wake(domid: number): void;

  /**
   * Has the recordings' program halt: its recorder does so before it shuts a domain down, without a row. Nothing happens
   * to other guests.
   */
  abstract halt(domid: number): void;

  /** Lets go of what dom0 has mapped of a domain: one with mapped pages stays, dying, when it is destroyed. */
  letGo(domid: number): void {
    this.#agents.get(domid)?.letGo();
    this.#agents.delete(domid);
  }

  /** The introspection agent of a domain. */
  agent(domid: number): Agent {
    const agent = this.#agents.get(domid) ?? new Agent(this.xch, domid);
    this.#agents.set(domid, agent);
    return agent;
  }

  protected abstract close(): void;

  [Symbol.dispose](): void {
    for (const domid of [...this.#agents.keys()]) this.letGo(domid);
    this.close();
  }

  /** The view of a vCPU as dom0 sees it; -1 when Xen does not say. */
  viewOf(domid: number, vcpu: number): number {
    const { out } = attempt(() => ({ idx: xc_altp2m_get_vcpu_p2m_idx(this.xch, domid, vcpu) }));
    return Number(out['idx'] ?? -1);
  }

  /** Why a domain is shut down; -1 when it is not, -2 when there is no domain. */
  shutdownOf(domid: number): number {
    const { out } = attempt(() => ({ reason: xc_domain_getinfo_single(this.xch, domid).shutdown_reason ?? -1 }));
    return Number(out['reason'] ?? -2);
  }
}

/** What there is to a guest beside the model's own domain. */
interface ReplayedGuest {
  /** By vCPU. */
  readonly drivers: Map<number, GuestDriver>;
  /** False: the recording's guest was not the program that the driver plays. */
  readonly driven: boolean;
}

/** Steps taken on a software Xen made for them. */
export class ModelSession extends Session {
  readonly xen: ModelXen;
  readonly xch: XcInterface;
  readonly #guests = new Map<number, ReplayedGuest>();

  constructor(options: ModelOptions & { readonly release: Release }) {
    super();
    this.xen = new ModelXen(options);
    this.xch = xc_interface_open({ hypervisor: this.xen });
  }

  enter(domid: number, driven: boolean): void {
    this.#guests.set(domid, { drivers: new Map(), driven });
    this.current = domid;
  }

  load(): void {
    // the driver plays the program: no code is needed
  }

  driver(domid: number, vcpu: number): GuestDriver | null {
    const { drivers } = this.#guest(domid);
    const known = drivers.get(vcpu);
    if (known) return known;
    const processor = this.xen.domains.get(domid)?.vcpus[vcpu];
    if (!processor) return null;
    const driver = new GuestDriver(processor, () => this.agent(domid).poll());
    drivers.set(vcpu, driver);
    return driver;
  }

  /** A recorder that unpauses its guest waits until it is there. */
  wake(domid: number): void {
    if (this.#guests.get(domid)?.driven) this.driver(domid, 0)?.wake();
  }

  halt(domid: number): void {
    if (this.#guests.get(domid)?.driven) this.driver(domid, 0)?.die();
  }

  protected close(): void {
    this.xch.close();
    this.xen.close();
  }

  #guest(domid: number): ReplayedGuest {
    const known = this.#guests.get(domid);
    if (known) return known;
    const guest = { drivers: new Map<number, GuestDriver>(), driven: false };
    this.#guests.set(domid, guest);
    return guest;
  }
}
