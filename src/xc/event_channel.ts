/**
 * Event channels of any domain, as libxc's `xc_evtchn.c`: what a toolstack prepares for others. To signal and to be
 * signalled, open a set by `xch.hypervisor.eventChannels()`.
 *
 * Source of the behaviour: Xen's `xen/common/event_channel.c`.
 */

import { XEN_DOMCTL_set_virq_handler, xen_domctl_set_virq_handler } from '../abi/domctl.js';
import {
  evtchn_alloc_unbound as ALLOC,
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_reset,
  EVTCHNOP_status,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_pirq,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  evtchn_reset,
  evtchn_status as STATUS,
} from '../abi/event_channel.js';
import { __HYPERVISOR_event_channel_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid, checkU32 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

function begin(xch: XcInterface, size: number): DataView {
  const { bytes, view } = requireOpen(xch).arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + size);
  return view;
}

function issue(xch: XcInterface, syscall: string, cmd: number, domid: number): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_event_channel_op, cmd, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal(syscall, rc, domid);
}

/**
 * Gives a domain a port that another may connect to.
 *
 * @param dom whose port it is
 * @param remote_dom who may connect
 * @returns the port
 * @throws XenError `ESRCH`: no such domain. `EPERM`: it is not the caller's, who is not privileged. `ENOSPC`: it has as
 *   many ports as it may have. `EINVAL`: it is dying.
 */
export function xc_evtchn_alloc_unbound(xch: XcInterface, dom: number, remote_dom: number): number {
  checkDomid(dom);
  checkDomid(remote_dom);
  const view = begin(xch, ALLOC.size);
  view.setUint16(OPERAND_OFFSET + ALLOC.at.dom, dom, true);
  view.setUint16(OPERAND_OFFSET + ALLOC.at.remote_dom, remote_dom, true);
  issue(xch, 'xc_evtchn_alloc_unbound', EVTCHNOP_alloc_unbound, dom);
  return view.getUint32(OPERAND_OFFSET + ALLOC.at.port, true);
}

/**
 * Closes all ports of a domain but those that Xen itself listens on.
 *
 * @throws XenError `EINVAL`: the domain is neither the caller nor paused. `ESRCH`. `EPERM`.
 */
export function xc_evtchn_reset(xch: XcInterface, dom: number): void {
  checkDomid(dom);
  const view = begin(xch, evtchn_reset.size);
  view.setUint16(OPERAND_OFFSET + evtchn_reset.at.dom, dom, true);
  issue(xch, 'xc_evtchn_reset', EVTCHNOP_reset, dom);
}

/** What a port is bound to, and the vCPU that is told. */
export type EvtchnStatus = { readonly vcpu: number } & (
  | { readonly status: 'closed' }
  /** It waits for `dom` to connect. */
  | { readonly status: 'unbound'; readonly dom: number }
  | { readonly status: 'interdomain'; readonly dom: number; readonly port: number }
  /** A physical interrupt. */
  | { readonly status: 'pirq'; readonly pirq: number }
  /** A virtual interrupt, `VIRQ_*`. */
  | { readonly status: 'virq'; readonly virq: number }
  /** Between the domain's own vCPUs. */
  | { readonly status: 'ipi' }
);

/**
 * Tells what a port of a domain is bound to.
 *
 * @throws XenError `EINVAL`: there cannot be such a port yet (ports come into being by the dozens). `ESRCH`. `EPERM`.
 */
export function xc_evtchn_status(xch: XcInterface, dom: number, port: number): EvtchnStatus {
  checkDomid(dom);
  checkU32(port, 'port');
  const view = begin(xch, STATUS.size);
  view.setUint16(OPERAND_OFFSET + STATUS.at.dom, dom, true);
  view.setUint32(OPERAND_OFFSET + STATUS.at.port, port, true);
  issue(xch, 'xc_evtchn_status', EVTCHNOP_status, dom);
  return decodeStatus(view);
}

function decodeStatus(view: DataView): EvtchnStatus {
  const u32 = (name: keyof typeof STATUS.at): number => view.getUint32(OPERAND_OFFSET + STATUS.at[name], true);
  const vcpu = u32('vcpu');
  const status = u32('status');
  switch (status) {
    case EVTCHNSTAT_closed:
      return { status: 'closed', vcpu };
    case EVTCHNSTAT_unbound:
      return { status: 'unbound', vcpu, dom: view.getUint16(OPERAND_OFFSET + STATUS.at['u.unbound.dom'], true) };
    case EVTCHNSTAT_interdomain:
      return {
        status: 'interdomain',
        vcpu,
        dom: view.getUint16(OPERAND_OFFSET + STATUS.at['u.interdomain.dom'], true),
        port: u32('u.interdomain.port'),
      };
    case EVTCHNSTAT_pirq:
      return { status: 'pirq', vcpu, pirq: u32('u.pirq') };
    case EVTCHNSTAT_virq:
      return { status: 'virq', vcpu, virq: u32('u.virq') };
    case EVTCHNSTAT_ipi:
      return { status: 'ipi', vcpu };
    default:
      throw new Error(`Xen told an event channel's status ${status}, which no release has`);
  }
}

/**
 * Makes a domain the one that gets a global virtual interrupt, in dom0's place.
 *
 * @param virq `VIRQ_*`
 * @throws XenError `EINVAL`: there is no such virtual interrupt, or it is not global. `ESRCH`. `EPERM`.
 */
export function xc_domain_set_virq_handler(xch: XcInterface, domid: number, virq: number): void {
  const call = 'xc_domain_set_virq_handler';
  checkDomid(domid);
  checkU32(virq, 'virq');
  const view = beginDomctl(xch, call, XEN_DOMCTL_set_virq_handler, domid, 'writes');
  view.setUint32(DOMCTL_U + xen_domctl_set_virq_handler.at.virq, virq, true);
  issueDomctl(xch, call, domid);
}
