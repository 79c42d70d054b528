/**
 * The altp2m calls, as libxc's `xc_altp2m.c`: alternate views of a guest's memory.
 *
 * Every call but the two of the domain's state needs altp2m to be switched on for the domain
 * ({@link xc_altp2m_set_domain_state}). Errors that any of them can give, in the order in which Xen looks:
 * - `ENOSYS`: this hypervisor was built without HVM.
 * - `EOPNOTSUPP`: no altp2m on this host (AMD, no EPT, or no `altp2m=1` on Xen's command line); the command is unknown to
 *   this release; the domain is not HVM or PVH; altp2m is not switched on for it.
 * - `ESRCH`: no such domain.
 * - `EINVAL`: HVM_PARAM_ALTP2M is 0 (only the two calls of the domain's state get that far).
 * - `EPERM`: the caller may not. dom0 always may; a guest only as its altp2m mode says.
 *
 * Source of the behaviour: Xen's `do_altp2m_op`, in `xen/arch/x86/hvm/hvm.c`.
 */

import {
  HVMOP_ALTP2M_INTERFACE_VERSION,
  HVMOP_altp2m,
  HVMOP_altp2m_change_gfn,
  HVMOP_altp2m_create_p2m,
  HVMOP_altp2m_destroy_p2m,
  HVMOP_altp2m_get_domain_state,
  HVMOP_altp2m_get_mem_access,
  HVMOP_altp2m_get_p2m_idx,
  HVMOP_altp2m_get_suppress_ve,
  HVMOP_altp2m_set_domain_state,
  HVMOP_altp2m_set_mem_access,
  HVMOP_altp2m_set_suppress_ve,
  HVMOP_altp2m_set_visibility,
  HVMOP_altp2m_switch_p2m,
  HVMOP_altp2m_vcpu_disable_notify,
  HVMOP_altp2m_vcpu_enable_notify,
  xen_hvm_altp2m_change_gfn,
  xen_hvm_altp2m_domain_state,
  xen_hvm_altp2m_get_vcpu_p2m_idx,
  xen_hvm_altp2m_mem_access,
  xen_hvm_altp2m_op,
  xen_hvm_altp2m_set_visibility,
  xen_hvm_altp2m_suppress_ve,
  xen_hvm_altp2m_vcpu_disable_notify,
  xen_hvm_altp2m_vcpu_enable_notify,
  xen_hvm_altp2m_view,
} from '../abi/hvm/hvm_op.js';
import { decodeAccess, encodeAccess, type XenmemAccess } from '../abi/memory.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkBoolean, checkDomid, checkU16, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import { altp2mError } from './altp2m_hint.js';
import type { XcInterface } from './interface.js';

const OP = OPERAND_OFFSET;
/** The operation's union. */
const U = OP + xen_hvm_altp2m_op.at.u;

/**
 * Writes the header of an operation and clears as much of the union as any operation here uses; the rest is never
 * written, so it stays as zero as the arena was made. All of it in place: nothing is allocated.
 *
 * @internal
 */
export function begin(xch: XcInterface, cmd: number, domid: number): DataView {
  checkDomid(domid);
  const { view } = xch.hypervisor.arena;
  view.setUint32(OP, HVMOP_ALTP2M_INTERFACE_VERSION, true);
  view.setUint32(OP + 4, cmd, true);
  view.setUint32(OP + 8, domid, true); // domain and pad1
  view.setUint32(OP + 12, 0, true);
  view.setFloat64(U, 0, true); // eight zero bytes in one store
  view.setFloat64(U + 8, 0, true);
  view.setFloat64(U + 16, 0, true);
  view.setFloat64(U + 24, 0, true);
  return view;
}

/**
 * Issues the operation that {@link begin} and its caller encoded.
 *
 * @internal
 */
export function issue(xch: XcInterface, syscall: string, domid: number): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, hypervisor.arena.operandAddress);
  if (rc < 0) throw altp2mError(xch, syscall, rc, domid);
}

const STATE = U + xen_hvm_altp2m_domain_state.at.state;

/**
 * Asks whether altp2m is switched on for a domain. Mirrors libxc's function of the same name, which gives the answer
 * through a pointer. Since Xen 4.6.
 *
 * @throws XenError `EINVAL`: the domain was created without an altp2m mode. Others: see the head of this file.
 */
