/** altp2m of one domain: switching it on and off, its views, and in which of them its vCPUs run. */

import { HVM_PARAM_ALTP2M, XEN_ALTP2M_external, XEN_ALTP2M_limited, XEN_ALTP2M_mixed } from '../abi/hvm/params.js';
import { INVALID_GFN } from '../abi/xen.js';
import { checkBoolean, checkObject, checkU16, checkU32, checkU64 } from '../hypervisor/check.js';
import {
  xc_altp2m_create_view,
  xc_altp2m_get_domain_state,
  xc_altp2m_get_mem_access,
  xc_altp2m_get_vcpu_p2m_idx,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_mem_access,
  xc_altp2m_set_vcpu_disable_notify,
  xc_altp2m_set_vcpu_enable_notify,
} from '../xc/altp2m.js';
import { xc_domain_getinfo_single } from '../xc/domain_info.js';
import { xc_hvm_param_get } from '../xc/hvm_param.js';
import { type Access, accessCode } from './access.js';
import { type Identity, isXenError } from './identity.js';
import { View } from './view.js';

/** What a domain's creator allowed: who may use altp2m on it. */
export type Altp2mModeName = 'disabled' | 'mixed' | 'external' | 'limited';

const MODES: ReadonlyMap<bigint, Altp2mModeName> = new Map([
  [BigInt(XEN_ALTP2M_mixed), 'mixed'],
  [BigInt(XEN_ALTP2M_external), 'external'],
  [BigInt(XEN_ALTP2M_limited), 'limited'],
]);

export interface CreateViewOptions {
  /**
   * Access of the frames that the view takes over from the host; default `'rwx'`. Xen 4.17 and 4.18 hardly look at it:
   * there the frames keep the host's access.
   */
  readonly defaultAccess?: Access;
  /** False: hidden as soon as it is made. Default true. */
  readonly visible?: boolean;
}

/** altp2m of one domain, {@link Domain.altp2m}. Every call first makes sure that the domain is still the same. */
export class Altp2m {
  readonly #identity: Identity;
  /** Views that this process has seen, by number. */
  readonly #known = new Map<number, View>();

  /** @internal */
  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /**
   * Who may use altp2m on the domain. `'disabled'`: nobody. `'mixed'`: dom0 and the guest itself. `'external'`: dom0.
   * `'limited'`: dom0, and the guest may give its vCPUs their #VE page.
   *
   * @throws XenError `EINVAL`: the domain is PV
   */
  get mode(): Altp2mModeName {
    const { xch, domid } = this.#check('xc_hvm_param_get');
    return MODES.get(xc_hvm_param_get(xch, domid, HVM_PARAM_ALTP2M)) ?? 'disabled';
  }

  /**
   * Whether altp2m is switched on.
   *
   * @throws XenError `EOPNOTSUPP`: this host, or a PV domain, has no altp2m. `EINVAL`: the domain has no altp2m mode.
   */
  get enabled(): boolean {
    const { xch, domid } = this.#check('xc_altp2m_get_domain_state');
    return xc_altp2m_get_domain_state(xch, domid);
  }

  /**
   * Switches altp2m on: every vCPU then runs in view 0, which is visible. On already: nothing happens.
   *
   * @throws XenError whose hint names the prerequisite that is missing
   */
  enable(): void {
    const { xch, domid } = this.#check('xc_altp2m_set_domain_state');
    xc_altp2m_set_domain_state(xch, domid, true);
  }

