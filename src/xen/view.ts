/** One altp2m view of a domain. */

import { inspect } from 'node:util';
import { INVALID_GFN } from '../abi/xen.js';
import { checkBoolean, checkObject, checkU64, checkU64List, type FrameList } from '../hypervisor/check.js';
import {
  xc_altp2m_change_gfn,
  xc_altp2m_destroy_view,
  xc_altp2m_get_mem_access,
  xc_altp2m_get_suppress_ve,
  xc_altp2m_set_mem_access,
  xc_altp2m_set_suppress_ve,
  xc_altp2m_set_visibility,
  xc_altp2m_switch_to_view,
} from '../xc/altp2m.js';
import {
  type SuppressVeMultiResult,
  xc_altp2m_set_mem_access_multi,
  xc_altp2m_set_suppress_ve_multi,
} from '../xc/altp2m_multi.js';
import { xc_altp2m_set_mem_access_multi_async } from '../xc/altp2m_multi_async.js';
import { type AsyncOptions, checkAsyncOptions } from '../xc/progress.js';
import { type Access, type AccessName, accessCode, accessName } from './access.js';
import { type Identity, isXenError } from './identity.js';

/** How to destroy a view that a vCPU runs in. */
export interface DestroyViewOptions {
  /** Hide the view, move every vCPU of the domain to view 0, and then destroy it. Default false: `EBUSY`. */
  readonly evict?: boolean;
}

/**
 * One view: what a guest's memory looks like to the vCPUs that run in it. Made by {@link Altp2m.createView} or looked up
 * by {@link Altp2m.view}.
 *
 * Every call first makes sure that the domain is still the same (see {@link Domain}); what Xen then refuses is an
 * {@link XenError}. After {@link destroy} every call is a TypeError.
 *
 * A view that {@link Altp2m.createView} made is destroyed at the end of its scope:
 * ```ts
 * using view = domain.altp2m.createView();
 * ```
 * vCPUs that run in it are moved to view 0 first, all of the domain's (Xen cannot move one), as by
 * `destroy({ evict: true })`. A view that was looked up is somebody else's and stays.
 */
export class View implements Disposable {
  /** Its number: what VMFUNC and the `xc_altp2m_*` calls take. */
  readonly index: number;
  /** Made by this object's {@link Altp2m}, which destroys it at the end of its scope. */
  readonly owned: boolean;
  readonly #identity: Identity;
  #visible: boolean | null;
  #gone = false;

  /** @internal */
  constructor(identity: Identity, index: number, owned: boolean) {
    this.#identity = identity;
    this.index = index;
    this.owned = owned;
    // views are made visible; of others nobody can tell
    this.#visible = owned ? true : null;
  }

  /**
   * Whether VMFUNC and {@link switchTo} can enter the view, as far as this process knows: what it last did. Null: it
   * does not know. Xen has no call that tells; other processes, and in mixed mode the guest, may have changed it since.
   */
  get visible(): boolean | null {
    return this.#visible;
  }

  /** Whether it was destroyed, by {@link destroy} or with altp2m by {@link Altp2m.disable}. */
  get destroyed(): boolean {
    return this.#gone;
  }

  /**
   * Hides the view from VMFUNC and from {@link switchTo}. Since Xen 4.14.
   *
   * It protects in external and limited mode only: in mixed mode the guest may undo it by a hypercall of its own. It
   * evicts nobody, and a vm_event answer still enters the view: see {@link xc_altp2m_set_visibility}.
   *
   * @throws XenError `EINVAL`: the view is no more
   */
  hide(): void {
    this.#setVisible(false);
  }

  /** Undoes {@link hide}. */
  show(): void {
    this.#setVisible(true);
  }

  #setVisible(visible: boolean): void {
    this.#check('xc_altp2m_set_visibility');
    xc_altp2m_set_visibility(this.#identity.xch, this.#identity.domid, this.index, visible);
    this.#visible = visible;
  }

