/**
 * The errors of the altp2m calls. Where altp2m as a whole cannot work, the hint names the missing prerequisite, which is
 * looked up on the same handle; for the everyday refusals it is a text from a table.
 */

import { errno } from '../abi/errno.js';
import { XenError } from '../hypervisor/error.js';
import { altp2mActive, diagnoseAltp2m, type Prerequisite } from './altp2m_diagnose.js';
import { type XcInterface, xenAtLeast } from './interface.js';
import { staticHint } from './refusal.js';

/** Minor version of Xen 4 that a call came with, for those that came after altp2m itself. */
const SINCE: Readonly<Record<string, number>> = {
  xc_altp2m_set_mem_access_multi: 11,
  xc_altp2m_set_suppress_ve: 12,
  xc_altp2m_get_suppress_ve: 12,
  xc_altp2m_get_mem_access: 12,
  xc_altp2m_set_vcpu_disable_notify: 12,
  xc_altp2m_get_vcpu_p2m_idx: 13,
  xc_altp2m_set_suppress_ve_multi: 14,
  xc_altp2m_set_visibility: 14,
};

const STATE_CALLS: readonly string[] = ['xc_altp2m_get_domain_state', 'xc_altp2m_set_domain_state'];
const VE_CALLS: readonly string[] = ['xc_altp2m_set_vcpu_enable_notify', 'xc_altp2m_set_vcpu_disable_notify'];

/**
 * Makes the error of a failed altp2m call, and looks for the missing prerequisite. Never throws, and never changes what
 * Xen answered.
 */
export function altp2mError(xch: XcInterface, syscall: string, rc: number, domid: number): XenError {
  return new XenError(syscall, rc, { domid, hint: hintOf(xch, syscall, rc, domid) ?? staticHint(syscall, rc) });
}

function hintOf(xch: XcInterface, syscall: string, rc: number, domid: number): string | undefined {
  try {
    switch (-rc) {
      case errno.EOPNOTSUPP:
        return tooOld(xch, syscall) ?? unsupported(xch, syscall, domid);
      case errno.EINVAL:
        return STATE_CALLS.includes(syscall) ? noMode(xch, syscall, domid) : undefined;
      case errno.EPERM:
        return VE_CALLS.includes(syscall) ? undefined : notAllowed(xch, domid);
      case errno.ENOMEM:
        return noMemory(xch, domid);
      default:
        return undefined;
    }
  } catch {
    return undefined; // a hint that cannot be found is no reason to hide the error
  }
}

function tooOld({ xenVersion: { major, minor } }: XcInterface, syscall: string): string | undefined {
  const since = SINCE[syscall];
  if (since === undefined || major !== 4 || minor >= since) return undefined;
  return `the call exists since Xen 4.${since}; this is ${major}.${minor}`;
}

function unsupported(xch: XcInterface, syscall: string, domid: number): string | undefined {
  const { prerequisites } = diagnoseAltp2m(xch, domid);
  // Xen looks for its own altp2m first, then at the domain's type, then whether altp2m is on
  if (prerequisites.some(({ name, ok }) => name === 'hypervisor-altp2m' && ok === false)) {
    return firstMissing(prerequisites, ['hypervisor-hvm', 'processor', 'boot-option', 'hypervisor-altp2m']);
  }
  const missing = firstMissing(prerequisites, ['domain', 'domain-hvm', 'altp2m-mode']);
  if (missing) return missing;
  if (altp2mActive(xch, domid) === false) {
    return `altp2m is not switched on for the domain: xc_altp2m_set_domain_state(xch, ${domid}, true)`;
  }
  if (VE_CALLS.includes(syscall)) return 'the processor has no virtualisation exceptions (#VE)';
  return firstMissing(prerequisites, ['domain-hap']);
}

function noMode(xch: XcInterface, syscall: string, domid: number): string | undefined {
  const { prerequisites } = diagnoseAltp2m(xch, domid);
  const missing = firstMissing(prerequisites, ['domain', 'altp2m-mode', 'domain-hap']);
  if (missing || syscall === 'xc_altp2m_get_domain_state') return missing;
  // with a mode there is one reason left, and Xen has no call that tells it
  const hasMode = prerequisites.some(({ name, ok }) => name === 'altp2m-mode' && ok === true);
  return hasMode
    ? 'the domain has nested virtualisation, which excludes altp2m: use nestedhvm=0 in its xl.cfg'
    : undefined;
}

function notAllowed(xch: XcInterface, domid: number): string {
  const mode = diagnoseAltp2m(xch, domid).prerequisites.find(({ name }) => name === 'altp2m-mode');
  const told = mode?.ok ? ` (${mode.detail})` : '';
  return `the caller may not use altp2m on this domain${told}: run this in dom0 as root on a handle that is not restricted; a guest may use it on itself in mode mixed only`;
}

function noMemory(xch: XcInterface, domid: number): string {
  const pool = diagnoseAltp2m(xch, domid).prerequisites.find(({ name }) => name === 'paging-pool');
  const told = pool && pool.ok !== null ? ` (${pool.detail})` : '';
  const way = xenAtLeast(xch, '4.17') ? `xc_set_paging_mempool_size(xch, ${domid}, bytes), or ` : '';
  return `no memory for the view's tables${told}: raise the domain's paging pool: ${way}a larger shadow_memory (MiB) in its xl.cfg`;
}

/** The first of these prerequisites that is missing, as one sentence. */
function firstMissing(prerequisites: readonly Prerequisite[], names: readonly string[]): string | undefined {
  for (const name of names) {
    const found = prerequisites.find((one) => one.name === name);
    if (found?.ok === false) return found.fix === undefined ? found.detail : `${found.detail}: ${found.fix}`;
  }
  return undefined;
}
