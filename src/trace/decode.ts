/** Hypercalls in libxc's words: from numbers and bytes to a name and arguments. */

import { HVMOP_altp2m, HVMOP_get_param, HVMOP_set_param, xen_hvm_param } from '../abi/hvm/hvm_op.js';
import * as memory from '../abi/memory.js';
import { type Release, releaseAbi } from '../abi/release.js';
import { SCHEDOP_remote_shutdown, sched_remote_shutdown } from '../abi/sched.js';
import * as ctl from '../abi/sysctl.js';
import * as version from '../abi/version.js';
import * as xen from '../abi/xen.js';
import type { Arena } from '../hypervisor/arena.js';
import { decodeAltp2m } from './decode_altp2m.js';
import { decodeDomctl } from './decode_domctl.js';
import { decodePhysdev } from './decode_physdev.js';
import type { Context, Decoded, DecodedValue } from './decoded.js';
import { packFrames } from './frames.js';
import { HVM_PARAM_NAMES } from './names.js';
import { Operand } from './operand.js';

/** The most extents or frames of a list that are decoded. */
const MOST_FRAMES = 2 ** 16;

/**
 * Tells what a hypercall asks for. Call it before the hypercall is made.
 *
 * @param release whose layouts to use: XENVER_version's answer; null: not known yet, and calls whose layout depends on it
 *   are told as raw words
 * @param args the hypercall's arguments; missing ones are 0
 */
export function decode(release: Release | null, op: number, args: readonly number[], arena: Arena): Decoded {
  const context = { arena, release };
  const [a1 = 0, a2 = 0] = args;
  return decodeKnown(context, op, a1, a2) ?? raw(op, args);
}

function decodeKnown(context: Context, op: number, a1: number, a2: number): Decoded | null {
  const { arena } = context;
  switch (op) {
    case xen.__HYPERVISOR_hvm_op:
      if (a1 === HVMOP_altp2m) return decodeAltp2m(arena, a2);
      return a1 === HVMOP_set_param || a1 === HVMOP_get_param ? decodeParam(arena, a1, a2) : null;
    case xen.__HYPERVISOR_memory_op:
      return decodeMemory(arena, a1, a2);
    case xen.__HYPERVISOR_xen_version:
      return decodeVersion(arena, a1, a2);
    case xen.__HYPERVISOR_physdev_op:
      return decodePhysdev(arena, a1, a2);
    case xen.__HYPERVISOR_sched_op:
      return a1 === SCHEDOP_remote_shutdown ? decodeShutdown(arena, a2) : null;
    case xen.__HYPERVISOR_domctl:
      return decodeDomctl(context, a1);
    case xen.__HYPERVISOR_sysctl:
      return decodeSysctl(context, a1);
    default:
      return null;
  }
}

/** A hypercall that is not known: its words. */
function raw(op: number, args: readonly number[]): Decoded {
  const words = Array.from({ length: 5 }, (_, i) => args[i] ?? 0);
  return { name: 'hypercall', args: { op, words }, exact: false };
}

function decodeParam(arena: Arena, op: number, address: number): Decoded | null {
  const F = xen_hvm_param.fields;
  const operand = Operand.at(arena, address, xen_hvm_param.size);
  if (!operand) return null;
  const index = operand.u32(F.index);
  const param = HVM_PARAM_NAMES[index] ?? index;
  const domid = operand.u32(F.domid);
  const value = (): { value: DecodedValue } => ({ value: operand.value(F.value) });
  if (op === HVMOP_get_param) return { name: 'xc_hvm_param_get', domid, args: { param }, exact: true, out: value };
  return { name: 'xc_hvm_param_set', domid, args: { param, ...value() }, exact: true };
}

const RESERVATIONS: Readonly<Record<number, string>> = {
  [memory.XENMEM_increase_reservation]: 'xc_domain_increase_reservation',
  [memory.XENMEM_decrease_reservation]: 'xc_domain_decrease_reservation',
  [memory.XENMEM_populate_physmap]: 'xc_domain_populate_physmap',
};

function decodeMemory(arena: Arena, cmd: number, address: number): Decoded | null {
  const name = RESERVATIONS[cmd];
  if (name !== undefined) return decodeReservation(arena, name, address);
  if (cmd === memory.XENMEM_access_op) return decodeAccess(arena, address);
  const operand = Operand.at(arena, address, 2);
  if (cmd !== memory.XENMEM_maximum_gpfn || !operand) return null;
  const out = (rc: number): { gpfn: DecodedValue } => ({ gpfn: rc });
  return { name: 'xc_domain_maximum_gpfn', domid: operand.u32([0, 2]), args: {}, exact: true, out };
}