export function xc_altp2m_get_domain_state(xch: XcInterface, domid: number): boolean {
  const view = begin(xch, HVMOP_altp2m_get_domain_state, domid);
  issue(xch, 'xc_altp2m_get_domain_state', domid);
  return view.getUint8(STATE) !== 0;
}

/**
 * Switches altp2m on or off for a domain. On: every vCPU runs in view 0, which is visible and follows the host's p2m.
 * Off: all views are gone; switched on again there is only view 0. The state it is in already: nothing happens.
 * Since Xen 4.6.
 *
 * @throws XenError `EINVAL`: the domain has no altp2m mode, or uses nested virtualisation. `ENOMEM`: no memory for the
 *   view's tables: raise the domain's paging pool (`xc_set_paging_mempool_size`). Others: see the head of this file.
 */
export function xc_altp2m_set_domain_state(xch: XcInterface, domid: number, state: boolean): void {
  checkBoolean(state, 'state');
  const view = begin(xch, HVMOP_altp2m_set_domain_state, domid);
  view.setUint8(STATE, state ? 1 : 0);
  issue(xch, 'xc_altp2m_set_domain_state', domid);
}

/**
 * Gives a vCPU its #VE information page and so lets EPT violations of pages whose suppress-#VE bit is clear come to the
 * guest as exception 20. It also is what enables VMFUNC on the vCPU: before the first call every VMFUNC is #UD.
 * Since Xen 4.6; from another domain than the guest since 4.12.
 *
 * @param gfn frame of ordinary guest memory that the processor will write to
 * @throws XenError `EEXIST`: the vCPU has a page already. `EINVAL`: no such vCPU, or the frame is no ordinary memory.
 *   `EAGAIN`: the frame is paged out or shared. `EPERM`: it is MMIO. `EOPNOTSUPP`: no #VE on this processor.
 */
export function xc_altp2m_set_vcpu_enable_notify(
  xch: XcInterface,
  domid: number,
  vcpuid: number,
  gfn: number | bigint,
): void {
  checkU32(vcpuid, 'vcpuid');
  checkU64(gfn, 'gfn');
  const view = begin(xch, HVMOP_altp2m_vcpu_enable_notify, domid);
  view.setUint32(U + xen_hvm_altp2m_vcpu_enable_notify.at.vcpu_id, vcpuid, true);
  putU64(view, U + xen_hvm_altp2m_vcpu_enable_notify.at.gfn, gfn);
  issue(xch, 'xc_altp2m_set_vcpu_enable_notify', domid);
}

/**
 * Takes a vCPU's #VE information page away. VMFUNC goes on working as long as altp2m is on. Since Xen 4.12.
 *
 * @throws XenError `EINVAL`: no such vCPU. A vCPU without a page is no error.
 */
export function xc_altp2m_set_vcpu_disable_notify(xch: XcInterface, domid: number, vcpuid: number): void {
  checkU32(vcpuid, 'vcpuid');
  const view = begin(xch, HVMOP_altp2m_vcpu_disable_notify, domid);
  view.setUint32(U + xen_hvm_altp2m_vcpu_disable_notify.at.vcpu_id, vcpuid, true);
  issue(xch, 'xc_altp2m_set_vcpu_disable_notify', domid);
}

/**
 * Creates a view: visible, empty, filled frame by frame from the host's p2m as the guest touches memory.
 * Since Xen 4.6; `default_access` is heeded since 4.14, and since 4.19 for frames that the view takes over, too (before,
 * those kept the host's access).
 *
 * @param default_access access of frames that the view takes over from the host
 * @returns number of the view, the lowest that is free
 * @throws XenError `EINVAL`: no view is free (10 in all up to Xen 4.20; since 4.21 as many as the domain was created
 *   with), or `default_access` is no access type. `ENOMEM`.
 */
export function xc_altp2m_create_view(xch: XcInterface, domid: number, default_access: XenmemAccess): number {
  const access = encodeAccess(default_access, xch.abi);
  checkU16(access, 'default_access');
  const view = begin(xch, HVMOP_altp2m_create_p2m, domid);
  view.setUint16(U + xen_hvm_altp2m_view.at.hvmmem_default_access, access, true);
  issue(xch, 'xc_altp2m_create_view', domid);
  return view.getUint16(U + xen_hvm_altp2m_view.at.view, true);
}

/**
 * Destroys a view, hidden or not. Since Xen 4.6.
 *
 * @throws XenError `EBUSY`: a vCPU runs in the view; or it is view 0, or there is no such view.
 */
