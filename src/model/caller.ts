/** Who makes a hypercall: the domain, its memory, and what the default XSM policy lets it do (`xsm/dummy.h`). */

import { errno } from '../abi/errno.js';
import { HVMOP_altp2m_vcpu_enable_notify } from '../abi/hvm/hvm_op.js';
import { XEN_ALTP2M_limited, XEN_ALTP2M_mixed } from '../abi/hvm/params.js';
import { DOMID_FIRST_RESERVED, DOMID_SELF } from '../abi/xen.js';
import type { CallerMemory } from './caller_memory.js';
import type { Domain } from './domain.js';
import type { Vcpu } from './vcpu.js';

export interface Caller {
  readonly domain: Domain;
  /** dom0: the control domain. */
  readonly privileged: boolean;
  readonly memory: CallerMemory;
  /** The guest's vCPU that calls; null for callers in dom0. */
  readonly vcpu: Vcpu | null;
  /** Width of the caller's pointers: 32 selects Xen's compat entry points. */
  readonly abi: 32 | 64;
  /** Finds a domain by id, DOMID_SELF included; null is ESRCH (`rcu_lock_domain_by_any_id`). */
  lookup(domid: number): Domain | null;
}

export function lookupDomain(self: Domain, domains: ReadonlyMap<number, Domain>, domid: number): Domain | null {
  if (domid === DOMID_SELF) return self;
  return domid >= DOMID_FIRST_RESERVED ? null : (domains.get(domid) ?? null);
}

/** XSM_PRIV: for the control domain only. */
export function xsmPriv(caller: Caller): number {
  return caller.privileged ? 0 : -errno.EPERM;
}

/** XSM_TARGET: for the domain itself, and for the control domain. */
export function xsmTarget(caller: Caller, target: Domain): number {
  return caller.privileged || caller.domain === target ? 0 : -errno.EPERM;
}

/** `xsm_hvm_altp2mhvm_op`: the altp2m mode says what a guest may do to itself. */
export function xsmAltp2m(caller: Caller, target: Domain, cmd: number): number {
  if (caller.privileged) return 0;
  if (caller.domain !== target) return -errno.EPERM;
  const mode = target.altp2mMode;
  const allowed = mode === XEN_ALTP2M_mixed || (mode === XEN_ALTP2M_limited && cmd === HVMOP_altp2m_vcpu_enable_notify);
  return allowed ? 0 : -errno.EPERM;
}
