/** Resources that dom0 can map (`acquire_resource`, `common/memory.c`): frames that Xen keeps for a domain. */

import { errno } from '../abi/errno.js';
import {
  XENMEM_resource_grant_table,
  XENMEM_resource_grant_table_id_shared,
  XENMEM_resource_ioreq_server,
  XENMEM_resource_vmtrace_buf,
} from '../abi/memory.js';
import { atLeast } from '../abi/release.js';
import { XenError } from '../hypervisor/error.js';
import type { ForeignMapping } from '../hypervisor/port.js';
import type { Domain } from './domain.js';
import { shown } from './foreign_mapping.js';

/** What finds resources needs of the machine. */
interface Machine {
  readonly domains: ReadonlyMap<number, Domain>;
  readonly dom0: Domain;
}

/** A resource: how many frames it has, and the machine frame of each. */
interface Resource {
  readonly frames: number;
  frame(index: number): number | null;
}

/** The resource, or why there is none: -ESRCH; -EPERM: the caller's own; -EINVAL; -EOPNOTSUPP: no such type. */
function find({ domains, dom0 }: Machine, domid: number, type: number, id: number): Resource | number {
  const domain = domains.get(domid);
  if (!domain) return -errno.ESRCH;
  if (domain === dom0) return -errno.EPERM;
  switch (type) {
    case XENMEM_resource_grant_table:
      // status words are version 2's, which no modelled domain has chosen
      if (id !== XENMEM_resource_grant_table_id_shared) return -errno.EINVAL;
      return { frames: domain.grants.max, frame: (index) => domain.grants.frame(index) };
    case XENMEM_resource_vmtrace_buf: {
      if (!atLeast(domain.host.release, '4.15')) return -errno.EOPNOTSUPP;
      const trace = domain.vcpus[id]?.trace;
      return trace ? { frames: trace.frames, frame: (index) => trace.frame(index) } : -errno.EINVAL;
    }
    case XENMEM_resource_ioreq_server:
      return -errno.EINVAL; // there is never such a server here
    default:
      return -errno.EOPNOTSUPP;
  }
}

/** How many frames a resource has, or a negative errno. */
export function resourceSize(machine: Machine, domid: number, type: number, id: number): number {
  const resource = find(machine, domid, type, id);
  return typeof resource === 'number' ? resource : resource.frames;
}

/** Maps frames of a resource for dom0. @throws XenError */
export function mapResource(
  machine: Machine,
  domid: number,
  type: number,
  id: number,
  frame: number,
  count: number,
): ForeignMapping {
  const refuse = (rc: number): never => {
    throw new XenError('mapResource', rc, { domid });
  };
  const resource = find(machine, domid, type, id);
  if (typeof resource === 'number') return refuse(resource);
  const mfns = Array.from({ length: count }, (_, i) => resource.frame(frame + i) ?? refuse(-errno.EINVAL));
  const domain = machine.domains.get(domid) as Domain;
  return shown(domain.host.memory, domid, mfns, new Int32Array(count));
}
