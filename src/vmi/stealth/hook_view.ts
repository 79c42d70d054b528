/**
 * The altp2m view that hooks live in. In it a hooked frame shows its shadow, which may only be executed; everything else
 * is as the host has it. Everything done here is undone by {@link HookView.close}, step by step, whatever fails.
 */

import { XENMEM_access } from '../../abi/memory.js';
import { INVALID_GFN } from '../../abi/xen.js';
import { XenError } from '../../hypervisor/error.js';
import {
  xc_altp2m_change_gfn,
  xc_altp2m_create_view,
  xc_altp2m_destroy_view,
  xc_altp2m_get_domain_state,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_mem_access,
  xc_altp2m_set_visibility,
  xc_altp2m_switch_to_view,
} from '../../xc/altp2m.js';
import { xc_domain_getinfo_single } from '../../xc/domain_info.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_set_mem_access } from '../../xc/mem_access.js';
import {
  xc_domain_decrease_reservation_exact,
  xc_domain_maximum_gpfn,
  xc_domain_populate_physmap_exact,
  xc_domain_setmaxmem,
} from '../../xc/memory.js';

const KIB_OF_PAGE = 4;

/** Does one step of an undoing: what Xen refuses is gone, or was never done. */
export function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
  }
}

export class HookView {
  readonly #xch: XcInterface;
  readonly #domid: number;
  /** Shadows that exist. They are given back at the end, all together: Xen empties a view when a frame goes that it shows. */
  readonly #shadows = new Set<number>();
  /** Those of them that nothing shows. */
  readonly #idle: number[] = [];
  /** Frames free for shadows, from here on. */
  #spare: number;
  readonly #maxPages: number;
  #raised = false;
  #enabledHere = false;
  #index = 0;
  #closed = false;

  /**
   * Makes the view and moves the domain's vCPUs into it. Needs a monitor session: the domain's events go to whoever has
   * that.
   *
   * @param hidden neither VMFUNC nor a hypercall of the guest can enter the view (and see the hooks) once it has left it
   */
  constructor(xch: XcInterface, domid: number, hidden: boolean) {
    this.#xch = xch;
    this.#domid = domid;
    this.#spare = xc_domain_maximum_gpfn(xch, domid) + 1;
    this.#maxPages = xc_domain_getinfo_single(xch, domid).max_pages;
    try {
      this.#enabledHere = !xc_altp2m_get_domain_state(xch, domid);
      if (this.#enabledHere) xc_altp2m_set_domain_state(xch, domid, true);
      this.#index = xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
      xc_altp2m_switch_to_view(xch, domid, this.#index);
      // hiding it evicts nobody, and answers to events enter it all the same
      if (hidden) xc_altp2m_set_visibility(xch, domid, this.#index, false);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The view's number. */
  get index(): number {
    return this.#index;
  }

  /**
   * A page of memory at a frame that the guest has not, and that it cannot get at there.
   *
   * @throws XenError `EBUSY`: the host has no page left
   */
  newShadow(): number {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const xch = this.#xch;
    const domid = this.#domid;
    const gfn = this.#spare;
    this.#raised = true;
    xc_domain_setmaxmem(xch, domid, (this.#maxPages + this.#shadows.size + 1) * KIB_OF_PAGE);
    xc_domain_populate_physmap_exact(xch, domid, 0, 0, [gfn]);
    this.#spare++;
    this.#shadows.add(gfn);
    xc_set_mem_access(xch, domid, XENMEM_access.n, gfn, 1);
    return gfn;
  }

  isShadow(gfn: number): boolean {
    return this.#shadows.has(gfn);
  }

  /** Shows a shadow in a frame's place, to be executed only. */
  show(gfn: number, shadow: number): void {
    xc_altp2m_change_gfn(this.#xch, this.#domid, this.#index, gfn, shadow);
    xc_altp2m_set_mem_access(this.#xch, this.#domid, this.#index, gfn, XENMEM_access.x);
  }

  /** Has executing a frame that shows a shadow be an event, too, until it is shown again. */
  forbid(gfn: number): void {
    xc_altp2m_set_mem_access(this.#xch, this.#domid, this.#index, gfn, XENMEM_access.n);
  }

  /** Shows the frame itself again; the shadow is free for another. */
  hide(gfn: number, shadow: number): void {
    xc_altp2m_change_gfn(this.#xch, this.#domid, this.#index, gfn, INVALID_GFN);
    this.#idle.push(shadow);
  }

  /** Undoes everything; pause the domain around it. Twice is harmless. Nobody may have shadows mapped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const xch = this.#xch;
    const domid = this.#domid;
    if (this.#index > 0) {
      attempt(() => xc_altp2m_switch_to_view(xch, domid, 0));
      attempt(() => xc_altp2m_destroy_view(xch, domid, this.#index));
    }
    if (this.#enabledHere) attempt(() => xc_altp2m_set_domain_state(xch, domid, false));
    for (const shadow of this.#shadows) {
      attempt(() => xc_domain_decrease_reservation_exact(xch, domid, 0, [shadow]));
    }
    if (this.#raised) attempt(() => xc_domain_setmaxmem(xch, domid, this.#maxPages * KIB_OF_PAGE));
  }
}
