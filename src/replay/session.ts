/** One replay under way: the software Xen, the handle on it, and the guest that the steps are about. */

import { errno } from '../abi/errno.js';
import { atLeast, type Release } from '../abi/release.js';
import { XenError } from '../hypervisor/error.js';
import type { Domain } from '../model/domain.js';
import { ModelXen } from '../model/index.js';
import type { ModelOptions } from '../model/options.js';
import { xc_altp2m_get_vcpu_p2m_idx } from '../xc/altp2m.js';
import { xc_domain_getinfo_single } from '../xc/domain_info.js';
import { type XcInterface, xc_interface_open } from '../xc/interface.js';
import { Agent } from './agent.js';
import { attempt } from './attempt.js';
import { GuestDriver } from './driver.js';

/** What there is to a guest beside the model's own domain. */
interface ReplayedGuest {
  readonly agent: Agent;
  /** By vCPU. */
  readonly drivers: Map<number, GuestDriver>;
  /** False: the recording's guest was not the program that the driver plays. */
  readonly driven: boolean;
}

export class Session implements Disposable {
  readonly xen: ModelXen;
  readonly xch: XcInterface;
  /** Target of the steps that name none; null before the first guest, and after one that could not be made. */
  current: number | null = null;
  readonly #guests = new Map<number, ReplayedGuest>();

  constructor(options: ModelOptions & { readonly release: Release }) {
    this.xen = new ModelXen(options);
    this.xch = xc_interface_open({ hypervisor: this.xen });
  }

  get release(): Release {
    return this.xen.release;
  }

  /** True when the release is `than` or newer. */
  since(than: Release): boolean {
    return atLeast(this.release, than);
  }

  /** Makes `domid` the target of what follows. */
  enter(domid: number, driven: boolean): void {
    this.#guests.set(domid, { agent: new Agent(this.xch, domid), drivers: new Map(), driven });
    this.current = domid;
  }

  agent(domid: number): Agent {
    return this.#guest(domid).agent;
  }

  /** The program on a vCPU; null when the domain or the vCPU does not exist. */
  driver(domid: number, vcpu: number): GuestDriver | null {
    const { drivers } = this.#guest(domid);
    const known = drivers.get(vcpu);
    if (known) return known;
    const processor = this.xen.domains.get(domid)?.vcpus[vcpu];
    if (!processor) return null;
    const driver = new GuestDriver(processor);
    drivers.set(vcpu, driver);
    return driver;
  }

  /** The recordings' program runs on: a recorder that unpauses its guest waits until it is there. */
  wake(domid: number): void {
    if (this.#guests.get(domid)?.driven) this.driver(domid, 0)?.wake();
  }

  /**
   * Has the recordings' program halt: its recorder does so before it shuts a domain down, without a row. Nothing happens
   * to other guests.
   */
  halt(domid: number): void {
    if (this.#guests.get(domid)?.driven) this.driver(domid, 0)?.die();
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

  /** The model's domain, for what no call reaches yet. */
  domain(domid: number, call: string): Domain {
    const domain = this.xen.domains.get(domid);
    if (!domain) throw new XenError(call, -errno.ESRCH, { domid });
    return domain;
  }

  [Symbol.dispose](): void {
    this.xch.close();
    this.xen.close();
  }

  #guest(domid: number): ReplayedGuest {
    const known = this.#guests.get(domid);
    if (known) return known;
    const guest = { agent: new Agent(this.xch, domid), drivers: new Map<number, GuestDriver>(), driven: false };
    this.#guests.set(domid, guest);
    return guest;
  }
}
