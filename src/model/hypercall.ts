/** Where a hypercall goes: by its number, to the operations that Xen has under it. */

import { errno } from '../abi/errno.js';
import {
  __HYPERVISOR_argo_op,
  __HYPERVISOR_domctl,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_physdev_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_sysctl,
  __HYPERVISOR_xen_version,
} from '../abi/xen.js';
import type { Argo } from './argo/argo.js';
import { argoOp } from './argo/op.js';
import type { Caller } from './caller.js';
import type { Host } from './host.js';
import type { CreateHost } from './ops/createdomain.js';
import { domctl } from './ops/domctl.js';
import { eventChannelOp } from './ops/event_channel_op.js';
import { grantTableOp } from './ops/grant_table_op.js';
import { hvmOp } from './ops/hvm_op.js';
import { memoryOp } from './ops/memory_op.js';
import { physdevOp } from './ops/physdev_op.js';
import { schedOp } from './ops/sched_op.js';
import { sysctl } from './ops/sysctl.js';
import { type VersionHost, xenVersion } from './ops/xen_version.js';
import type { V4v } from './v4v/v4v.js';

/** What hypercalls need of the machine. */
export interface HypercallHost extends Host, CreateHost, VersionHost {
  /** Whether Xen's command line has altp2m=1. */
  readonly altp2mBooted: boolean;
  readonly argo: Argo;
  readonly v4v: V4v | null;
}

/** @returns Xen's result: >= 0 or a negative errno */
export function hypercall(
  host: HypercallHost,
  caller: Caller,
  op: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
  a5: number,
): number {
  switch (op) {
    case __HYPERVISOR_argo_op:
      return host.v4v ? host.v4v.hypercall(caller, a1, a2, a3, a4, a5) : argoOp(host.argo, caller, a1, a2, a3, a4, a5);
    case __HYPERVISOR_hvm_op:
      return hvmOp(host, host.altp2mBooted, caller, a1, a2);
    case __HYPERVISOR_memory_op:
      return memoryOp(caller, a1, a2);
    case __HYPERVISOR_xen_version:
      return xenVersion(host, caller, a1, a2);
    case __HYPERVISOR_physdev_op:
      return physdevOp(host, caller, a1, a2);
    case __HYPERVISOR_sched_op:
      return schedOp(caller, a1, a2);
    case __HYPERVISOR_sysctl:
      return sysctl(host, caller, a1);
    case __HYPERVISOR_domctl:
      return domctl(host, caller, a1);
    case __HYPERVISOR_grant_table_op:
      return grantTableOp(caller, a1, a2, a3);
    case __HYPERVISOR_event_channel_op:
      return eventChannelOp(caller, a1, a2);
    default:
      return -errno.ENOSYS;
  }
}