export function xc_altp2m_destroy_view(xch: XcInterface, domid: number, view_id: number): void {
  onView(xch, 'xc_altp2m_destroy_view', HVMOP_altp2m_destroy_p2m, domid, view_id);
}

/**
 * Moves every vCPU of the domain into a view. Since Xen 4.6.
 *
 * @throws XenError `EINVAL`: no such view, or it is hidden; the vCPUs stay where they are.
 */
export function xc_altp2m_switch_to_view(xch: XcInterface, domid: number, view_id: number): void {
  onView(xch, 'xc_altp2m_switch_to_view', HVMOP_altp2m_switch_p2m, domid, view_id);
}

function onView(xch: XcInterface, syscall: string, cmd: number, domid: number, view_id: number): void {
  checkU16(view_id, 'view_id');
  const view = begin(xch, cmd, domid);
  view.setUint16(U + xen_hvm_altp2m_view.at.view, view_id, true);
  issue(xch, syscall, domid);
}

/**
 * Hides a view from VMFUNC and from {@link xc_altp2m_switch_to_view}, or shows it again. Since Xen 4.14.
 *
 * What it protects: in **mixed** mode the guest may make this very call on itself and then VMFUNC into the view, so
 * hiding is no protection there. It is one in **external** and **limited** mode, or under an XSM policy that keeps the
 * guest from the call.
 *
 * What it does not do: it evicts nobody (a vCPU in the view runs on, may leave, and may not come back); an answer to a
 * vm_event that names the view still enters it, and so does the return from a single step; all other calls on the view
 * work as before. View 0 can be hidden, too. Repeating it changes nothing. Xen has no call that tells whether a view is
 * hidden.
 *
 * @throws XenError `EINVAL`: no such view. `EOPNOTSUPP`: altp2m is off, or Xen is older than 4.14. `ESRCH`: no such
 *   domain.
 */
export function xc_altp2m_set_visibility(xch: XcInterface, domid: number, view_id: number, visible: boolean): void {
  checkU16(view_id, 'view_id');
  checkBoolean(visible, 'visible');
  const view = begin(xch, HVMOP_altp2m_set_visibility, domid);
  view.setUint16(U + xen_hvm_altp2m_set_visibility.at.altp2m_idx, view_id, true);
  view.setUint8(U + xen_hvm_altp2m_set_visibility.at.visible, visible ? 1 : 0);
  issue(xch, 'xc_altp2m_set_visibility', domid);
}

/**
 * Says in which view a vCPU runs. Since Xen 4.13.
 *
 * @throws XenError `EINVAL`: no such vCPU. `EOPNOTSUPP`: altp2m is off.
 */
export function xc_altp2m_get_vcpu_p2m_idx(xch: XcInterface, domid: number, vcpuid: number): number {
  checkU32(vcpuid, 'vcpuid');
  const view = begin(xch, HVMOP_altp2m_get_p2m_idx, domid);
  view.setUint32(U + xen_hvm_altp2m_get_vcpu_p2m_idx.at.vcpu_id, vcpuid, true);
  issue(xch, 'xc_altp2m_get_vcpu_p2m_idx', domid);
  return view.getUint16(U + xen_hvm_altp2m_get_vcpu_p2m_idx.at.altp2m_idx, true);
}

const SUPPRESS_VE = U + xen_hvm_altp2m_suppress_ve.at.suppress_ve;

/**
 * Sets or clears a frame's suppress-#VE bit in a view. Set (the default), violations of the frame exit to Xen; clear,
 * they come to the guest as #VE. View 0 means the host's p2m. Since Xen 4.12.
 *
 * @throws XenError `EINVAL`: no such view. `ESRCH`: the guest has no ordinary memory at `gfn`.
 */
export function xc_altp2m_set_suppress_ve(
  xch: XcInterface,
  domid: number,
  view_id: number,
  gfn: number | bigint,
  sve: boolean,
): void {
  checkBoolean(sve, 'sve');
  const view = suppressVe(xch, HVMOP_altp2m_set_suppress_ve, domid, view_id, gfn);
  view.setUint8(SUPPRESS_VE, sve ? 1 : 0);
  issue(xch, 'xc_altp2m_set_suppress_ve', domid);
}

/**
 * Asks for a frame's suppress-#VE bit in a view. Since Xen 4.12.
 *
 * @throws XenError `EINVAL`: no such view. `ESRCH`: the view has no entry for `gfn` yet, though the host may have one.
 */
