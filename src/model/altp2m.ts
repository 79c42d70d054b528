/**
 * altp2m of one domain: its views, which of them exist, which are visible, and what becomes of them when the host's p2m
 * changes. Functions return 0 or a negative errno. Xen's `arch/x86/mm/altp2m.c` and `mem_access.c` define the behaviour.
 */

import { errno } from '../abi/errno.js';
import { atLeast } from '../abi/release.js';
import type { Domain } from './domain.js';
import { ORDER_1G, ORDER_2M, ORDER_4K, P2m, type P2mEntry, type P2mState, type PageOrder } from './p2m.js';

/** A vCPU's view while altp2m is off. */
export const INVALID_ALTP2M = 0xffff;

/** One alternate view. */
export interface AltView {
  readonly p2m: P2m;
  /** Access of frames that the view takes over from the host. */
  readonly defaultAccess: number;
  /** Span of the frames that the view was made to show elsewhere; empty: min is Infinity. */
  minRemapped: number;
  maxRemapped: number;
  /** How many vCPUs run in the view. */
  activeVcpus: number;
  /** What VMFUNC and switch_to_view can enter. */
  visible: boolean;
}

export class Altp2m {
  active = false;
  /** The views' own copy of the domain's flag: Xen passes a change on only while altp2m is on. */
  accessRequired = false;
  /** By view number; null: not created. */
  readonly views: (AltView | null)[];
  readonly #domain: Domain;

  constructor(domain: Domain) {
    this.#domain = domain;
    this.views = new Array<AltView | null>(domain.config.nrAltp2m).fill(null);
  }

  view(index: number): AltView | null {
    return this.views[index] ?? null;
  }

