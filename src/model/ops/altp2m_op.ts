/**
 * HVMOP_altp2m: decodes the structure and checks it in Xen's order (`do_altp2m_op`, `arch/x86/hvm/hvm.c`), which decides
 * the errno of a call that is wrong in more than one way.
 */

import { errno } from '../../abi/errno.js';
import {
  HVMOP_ALTP2M_INTERFACE_VERSION,
  HVMOP_altp2m_change_gfn,
  HVMOP_altp2m_create_p2m,
  HVMOP_altp2m_destroy_p2m,
  HVMOP_altp2m_get_domain_state,
  HVMOP_altp2m_get_mem_access,
  HVMOP_altp2m_get_p2m_idx,
  HVMOP_altp2m_get_suppress_ve,
  HVMOP_altp2m_set_domain_state,
  HVMOP_altp2m_set_mem_access,
  HVMOP_altp2m_set_mem_access_multi,
  HVMOP_altp2m_set_suppress_ve,
  HVMOP_altp2m_set_suppress_ve_multi,
  HVMOP_altp2m_set_visibility,
  HVMOP_altp2m_switch_p2m,
  HVMOP_altp2m_vcpu_disable_notify,
  HVMOP_altp2m_vcpu_enable_notify,
  xen_hvm_altp2m_change_gfn,
  xen_hvm_altp2m_get_vcpu_p2m_idx,
  xen_hvm_altp2m_mem_access,
  xen_hvm_altp2m_op,
  xen_hvm_altp2m_set_mem_access_multi,
  xen_hvm_altp2m_set_visibility,
  xen_hvm_altp2m_suppress_ve,
  xen_hvm_altp2m_suppress_ve_multi,
  xen_hvm_altp2m_vcpu_enable_notify,
  xen_hvm_altp2m_view,
} from '../../abi/hvm/hvm_op.js';
import { XEN_ALTP2M_disabled } from '../../abi/hvm/params.js';
import { releaseAbi } from '../../abi/release.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmAltp2m } from '../caller.js';
import type { Domain, Host } from '../domain.js';

const OP = xen_hvm_altp2m_op.at;
const U = OP.u;

/** One operation under way: everything a sub-operation needs. */
interface Call {
  readonly caller: Caller;
  readonly domain: Domain;
  /** The structure, and the offset of its union. */
  readonly view: DataView;
  readonly u: number;
  readonly address: number;
}

type SubOp = (call: Call) => number;

export function altp2mOp(host: Host, altp2mBooted: boolean, caller: Caller, address: number): number {
  if (!altp2mBooted || !host.cpu.hap || host.cpu.vendor !== 'intel') return -errno.EOPNOTSUPP;
  const { memory } = caller;
  if (!memory.copyIn(address, xen_hvm_altp2m_op.size)) return -errno.EFAULT;
  const { view, at } = memory;
  if (
    view.getUint16(at + OP.pad1, true) !== 0 ||
    view.getUint32(at + OP.pad2, true) !== 0 ||
    view.getUint32(at + OP.version, true) !== HVMOP_ALTP2M_INTERFACE_VERSION
  ) {
    return -errno.EINVAL;
  }
  const cmd = view.getUint32(at + OP.cmd, true);
  const subOp = SUB_OPS[cmd];
  if (!subOp) return -errno.EOPNOTSUPP;
  const domain = caller.lookup(view.getUint16(at + OP.domain, true));
  if (!domain) return -errno.ESRCH;
  if (!domain.isHvm) return -errno.EOPNOTSUPP;
  const ofState = cmd === HVMOP_altp2m_get_domain_state || cmd === HVMOP_altp2m_set_domain_state;
  if (!ofState && !domain.altp2m.active) return -errno.EOPNOTSUPP;
  if (domain.altp2mMode === XEN_ALTP2M_disabled) return -errno.EINVAL;
  if (domain.config.nrAltp2m === 0) return -errno.EOPNOTSUPP;
  const denied = xsmAltp2m(caller, domain, cmd);
  if (denied) return denied;
  return subOp({ caller, domain, view, u: at + U, address });
}

/** Copies the structure back to the caller. */
function reply({ caller, address }: Call): number {
  return caller.memory.copyOut(address, xen_hvm_altp2m_op.size) ? 0 : -errno.EFAULT;
}

function getDomainState(call: Call): number {
  call.view.setUint8(call.u, call.domain.altp2m.active ? 1 : 0);
  return reply(call);
}

function setDomainState({ domain, view, u }: Call): number {
  return domain.altp2m.setActive(view.getUint8(u) !== 0);
}

