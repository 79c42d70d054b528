/**
 * Memory sharing and forks of domains, as libxc's `xc_memshr.c`. For HVM and PVH domains with hardware assisted paging, on
 * a Xen that was built with CONFIG_MEM_SHARING: distributions' builds are not, and answer `ENOSYS`.
 *
 * Source of the behaviour: Xen's `xen/arch/x86/mm/mem_sharing.c`.
 */

import {
  xen_domctl_mem_sharing_op as CONTROL,
  XEN_DOMCTL_MEM_SHARING_CONTROL,
  XEN_DOMCTL_mem_sharing_op,
} from '../abi/domctl.js';
import {
  xen_mem_sharing_op as OP,
  XENMEM_FORK_BLOCK_INTERRUPTS,
  XENMEM_FORK_RESET_MEMORY,
  XENMEM_FORK_RESET_STATE,
  XENMEM_FORK_WITH_IOMMU_ALLOWED,
  XENMEM_sharing_op,
  XENMEM_sharing_op_fork,
  XENMEM_sharing_op_fork_reset,
} from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkBoolean, checkDomid } from '../hypervisor/check.js';
import { type XcInterface, xenAtLeast } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, needRelease, requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/** Clears the operand and writes what all operations have. */
function begin(xch: XcInterface, op: number, domid: number): DataView {
  const { bytes, view } = requireOpen(xch).arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + OP.size);
  view.setUint8(OPERAND_OFFSET + OP.at.op, op);
  view.setUint16(OPERAND_OFFSET + OP.at.domain, domid, true);
  return view;
}

function issue(xch: XcInterface, syscall: string, domid: number): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, XENMEM_sharing_op, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal(syscall, rc, domid);
}

/**
 * Lets a domain's pages be shared, or no longer.
 *
 * @throws XenError `ENOSYS`: Xen was built without. `EOPNOTSUPP`: a PV domain. `ENODEV`: the domain has no hardware
 *   assisted paging. `EXDEV`: it has a device passed through. `ESRCH`. `EPERM`.
 */
export function xc_memshr_control(xch: XcInterface, domid: number, enable: boolean): void {
  checkDomid(domid);
  checkBoolean(enable, 'enable');
  const call = 'xc_memshr_control';
  const view = beginDomctl(xch, call, XEN_DOMCTL_mem_sharing_op, domid, 'writes');
  view.setUint8(DOMCTL_U + CONTROL.at.op, XEN_DOMCTL_MEM_SHARING_CONTROL);
  view.setUint8(DOMCTL_U + CONTROL.at['u.enable'], enable ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Makes a domain a fork of another: it gets the state of its vCPUs, and its memory page by page when it is first touched.
 * The parent stays paused as long as it has forks. Since Xen 4.14.
 *
 * @param pdomid the parent
 * @param domid the fork: a domain created with as many vCPUs and the same settings as the parent, without memory, paused
 * @param allow_with_iommu also when the parent has devices (the fork must not use them)
 * @param block_interrupts the fork gets no interrupts: what it runs is the same each time
 * @throws XenError `EINVAL`: the numbers of vCPUs differ. `EBUSY`: the fork is not paused. `ENOSYS`: Xen was built without.
 *   `ENODEV`, `EXDEV`: as {@link xc_memshr_control}. `ESRCH`. `EPERM`.
 */
export function xc_memshr_fork(
  xch: XcInterface,
  pdomid: number,
  domid: number,
  allow_with_iommu = false,
  block_interrupts = false,
): void {
  const call = 'xc_memshr_fork';
  checkDomid(pdomid);
  checkDomid(domid);
  checkBoolean(allow_with_iommu, 'allow_with_iommu');
  checkBoolean(block_interrupts, 'block_interrupts');
  needRelease(xch, call, '4.14', domid);
  const view = begin(xch, XENMEM_sharing_op_fork, domid);
  view.setUint16(OPERAND_OFFSET + OP.at['u.fork.parent_domain'], pdomid, true);
  const flags =
    (allow_with_iommu ? XENMEM_FORK_WITH_IOMMU_ALLOWED : 0) | (block_interrupts ? XENMEM_FORK_BLOCK_INTERRUPTS : 0);
  view.setUint16(OPERAND_OFFSET + OP.at['u.fork.flags'], flags, true);
  issue(xch, call, domid);
}

/**
 * Takes a fork back to where its parent is: its pages are dropped, the state of its vCPUs is the parent's again.
 *
 * @param reset_state the state of the vCPUs, and `reset_memory` the pages. A Xen before 4.17 resets both, and takes
 *   nothing else
 * @throws XenError `EINVAL`: neither is to be reset. `EOPNOTSUPP`: only one, on a Xen before 4.17. `ENOSYS`: the domain is
 *   no fork, or Xen was built without. `ESRCH`. `EPERM`.
 */
export function xc_memshr_fork_reset(
  xch: XcInterface,
  domid: number,
  reset_state: boolean,
  reset_memory: boolean,
): void {
  const call = 'xc_memshr_fork_reset';
  checkDomid(domid);
  checkBoolean(reset_state, 'reset_state');
  checkBoolean(reset_memory, 'reset_memory');
  const view = begin(xch, XENMEM_sharing_op_fork_reset, domid);
  const chooses = xenAtLeast(xch, '4.17');
  if (!chooses && !(reset_state && reset_memory)) needRelease(xch, call, '4.17', domid);
  const flags = (reset_state ? XENMEM_FORK_RESET_STATE : 0) | (reset_memory ? XENMEM_FORK_RESET_MEMORY : 0);
  view.setUint16(OPERAND_OFFSET + OP.at['u.fork.flags'], chooses ? flags : 0, true);
  issue(xch, call, domid);
}