function decodeReservation(arena: Arena, name: string, address: number): Decoded | null {
  const F = memory.xen_memory_reservation.fields;
  const operand = Operand.at(arena, address, memory.xen_memory_reservation.size);
  if (!operand) return null;
  const domid = operand.u32(F.domid);
  const nr = operand.value(F.nr_extents);
  const order = operand.u32(F.extent_order);
  const flags = operand.u32(F.mem_flags);
  const out = (rc: number): { done: DecodedValue } => ({ done: rc });
  const count = Number(nr);
  if (name === 'xc_domain_increase_reservation') {
    return { name, domid, args: { nr, order, flags }, exact: operand.value(F.extent_start) === 0, out };
  }
  const list = count <= MOST_FRAMES ? Operand.at(arena, Number(operand.value(F.extent_start)), count * 8) : null;
  if (!list) return { name, domid, args: { nr, order, flags }, exact: false, out };
  const gfns = Array.from({ length: count }, (_, i) => list.u64(i * 8));
  const decrease = name === 'xc_domain_decrease_reservation';
  const args = { order, ...(!decrease && { flags }), frames: packFrames(gfns, order) };
  return { name, domid, args, exact: !decrease || flags === 0, out };
}

function decodeAccess(arena: Arena, address: number): Decoded | null {
  const F = memory.xen_mem_access_op.fields;
  const operand = Operand.at(arena, address, memory.xen_mem_access_op.size);
  if (!operand) return null;
  const domid = operand.u32(F.domid);
  const gfn = operand.value(F.pfn);
  const nr = operand.u32(F.nr);
  const access = operand.u32(F.access);
  switch (operand.u32(F.op)) {
    case memory.XENMEM_access_op_set_access:
      return { name: 'xc_set_mem_access', domid, args: { gfn, access, nr }, exact: true };
    case memory.XENMEM_access_op_get_access: {
      const out = (): { access: DecodedValue } => ({ access: operand.u32(F.access) });
      return { name: 'xc_get_mem_access', domid, args: { gfn }, exact: true, out };
    }
    case memory.XENMEM_access_op_set_access_multi: {
      const gfns = nr <= MOST_FRAMES ? Operand.at(arena, Number(operand.value(F.pfn_list)), nr * 8) : null;
      const codes = Operand.at(arena, Number(operand.value(F.access_list)), nr);
      if (!gfns || !codes) return { name: 'xc_set_mem_access_multi', domid, args: { nr }, exact: false };
      const pfns = Array.from({ length: nr }, (_, i) => gfns.u64(i * 8));
      const args = { nr, pfns, access: Array.from(codes.bytes([0, nr])) };
      return { name: 'xc_set_mem_access_multi', domid, args, exact: true };
    }
    default:
      return null;
  }
}

/** Commands whose result is the answer. */
const PLAIN_VERSIONS: ReadonlySet<number> = new Set([version.XENVER_version, version.XENVER_pagesize]);

function decodeVersion(arena: Arena, cmd: number, address: number): Decoded {
  const name = 'xc_version';
  if (PLAIN_VERSIONS.has(cmd)) return { name, args: { cmd }, exact: true, out: (rc) => ({ value: rc }) };
  const F = version.xen_feature_info.fields;
  const features = Operand.at(arena, address, version.xen_feature_info.size);
  if (cmd !== version.XENVER_get_features || !features) return { name, args: { cmd }, exact: true };
  const out = (): { value: DecodedValue } => ({ value: features.u32(F.submap) });
  return { name, args: { cmd, submap: features.u32(F.submap_idx) }, exact: true, out };
}

function decodeShutdown(arena: Arena, address: number): Decoded | null {
  const F = sched_remote_shutdown.fields;
  const operand = Operand.at(arena, address, sched_remote_shutdown.size);
  if (!operand) return null;
  const args = { reason: operand.u32(F.reason) };
  return { name: 'xc_domain_shutdown', domid: operand.u32(F.domain_id), args, exact: true };
}

function decodeSysctl({ arena, release }: Context, address: number): Decoded | null {
  const F = ctl.xen_sysctl.fields;
  const operand = Operand.at(arena, address, ctl.xen_sysctl.size);
  if (!operand || release === null) return null;
  const cmd = operand.u32(F.cmd);
  const interface_version = operand.u32(F.interface_version);
  const known = interface_version === releaseAbi(release).sysctl;
  if (known && cmd === ctl.XEN_SYSCTL_physinfo) return { name: 'xc_physinfo', args: {}, exact: true };
  if (!known || cmd !== ctl.XEN_SYSCTL_getdomaininfolist) {
    return { name: 'sysctl', args: { cmd, interface_version }, exact: false };
  }
  const L = ctl.xen_sysctl_getdomaininfolist;
  const list = operand.within(ctl.xen_sysctl.at.u, L.size);
  const args = { first_domain: list.u32(L.fields.first_domain), max_domains: list.u32(L.fields.max_domains) };
  const out = (): { num_domains: DecodedValue } => ({ num_domains: list.u32(L.fields.num_domains) });
  return { name: 'xc_domain_getinfolist', args, exact: true, out };
}