  /** HVMOP_altp2m_set_domain_state. */
  setActive(on: boolean): number {
    if (this.#domain.config.nestedVirt) return -errno.EINVAL;
    if (on === this.active) return 0;
    if (on) {
      const first = newView(this.#domain, this.#domain.defaultAccess);
      this.views[0] = first;
      this.active = true;
      for (const vcpu of this.#domain.vcpus) {
        this.#move(vcpu, 0);
        // a vCPU that runs fetches its next instruction through the view at once
        if (this.#domain.runs && vcpu.online) this.propagateFromHost(first, vcpu.instructionFrame);
      }
    } else {
      for (const vcpu of this.#domain.vcpus) vcpu.leaveAltp2m();
      this.views.fill(null);
      this.active = false;
    }
    return 0;
  }

  /** HVMOP_altp2m_create_p2m. @returns the view's number or a negative errno */
  create(defaultAccess: number): number {
    const index = this.views.indexOf(null);
    if (index < 0) return -errno.EINVAL;
    this.views[index] = newView(this.#domain, defaultAccess);
    return index;
  }

  /** HVMOP_altp2m_destroy_p2m. */
  destroy(index: number): number {
    const view = this.view(index);
    if (index === 0 || !view || view.activeVcpus > 0) return -errno.EBUSY;
    this.views[index] = null;
    return 0;
  }

  /** HVMOP_altp2m_switch_p2m. */
  switchAll(index: number): number {
    if (!this.view(index)?.visible) return -errno.EINVAL;
    for (const vcpu of this.#domain.vcpus) this.#move(vcpu, index);
    return 0;
  }

  /** What the processor does on VMFUNC: only visible views can be entered. */
  vmfunc(vcpu: ViewHolder, index: number): boolean {
    if (!this.view(index)?.visible) return false;
    this.#move(vcpu, index);
    return true;
  }

  /** What an answer to a vm_event does (`p2m_altp2m_check`): hidden views can be entered, others are ignored. */
  switchByEvent(vcpu: ViewHolder, index: number): void {
    if (this.active && this.view(index)) this.#move(vcpu, index);
  }

  /** HVMOP_altp2m_set_visibility. */
  setVisibility(index: number, visible: boolean): number {
    const view = this.view(index);
    if (!view) return -errno.EINVAL;
    view.visible = visible;
    return 0;
  }

  /** Access of one frame. View 0 is the host's p2m. Frames without ordinary memory are skipped. */
  setMemAccess(index: number, gfn: number, access: number): number {
    if (index === 0) {
      const entry = this.#domain.p2m.lookup(gfn);
      if (entry.present) {
        this.#domain.p2m.set(gfn, entry.mfn, access, entry.suppressVe);
        this.propagateChange(gfn, ORDER_4K);
      }
      return 0;
    }
    const view = this.view(index);
    if (!view) return -errno.EINVAL;
    const entry = this.#effective(view, gfn, true);
    if (entry) view.p2m.set(gfn, entry.mfn, access, null);
    return 0;
  }

  /** HVMOP_altp2m_change_gfn; `newGfn` null takes the entry out. View 0 is altp2m's own. */
  changeGfn(index: number, oldGfn: number, newGfn: number | null, byGuestItself: boolean): number {
    const view = this.view(index);
    if (!view) return -errno.EINVAL;
    if (newGfn === null) {
      if (view.p2m.lookup(oldGfn).present) view.p2m.remove(oldGfn);
      return 0;
    }
    if (!this.#effective(view, oldGfn, true)) return -errno.ESRCH;
    const target = this.#effective(view, newGfn, false);
    if (!target) return -errno.ESRCH;
    view.p2m.set(oldGfn, target.mfn, target.access, !byGuestItself);
    view.minRemapped = Math.min(view.minRemapped, newGfn);
    view.maxRemapped = Math.max(view.maxRemapped, newGfn);
    return 0;
  }

  /** HVMOP_altp2m_set_suppress_ve. View 0 is the host's p2m, where a hole has the bit, too. */
  setSuppressVe(index: number, gfn: number, suppress: boolean): number {
    if (index === 0) {
      this.#setHostSuppressVe(gfn, suppress);
      return 0;
    }
    const view = this.view(index);
    if (!view) return -errno.EINVAL;
    const entry = this.#effective(view, gfn, true);
    if (!entry) return -errno.ESRCH;
    view.p2m.set(gfn, entry.mfn, entry.access, suppress);
    return 0;
  }

  #setHostSuppressVe(gfn: number, suppress: boolean): void {
    const { p2m } = this.#domain;
    const entry = p2m.lookup(gfn);
    if (entry.present) {
      p2m.set(gfn, entry.mfn, entry.access, suppress);
      this.propagateChange(gfn, ORDER_4K);
    } else {
      p2m.remove(gfn, suppress);
      this.propagateRemoval(gfn);
    }
  }

  /**
   * Takes a frame over from the host into a view (`p2m_altp2m_get_or_propagate`).
   *
   * @returns true when the view has an entry now that it had not before
   */
  propagateFromHost(view: AltView, gfn: number): boolean {
    const hole = view.p2m.lookup(gfn);
    if (hole.present) return false;
    const holeOrder = hole.order;
    const entry = this.#domain.p2m.lookup(gfn);
    if (!entry.present) return false;
    // up to 4.18 the view took the host's access over, whatever its own default
    const access = atLeast(this.#domain.host.release, '4.19') ? view.defaultAccess : entry.access;
    copyPage(view, gfn, entry, pageOrder(Math.min(entry.order, holeOrder)), access);
    return true;
  }

  /** The host's p2m has a new entry: views that hold the frame get it, too (`p2m_altp2m_propagate_change`). */
  propagateChange(gfn: number, order: PageOrder): void {
    if (!this.active) return;
    const entry = this.#domain.p2m.lookup(gfn);
    for (const view of this.views) {
      if (view?.p2m.lookup(gfn).present) view.p2m.set(gfn, entry.mfn, entry.access, null, order);
    }
  }

  /**
   * The host's p2m lost a frame. A view that was made to show a frame of that range is emptied; two such views, and all
   * are. Other views lose the frame.
   */
  propagateRemoval(gfn: number): void {
    if (!this.active) return;
    const remapped = this.views.filter((view) => view && gfn >= view.minRemapped && gfn <= view.maxRemapped);
    const emptied = remapped.length > 1 ? this.views : remapped;
    for (const view of emptied) if (view) resetView(view);
    for (const view of this.views) if (view?.p2m.lookup(gfn).present) view.p2m.remove(gfn);
  }

  /** Views that show these machine frames look again at which of them may be written. */
  refreshFrames(first: number, last: number): void {
    for (const view of this.views) view?.p2m.refresh(first, last);
  }

  /** What {@link restore} needs to make these views again. */
  save(): Altp2mState {
    return {
      active: this.active,
      accessRequired: this.accessRequired,
      views: this.views.map((view) => view && { ...view, p2m: view.p2m.save(), minRemapped: saved(view.minRemapped) }),
    };
  }

  restore(state: Altp2mState): void {
    this.active = state.active;
    this.accessRequired = state.accessRequired;
    state.views.forEach((from, index) => {
      if (!from) {
        this.views[index] = null;
        return;
      }
      const view = {
        ...from,
        p2m: new P2m(this.#domain.host.pci.readOnly),
        minRemapped: from.minRemapped ?? Number.POSITIVE_INFINITY,
      };
      view.p2m.restore(from.p2m);
      this.views[index] = view;
    });
  }

  /** Xen's `altp2m_get_effective_entry`: the view's entry, else the host's; null when there is no ordinary memory. */
  #effective(view: AltView, gfn: number, prepopulate: boolean): Readonly<P2mEntry> | null {
    const own = view.p2m.lookup(gfn);
    if (own.present) return own;
    const host = this.#hostRam(gfn);
    if (host && prepopulate && host.order > 0) {
      const access = atLeast(this.#domain.host.release, '4.22') ? view.defaultAccess : host.access;
      copyPage(view, gfn, host, pageOrder(host.order), access);
      return view.p2m.lookup(gfn);
    }
    return host;
  }

  #hostRam(gfn: number): Readonly<P2mEntry> | null {
    const entry = this.#domain.p2m.lookup(gfn);
    return entry.present ? entry : null;
  }

  #move(vcpu: ViewHolder, index: number): void {
    if (vcpu.altp2mIndex === index) return;
    const from = this.view(vcpu.altp2mIndex);
    if (from) from.activeVcpus--;
    const to = this.view(index);
    if (to) to.activeVcpus++;
    vcpu.altp2mIndex = index;
  }
}

/** What altp2m needs of a vCPU. */
interface ViewHolder {
  altp2mIndex: number;
  readonly online: boolean;
  readonly instructionFrame: number;
  leaveAltp2m(): void;
}

/** A saved {@link Altp2m}: plain JSON. */
export interface Altp2mState {
  readonly active: boolean;
  readonly accessRequired: boolean;
  readonly views: readonly (SavedView | null)[];
}

/** A saved {@link AltView}; `minRemapped` is null where nothing was remapped. */
type SavedView = Omit<AltView, 'p2m' | 'minRemapped'> & { readonly p2m: P2mState; readonly minRemapped: number | null };

/** JSON has no infinity. */
function saved(bound: number): number | null {
  return Number.isFinite(bound) ? bound : null;
}

function newView(domain: Domain, defaultAccess: number): AltView {
  return {
    p2m: new P2m(domain.host.pci.readOnly),
    defaultAccess,
    minRemapped: Number.POSITIVE_INFINITY,
    maxRemapped: 0,
    activeVcpus: 0,
    visible: true,
  };
}

function resetView(view: AltView): void {
  view.p2m.clear();
  view.minRemapped = Number.POSITIVE_INFINITY;
  view.maxRemapped = 0;
}

function copyPage(view: AltView, gfn: number, entry: Readonly<P2mEntry>, order: PageOrder, access: number): void {
  const within = gfn % 2 ** order;
  view.p2m.set(gfn - within, entry.mfn - within, access, true, order);
}

function pageOrder(order: number): PageOrder {
  return order >= ORDER_1G ? ORDER_1G : order >= ORDER_2M ? ORDER_2M : ORDER_4K;
}