  /**
   * Moves every vCPU of the domain into the view.
   *
   * @throws XenError `EINVAL`: it is hidden, or no more
   */
  switchTo(): void {
    this.#check('xc_altp2m_switch_to_view');
    xc_altp2m_switch_to_view(this.#identity.xch, this.#identity.domid, this.index);
  }

  /**
   * Destroys the view. Twice is harmless.
   *
   * With `evict`, the view is hidden first, so that no vCPU comes back; when that or the move fails, it is shown again
   * (if it is known to have been visible) and stays.
   *
   * @throws XenError `EBUSY`: a vCPU runs in it and `evict` is false; or it is view 0. `EINVAL` with `evict`: view 0 is
   *   hidden, so that the vCPUs have nowhere to go.
   */
  destroy(options: DestroyViewOptions = {}): void {
    checkObject(options, 'options');
    const { evict = false } = options;
    checkBoolean(evict, 'options.evict');
    if (this.#gone) return;
    this.#check('xc_altp2m_destroy_view');
    try {
      this.#destroyNow();
    } catch (error) {
      if (!evict || this.index === 0 || !isXenError(error, 'EBUSY')) throw error;
      this.#evictAndDestroy();
    }
  }

  #destroyNow(): void {
    xc_altp2m_destroy_view(this.#identity.xch, this.#identity.domid, this.index);
    this.forget();
  }

  #evictAndDestroy(): void {
    const { xch, domid } = this.#identity;
    const before = this.#visible;
    try {
      xc_altp2m_set_visibility(xch, domid, this.index, false);
    } catch (error) {
      if (!isXenError(error, 'EINVAL')) throw error;
      this.forget(); // Xen says EBUSY of a view that is no more, too
      return;
    }
    this.#visible = false;
    try {
      xc_altp2m_switch_to_view(xch, domid, 0);
      this.#destroyNow();
    } catch (error) {
      if (before === true) this.#setVisible(true);
      throw error;
    }
  }

  /** Destroys the view if it is {@link owned}; see the class. A domain that is gone took its views along. */
  [Symbol.dispose](): void {
    if (!this.owned || this.#gone) return;
    try {
      this.destroy({ evict: true });
    } catch (error) {
      // ESRCH: no domain; EOPNOTSUPP: altp2m was switched off, which destroys every view
      if (!isXenError(error, 'ESRCH') && !isXenError(error, 'EOPNOTSUPP')) throw error;
      this.forget();
    }
  }

  /** The view is no more. @internal */
  forget(): void {
    this.#gone = true;
    this.#visible = null;
  }

  /** Access of the frames that the view has not taken over from the host yet. View 0: the host's default access. */
  get defaultAccess(): AccessName | number {
    this.#check('xc_altp2m_get_mem_access');
    return accessName(xc_altp2m_get_mem_access(this.#identity.xch, this.#identity.domid, this.index, INVALID_GFN));
  }

  /**
   * Access of one frame. View 0 means the host's p2m, as in all calls on access.
   *
   * @returns null: the view has no entry for the frame yet (it fills as the guest touches memory), or there is no memory
   */
  getAccess(gfn: number | bigint): AccessName | number | null {
    checkFrame(gfn, 'gfn');
    return this.#ifPresent('xc_altp2m_get_mem_access', () =>
      accessName(xc_altp2m_get_mem_access(this.#identity.xch, this.#identity.domid, this.index, gfn)),
    );
  }

  /**
   * Sets the access of one frame. A frame without ordinary memory is silently skipped, as Xen does.
   *
   * @throws RangeError for `INVALID_GFN`, which would set the *host's* default access: {@link Altp2m.setHostDefaultAccess}
   * @throws XenError `EINVAL`: the view is no more, or Xen does not know the access type
   */
  setAccess(gfn: number | bigint, access: Access): void {
    checkFrame(gfn, 'gfn');
    const code = accessCode(access, this.#identity.xch.abi, 'access');
    this.#check('xc_altp2m_set_mem_access');
    xc_altp2m_set_mem_access(this.#identity.xch, this.#identity.domid, this.index, gfn, code);
  }

  /**
   * Sets the access of many frames. Xen stops at the first error; what came before stays set.
   *
   * @param access one for all, or one a frame in a list of the same length; a `Uint8Array` holds Xen's own numbers
   */
  setAccessOf(gfns: FrameList, access: Access | readonly Access[] | Uint8Array): void {
    const codes = this.#codes(gfns, access);
    this.#check('xc_altp2m_set_mem_access_multi');
    xc_altp2m_set_mem_access_multi(this.#identity.xch, this.#identity.domid, this.index, codes, gfns);
  }

  /**
   * {@link setAccessOf} off the main thread, in pieces, with progress in frames. The domain is checked once, at the start.
   *
   * @throws CallAbortedError `options.signal` stopped it: the first `done` frames have their access, the others do not
   */
  async setAccessOfAsync(
    gfns: FrameList,
    access: Access | readonly Access[] | Uint8Array,
    options: AsyncOptions = {},
  ): Promise<void> {
    const codes = this.#codes(gfns, access);
    checkAsyncOptions(options);
    this.#check('xc_altp2m_set_mem_access_multi');
    const { xch, domid } = this.#identity;
    await xc_altp2m_set_mem_access_multi_async(xch, domid, this.index, codes, gfns, options);
  }

  #codes(gfns: FrameList, access: Access | readonly Access[] | Uint8Array): Uint8Array {
    checkU64List(gfns, 'gfns');
    const { abi } = this.#identity.xch;
    const listed = access instanceof Uint8Array || Array.isArray(access);
    if (!listed) return new Uint8Array(gfns.length).fill(accessCode(access as Access, abi, 'access'));
    const list = access as readonly Access[] | Uint8Array;
    if (list.length !== gfns.length) {
      throw new RangeError(`access has ${list.length} entries and gfns ${gfns.length}: give one of each a frame`);
    }
    return list instanceof Uint8Array ? list : Uint8Array.from(list, (one, i) => accessCode(one, abi, `access[${i}]`));
  }

  /**
   * Makes the frame `gfn` show, in this view, the memory that `to` shows. In view 0 this is altp2m's own table, not the
   * host's.
   *
   * When the host loses a frame that a view was made to show, that view is emptied; two such views: all views are.
   *
   * @throws XenError `ESRCH`: no ordinary memory at one of the frames. `EINVAL`: the view is no more.
   */
  remap(gfn: number | bigint, to: number | bigint): void {
    checkFrame(gfn, 'gfn');
    checkFrame(to, 'to');
    this.#check('xc_altp2m_change_gfn');
    xc_altp2m_change_gfn(this.#identity.xch, this.#identity.domid, this.index, gfn, to);
  }

  /** Takes the frame's entry out of the view, remapped or not: it follows the host again. */
  unremap(gfn: number | bigint): void {
    checkFrame(gfn, 'gfn');
    this.#check('xc_altp2m_change_gfn');
    xc_altp2m_change_gfn(this.#identity.xch, this.#identity.domid, this.index, gfn, INVALID_GFN);
  }

  /**
   * Sets a frame's suppress-#VE bit. Set (as it is at first), violations of the frame go to Xen and its listeners;
   * clear, they come to the guest as #VE.
   *
   * @throws XenError `ESRCH`: no ordinary memory there
   */
  setSuppressVe(gfn: number | bigint, suppress: boolean): void {
    checkFrame(gfn, 'gfn');
    checkBoolean(suppress, 'suppress');
    this.#check('xc_altp2m_set_suppress_ve');
    xc_altp2m_set_suppress_ve(this.#identity.xch, this.#identity.domid, this.index, gfn, suppress);
  }

  /** A frame's suppress-#VE bit; null: the view has no entry for the frame yet. */
  getSuppressVe(gfn: number | bigint): boolean | null {
    checkFrame(gfn, 'gfn');
    return this.#ifPresent('xc_altp2m_get_suppress_ve', () =>
      xc_altp2m_get_suppress_ve(this.#identity.xch, this.#identity.domid, this.index, gfn),
    );
  }

  /** {@link setSuppressVe} for the frames from `first` to `last`. Single failures do not stop it: the result has the first. */
  setSuppressVeRange(first: number | bigint, last: number | bigint, suppress: boolean): SuppressVeMultiResult {
    checkFrame(first, 'first');
    checkU64(last, 'last');
    checkBoolean(suppress, 'suppress');
    this.#check('xc_altp2m_set_suppress_ve_multi');
    const { xch, domid } = this.#identity;
    return xc_altp2m_set_suppress_ve_multi(xch, domid, this.index, first, last, suppress);
  }

  /** What `console.log` shows; asks Xen nothing. */
  [inspect.custom](): string {
    const state = this.#gone
      ? 'destroyed'
      : this.#visible === null
        ? 'visibility unknown'
        : this.#visible
          ? 'visible'
          : 'hidden';
    return `View ${this.index} of domain ${this.#identity.domid} (${state})`;
  }

  #check(syscall: string): void {
    const { domid } = this.#identity;
    if (this.#gone) throw new TypeError(`view ${this.index} of domain ${domid} is destroyed`);
    this.#identity.check(syscall);
  }

  /** ESRCH stands for a missing entry and for a missing domain: only the first is null. */
  #ifPresent<T>(syscall: string, ask: () => T): T | null {
    this.#check(syscall);
    try {
      return ask();
    } catch (error) {
      if (!isXenError(error, 'ESRCH')) throw error;
      this.#identity.checkNow(syscall);
      return null;
    }
  }
}

function checkFrame(gfn: number | bigint, name: string): void {
  checkU64(gfn, name);
  if (gfn === INVALID_GFN) throw new RangeError(`${name} must be a frame, not INVALID_GFN`);
}