function enableNotify({ domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_vcpu_enable_notify.at;
  const vcpu = domain.vcpus[view.getUint32(u + F.vcpu_id, true)];
  if (view.getUint32(u + F.pad, true) !== 0 || !vcpu) return -errno.EINVAL;
  if (!domain.host.cpu.ve) return -errno.EOPNOTSUPP;
  if (vcpu.vePage !== null) return -errno.EEXIST;
  const entry = domain.p2m.lookup(getU64(view, u + F.gfn));
  if (!entry.present) return -errno.EINVAL;
  vcpu.vePage = entry.mfn;
  vcpu.vmfuncEnabled = domain.host.cpu.vmfunc;
  return 0;
}

function disableNotify({ domain, view, u }: Call): number {
  const vcpu = domain.vcpus[view.getUint32(u, true)];
  if (!vcpu) return -errno.EINVAL;
  if (!domain.host.cpu.ve) return -errno.EOPNOTSUPP;
  vcpu.vePage = null;
  return 0;
}

function createView(call: Call): number {
  const { domain, view, u } = call;
  const F = xen_hvm_altp2m_view.at;
  const access = accessOf(domain, view.getUint16(u + F.hvmmem_default_access, true));
  if (access === null) return -errno.EINVAL;
  const index = domain.altp2m.create(access);
  if (index < 0) return index;
  view.setUint16(u + F.view, index, true);
  return reply(call);
}

function destroyView({ domain, view, u }: Call): number {
  return domain.altp2m.destroy(view.getUint16(u, true));
}

function switchView({ domain, view, u }: Call): number {
  return domain.altp2m.switchAll(view.getUint16(u, true));
}

function setVisibility({ domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_set_visibility.at;
  if (view.getUint8(u + F.pad) !== 0) return -errno.EINVAL;
  return domain.altp2m.setVisibility(view.getUint16(u + F.altp2m_idx, true), view.getUint8(u + F.visible) !== 0);
}

function setMemAccess({ domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_mem_access.at;
  if (view.getUint32(u + F.pad, true) !== 0) return -errno.EINVAL;
  const index = view.getUint16(u + F.view, true);
  if (index !== 0 && !domain.altp2m.view(index)) return -errno.EINVAL;
  const access = accessOf(domain, view.getUint16(u + F.access, true));
  if (access === null) return -errno.EINVAL;
  if (isInvalidGfn(view, u + F.gfn)) {
    // the host's default, whichever view was named
    domain.defaultAccess = access;
    return 0;
  }
  return domain.altp2m.setMemAccess(index, getU64(view, u + F.gfn), access);
}

function getMemAccess(call: Call): number {
  const { domain, view, u } = call;
  const F = xen_hvm_altp2m_mem_access.at;
  if (view.getUint32(u + F.pad, true) !== 0) return -errno.EINVAL;
  const index = view.getUint16(u + F.view, true);
  const altView = index === 0 ? null : domain.altp2m.view(index);
  if (index !== 0 && !altView) return -errno.EINVAL;
  let access: number;
  if (isInvalidGfn(view, u + F.gfn)) {
    access = altView?.defaultAccess ?? domain.defaultAccess;
  } else {
    const entry = (altView?.p2m ?? domain.p2m).lookup(getU64(view, u + F.gfn));
    if (!entry.present) return -errno.ESRCH;
    access = entry.access;
  }
  view.setUint16(u + F.access, access, true);
  return reply(call);
}

function setMemAccessMulti({ caller, domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_set_mem_access_multi.at;
  const nr = view.getUint32(u + F.nr, true);
  const start = getU64(view, u + F.opaque);
  if (view.getUint16(u + F.pad, true) !== 0 || start > nr) return -errno.EINVAL;
  const index = view.getUint16(u + F.view, true);
  const gfns = getU64(view, u + F.pfn_list);
  const accesses = getU64(view, u + F.access_list);
  if (index !== 0 && !domain.altp2m.view(index)) return -errno.EINVAL;
  const { memory } = caller;
  for (let i = start; i < nr; i++) {
    if (!memory.copyIn(accesses + i, 1)) return -errno.EFAULT;
    const code = memory.view.getUint8(memory.at);
    if (!memory.copyIn(gfns + i * 8, 8)) return -errno.EFAULT;
    const gfn = getU64(memory.view, memory.at);
    const access = accessOf(domain, code);
    if (access === null) return -errno.EINVAL;
    const rc = domain.altp2m.setMemAccess(index, gfn, access);
    if (rc) return rc;
  }
  return 0;
}

function changeGfn({ caller, domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_change_gfn.at;
  if (view.getUint16(u + F.pad1, true) !== 0 || view.getUint32(u + F.pad2, true) !== 0) return -errno.EINVAL;
  const newGfn = isInvalidGfn(view, u + F.new_gfn) ? null : getU64(view, u + F.new_gfn);
  const oldGfn = getU64(view, u + F.old_gfn);
  return domain.altp2m.changeGfn(view.getUint16(u + F.view, true), oldGfn, newGfn, caller.domain === domain);
}

function setSuppressVe({ domain, view, u }: Call): number {
  const F = xen_hvm_altp2m_suppress_ve.at;
  if (view.getUint8(u + F.pad1) !== 0 || view.getUint32(u + F.pad2, true) !== 0) return -errno.EINVAL;
  const suppress = view.getUint8(u + F.suppress_ve) !== 0;
  return domain.altp2m.setSuppressVe(view.getUint16(u + F.view, true), getU64(view, u + F.gfn), suppress);
}

function getSuppressVe(call: Call): number {
  const { domain, view, u } = call;
  const F = xen_hvm_altp2m_suppress_ve.at;
  if (view.getUint8(u + F.pad1) !== 0 || view.getUint32(u + F.pad2, true) !== 0) return -errno.EINVAL;
  const index = view.getUint16(u + F.view, true);
  const altView = index === 0 ? null : domain.altp2m.view(index);
  if (index !== 0 && !altView) return -errno.EINVAL;
  const entry = (altView?.p2m ?? domain.p2m).lookup(getU64(view, u + F.gfn));
  if (!entry.present) return -errno.ESRCH;
  view.setUint8(u + F.suppress_ve, entry.suppressVe ? 1 : 0);
  return reply(call);
}

function setSuppressVeMulti(call: Call): number {
  const { domain, view, u } = call;
  const F = xen_hvm_altp2m_suppress_ve_multi.at;
  if (view.getUint8(u + F.pad1) !== 0 || view.getUint32(u + F.first_error, true) !== 0) return -errno.EINVAL;
  const index = view.getUint16(u + F.view, true);
  const first = getU64(view, u + F.first_gfn);
  const last = Math.min(getU64(view, u + F.last_gfn), 2 ** (domain.host.cpu.maxphysaddr - 12) - 1);
  if (first > last || (index !== 0 && !domain.altp2m.view(index))) return -errno.EINVAL;
  const suppress = view.getUint8(u + F.suppress_ve) !== 0;
  const { error, errorGfn } = setSuppressVeRange(domain, index, first, last, suppress);
  view.setInt32(u + F.first_error, error, true);
  putU64(view, u + F.first_error_gfn, errorGfn);
  putU64(view, u + F.first_gfn, last + 1);
  return reply(call);
}

/** Frames of a range one by one; a hole of the host's p2m is one failure, however large it is. */
function setSuppressVeRange(
  domain: Domain,
  index: number,
  first: number,
  last: number,
  suppress: boolean,
): { error: number; errorGfn: number } {
  let error = 0;
  let errorGfn = 0;
  for (let gfn = first; gfn <= last; ) {
    const { present, order } = domain.p2m.lookup(gfn);
    // a hole without a table is one step, and the host's stays as it is: a table for each frame would never end
    const step = present ? 1 : 2 ** order;
    const rc = index === 0 && step > 1 ? 0 : domain.altp2m.setSuppressVe(index, gfn, suppress);
    if (rc && !error) [error, errorGfn] = [rc, gfn];
    gfn += step - (gfn % step);
  }
  return { error, errorGfn };
}

function getP2mIdx(call: Call): number {
  const { domain, view, u } = call;
  const F = xen_hvm_altp2m_get_vcpu_p2m_idx.at;
  const vcpu = domain.vcpus[view.getUint32(u + F.vcpu_id, true)];
  if (!vcpu) return -errno.EINVAL;
  view.setUint16(u + F.altp2m_idx, vcpu.altp2mIndex, true);
  return reply(call);
}

/** The access that a number stands for in this domain, or null when it is none. */
export function accessOf(domain: Domain, code: number): number | null {
  const { accessDefault } = releaseAbi(domain.host.release);
  if (code === accessDefault) return domain.defaultAccess;
  return code < accessDefault ? code : null;
}

function isInvalidGfn(view: DataView, offset: number): boolean {
  return view.getUint32(offset, true) === 0xffff_ffff && view.getUint32(offset + 4, true) === 0xffff_ffff;
}

/** By command number. All of them exist since Xen 4.14, the oldest release modelled. */
const SUB_OPS: Readonly<Record<number, SubOp>> = {
  [HVMOP_altp2m_get_domain_state]: getDomainState,
  [HVMOP_altp2m_set_domain_state]: setDomainState,
  [HVMOP_altp2m_vcpu_enable_notify]: enableNotify,
  [HVMOP_altp2m_create_p2m]: createView,
  [HVMOP_altp2m_destroy_p2m]: destroyView,
  [HVMOP_altp2m_switch_p2m]: switchView,
  [HVMOP_altp2m_set_mem_access]: setMemAccess,
  [HVMOP_altp2m_change_gfn]: changeGfn,
  [HVMOP_altp2m_set_mem_access_multi]: setMemAccessMulti,
  [HVMOP_altp2m_set_suppress_ve]: setSuppressVe,
  [HVMOP_altp2m_get_suppress_ve]: getSuppressVe,
  [HVMOP_altp2m_get_mem_access]: getMemAccess,
  [HVMOP_altp2m_vcpu_disable_notify]: disableNotify,
  [HVMOP_altp2m_get_p2m_idx]: getP2mIdx,
  [HVMOP_altp2m_set_suppress_ve_multi]: setSuppressVeMulti,
  [HVMOP_altp2m_set_visibility]: setVisibility,
};