  /** Switches altp2m off. All views are destroyed, whoever made them. */
  disable(): void {
    const { xch, domid } = this.#check('xc_altp2m_set_domain_state');
    xc_altp2m_set_domain_state(xch, domid, false);
    for (const view of this.#known.values()) view.forget();
    this.#known.clear();
  }

  /**
   * Makes a view. It is empty and fills as the guest touches memory.
   *
   * With `visible: false` the guest might enter it in the moment before it is hidden. If hiding fails the view is
   * destroyed again.
   *
   * @returns the view, which `using` destroys: see {@link View}
   * @throws XenError `EINVAL`: the domain has as many views as it can
   */
  createView(options: CreateViewOptions = {}): View {
    checkObject(options, 'options');
    const { defaultAccess = 'rwx', visible = true } = options;
    checkBoolean(visible, 'options.visible');
    const access = accessCode(defaultAccess, this.#identity.xch.abi, 'options.defaultAccess');
    const { xch, domid } = this.#check('xc_altp2m_create_view');
    const index = xc_altp2m_create_view(xch, domid, access);
    this.#known.get(index)?.forget();
    const view = new View(this.#identity, index, true);
    this.#known.set(index, view);
    if (!visible) this.#hideOrDestroy(view);
    return view;
  }

  #hideOrDestroy(view: View): void {
    try {
      view.hide();
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * A view by its number, whoever made it: the object that {@link createView} gave, if it was made here. View 0 is always
   * there while altp2m is on.
   *
   * @throws XenError `EINVAL`: there is no such view
   */
  view(index: number): View {
    checkU16(index, 'index');
    this.#check('xc_altp2m_get_mem_access');
    this.#demand(index);
    return this.#object(index);
  }

  /** Looks which views exist, visible or not: up to 10 calls, and up to 512 since Xen 4.21. Changes nothing. */
  views(): View[] {
    this.#check('xc_altp2m_get_mem_access');
    const found: View[] = [];
    for (let index = 0; index < this.#identity.xch.abi.maxAltp2m; index++) {
      if (this.#exists(index)) found.push(this.#object(index));
      else this.#drop(index);
    }
    return found;
  }

  /** Moves every vCPU into a view; see {@link View.switchTo}. */
  switchTo(view: View | number): void {
    (view instanceof View ? view : this.view(view)).switchTo();
  }

  /**
   * The number of the view in which a vCPU runs.
   *
   * @throws XenError `EINVAL`: no such vCPU
   */
  viewOf(vcpu: number): number {
    checkU32(vcpu, 'vcpu');
    const { xch, domid } = this.#check('xc_altp2m_get_vcpu_p2m_idx');
    return xc_altp2m_get_vcpu_p2m_idx(xch, domid, vcpu);
  }

  /** {@link viewOf} every vCPU, by its number. */
  viewOfEach(): number[] {
    const { xch, domid } = this.#check('xc_altp2m_get_vcpu_p2m_idx');
    const last = xc_domain_getinfo_single(xch, domid).max_vcpu_id ?? -1;
    return Array.from({ length: last + 1 }, (_, vcpu) => xc_altp2m_get_vcpu_p2m_idx(xch, domid, vcpu));
  }

  /**
   * Gives a vCPU its #VE information page. This also is what enables VMFUNC on it.
   *
   * @param gfn frame of ordinary guest memory, which the processor will write to
   * @throws XenError `EEXIST`: it has one already: {@link disableNotify} first
   */
  enableNotify(vcpu: number, gfn: number | bigint): void {
    checkU32(vcpu, 'vcpu');
    checkU64(gfn, 'gfn');
    const { xch, domid } = this.#check('xc_altp2m_set_vcpu_enable_notify');
    xc_altp2m_set_vcpu_enable_notify(xch, domid, vcpu, gfn);
  }

  /** Takes a vCPU's #VE information page back. VMFUNC stays enabled. */
  disableNotify(vcpu: number): void {
    checkU32(vcpu, 'vcpu');
    const { xch, domid } = this.#check('xc_altp2m_set_vcpu_disable_notify');
    xc_altp2m_set_vcpu_disable_notify(xch, domid, vcpu);
  }

  /** Sets the access that frames of the *host's* p2m get when they have none of their own. */
  setHostDefaultAccess(access: Access): void {
    const code = accessCode(access, this.#identity.xch.abi, 'access');
    const { xch, domid } = this.#check('xc_altp2m_set_mem_access');
    xc_altp2m_set_mem_access(xch, domid, 0, INVALID_GFN, code);
  }

  #check(syscall: string): Identity {
    this.#identity.check(syscall);
    return this.#identity;
  }

  #object(index: number): View {
    const known = this.#known.get(index);
    if (known && !known.destroyed) return known;
    const view = new View(this.#identity, index, false);
    this.#known.set(index, view);
    return view;
  }

  #drop(index: number): void {
    this.#known.get(index)?.forget();
    this.#known.delete(index);
  }

  /** The default access can be asked for of every view that exists, and only of those. */
  #demand(index: number): void {
    const { xch, domid } = this.#identity;
    xc_altp2m_get_mem_access(xch, domid, index, INVALID_GFN);
  }

  #exists(index: number): boolean {
    try {
      this.#demand(index);
      return true;
    } catch (error) {
      if (isXenError(error, 'EINVAL')) return false;
      if (isXenError(error, 'ERANGE')) return true;
      throw error;
    }
  }
}