export function xc_altp2m_get_suppress_ve(
  xch: XcInterface,
  domid: number,
  view_id: number,
  gfn: number | bigint,
): boolean {
  const view = suppressVe(xch, HVMOP_altp2m_get_suppress_ve, domid, view_id, gfn);
  issue(xch, 'xc_altp2m_get_suppress_ve', domid);
  return view.getUint8(SUPPRESS_VE) !== 0;
}

function suppressVe(xch: XcInterface, cmd: number, domid: number, view_id: number, gfn: number | bigint): DataView {
  checkU16(view_id, 'view_id');
  checkU64(gfn, 'gfn');
  const view = begin(xch, cmd, domid);
  view.setUint16(U + xen_hvm_altp2m_suppress_ve.at.view, view_id, true);
  putU64(view, U + xen_hvm_altp2m_suppress_ve.at.gfn, gfn);
  return view;
}

const ACCESS = U + xen_hvm_altp2m_mem_access.at.access;

/**
 * Sets the access of one frame in a view. View 0 means the host's p2m. `INVALID_GFN` sets the *host's* default access,
 * whatever the view. No monitor ring is needed. Since Xen 4.6.
 *
 * @throws XenError `EINVAL`: no such view or no such access type. A frame without ordinary memory is silently skipped.
 */
export function xc_altp2m_set_mem_access(
  xch: XcInterface,
  domid: number,
  view_id: number,
  gfn: number | bigint,
  access: XenmemAccess,
): void {
  const encoded = encodeAccess(access, xch.abi);
  checkU16(encoded, 'access');
  const view = memAccess(xch, HVMOP_altp2m_set_mem_access, domid, view_id, gfn);
  view.setUint16(ACCESS, encoded, true);
  issue(xch, 'xc_altp2m_set_mem_access', domid);
}

/**
 * Asks for the access of one frame in a view; `INVALID_GFN` for the view's default access. Since Xen 4.12.
 *
 * @throws XenError `EINVAL`: no such view. `ESRCH`: the view has no entry for `gfn` yet (views fill lazily), though the
 *   host may have one. `ERANGE`: the entry's access is none that can be told.
 */
export function xc_altp2m_get_mem_access(
  xch: XcInterface,
  domid: number,
  view_id: number,
  gfn: number | bigint,
): XenmemAccess {
  const view = memAccess(xch, HVMOP_altp2m_get_mem_access, domid, view_id, gfn);
  issue(xch, 'xc_altp2m_get_mem_access', domid);
  return decodeAccess(view.getUint16(ACCESS, true), xch.abi);
}

function memAccess(xch: XcInterface, cmd: number, domid: number, view_id: number, gfn: number | bigint): DataView {
  checkU16(view_id, 'view_id');
  checkU64(gfn, 'gfn');
  const view = begin(xch, cmd, domid);
  view.setUint16(U + xen_hvm_altp2m_mem_access.at.view, view_id, true);
  putU64(view, U + xen_hvm_altp2m_mem_access.at.gfn, gfn);
  return view;
}

/**
 * Makes `old_gfn` show, in one view, the memory that `new_gfn` shows; `INVALID_GFN` as `new_gfn` takes the frame's entry
 * out of the view, which then follows the host again. View 0 means altp2m's own view 0 here, not the host's p2m.
 * Since Xen 4.6.
 *
 * When the host loses a frame that a view was made to show, that view is emptied; two such views: all views are.
 *
 * @throws XenError `EINVAL`: no such view. `ESRCH`: no ordinary memory at one of the frames.
 */
export function xc_altp2m_change_gfn(
  xch: XcInterface,
  domid: number,
  view_id: number,
  old_gfn: number | bigint,
  new_gfn: number | bigint,
): void {
  checkU16(view_id, 'view_id');
  checkU64(old_gfn, 'old_gfn');
  checkU64(new_gfn, 'new_gfn');
  const view = begin(xch, HVMOP_altp2m_change_gfn, domid);
  view.setUint16(U + xen_hvm_altp2m_change_gfn.at.view, view_id, true);
  putU64(view, U + xen_hvm_altp2m_change_gfn.at.old_gfn, old_gfn);
  putU64(view, U + xen_hvm_altp2m_change_gfn.at.new_gfn, new_gfn);
  issue(xch, 'xc_altp2m_change_gfn', domid);
}
