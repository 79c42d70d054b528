/** The event_channel_op hypercall (`do_event_channel_op`, `common/event_channel.c`). */

import { errno } from '../../abi/errno.js';
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_reset,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  evtchn_alloc_unbound,
  evtchn_bind_interdomain,
  evtchn_bind_ipi,
  evtchn_bind_vcpu,
  evtchn_bind_virq,
  evtchn_reset,
  evtchn_status,
} from '../../abi/event_channel.js';
import { type Caller, xsmTarget } from '../caller.js';
import type { Binding } from '../event_channels.js';

const ALLOC = evtchn_alloc_unbound.at;
const INTERDOMAIN = evtchn_bind_interdomain.at;
const VIRQ = evtchn_bind_virq.at;
const IPI = evtchn_bind_ipi.at;
const VCPU = evtchn_bind_vcpu.at;
const STATUS = evtchn_status.at;

export function eventChannelOp(caller: Caller, cmd: number, address: number): number {
  const size = SIZES.get(cmd);
  if (size === undefined) return -errno.ENOSYS;
  const { memory } = caller;
  if (!memory.copyIn(address, size)) return -errno.EFAULT;
  const { view, at } = memory;
  const u16 = (offset: number): number => view.getUint16(at + offset, true);
  const u32 = (offset: number): number => view.getUint32(at + offset, true);
  const { events } = caller.domain;
  /** Answers with a new port, or with the reason that there is none. */
  const reply = (port: number, field: number): number => {
    if (port < 0) return port;
    view.setUint32(at + field, port, true);
    return memory.copyOut(address, size) ? 0 : -errno.EFAULT;
  };
  switch (cmd) {
    case EVTCHNOP_alloc_unbound:
      return reply(allocUnbound(caller, u16(ALLOC.dom), u16(ALLOC.remote_dom)), ALLOC.port);
    case EVTCHNOP_bind_interdomain: {
      const remote = caller.lookup(u16(INTERDOMAIN.remote_dom));
      if (!remote) return -errno.ESRCH;
      return reply(events.bindInterdomain(remote.events, u32(INTERDOMAIN.remote_port)), INTERDOMAIN.local_port);
    }
    case EVTCHNOP_bind_virq:
      return reply(events.bindVirq(u32(VIRQ.virq), u32(VIRQ.vcpu)), VIRQ.port);
    case EVTCHNOP_bind_ipi:
      return reply(events.bindIpi(u32(IPI.vcpu)), IPI.port);
    case EVTCHNOP_bind_vcpu:
      return events.bindVcpu(u32(VCPU.port), u32(VCPU.vcpu));
    case EVTCHNOP_close:
      return events.close(u32(0));
    case EVTCHNOP_send:
      return events.send(u32(0));
    case EVTCHNOP_unmask:
      return events.unmask(u32(0));
    case EVTCHNOP_reset:
      return reset(caller, u16(evtchn_reset.at.dom));
    default:
      return status(caller, address);
  }
}

/** Commands that are modelled, and the bytes of their structures. Physical interrupts and FIFO queues are not. */
const SIZES: ReadonlyMap<number, number> = new Map([
  [EVTCHNOP_alloc_unbound, evtchn_alloc_unbound.size],
  [EVTCHNOP_bind_interdomain, evtchn_bind_interdomain.size],
  [EVTCHNOP_bind_virq, evtchn_bind_virq.size],
  [EVTCHNOP_bind_ipi, evtchn_bind_ipi.size],
  [EVTCHNOP_bind_vcpu, evtchn_bind_vcpu.size],
  [EVTCHNOP_close, 4],
  [EVTCHNOP_send, 4],
  [EVTCHNOP_unmask, 4],
  [EVTCHNOP_reset, evtchn_reset.size],
  [EVTCHNOP_status, evtchn_status.size],
]);

/** Whether there is a free port comes before whether the caller may. */
function allocUnbound(caller: Caller, dom: number, remote: number): number {
  const domain = caller.lookup(dom);
  if (!domain) return -errno.ESRCH;
  const full = domain.events.full();
  return full || xsmTarget(caller, domain) || domain.events.allocUnbound(remote, caller.domain.domid);
}

function reset(caller: Caller, dom: number): number {
  const domain = caller.lookup(dom);
  if (!domain) return -errno.ESRCH;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (domain !== caller.domain && domain.pauseCount === 0) return -errno.EINVAL;
  domain.events.reset();
  return 0;
}

function status(caller: Caller, address: number): number {
  const { memory } = caller;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + STATUS.dom, true));
  if (!domain) return -errno.ESRCH;
  const found = domain.events.status(view.getUint32(at + STATUS.port, true));
  if (typeof found === 'number') return found;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  view.setUint32(at + STATUS.status, found ? encode(view, at, found.binding) : EVTCHNSTAT_closed, true);
  view.setUint32(at + STATUS.vcpu, found?.vcpu ?? 0, true);
  return memory.copyOut(address, evtchn_status.size) ? 0 : -errno.EFAULT;
}

function encode(view: DataView, at: number, binding: Binding): number {
  switch (binding.to) {
    case 'unbound':
      view.setUint16(at + STATUS['u.unbound.dom'], binding.domid, true);
      return EVTCHNSTAT_unbound;
    case 'interdomain':
      view.setUint16(at + STATUS['u.interdomain.dom'], binding.channels.domid, true);
      view.setUint32(at + STATUS['u.interdomain.port'], binding.port, true);
      return EVTCHNSTAT_interdomain;
    case 'virq':
      view.setUint32(at + STATUS['u.virq'], binding.virq, true);
      return EVTCHNSTAT_virq;
    case 'ipi':
      return EVTCHNSTAT_ipi;
  }
}
