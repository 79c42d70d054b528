/**
 * The two hypercalls that carry an interface number: domctl and sysctl. Xen answers EACCES to a wrong number before it
 * looks at anything else, so the number is confirmed once a handle with a call that changes nothing. Where Xen is newer
 * than the layouts known here and does not take the newest number, only calls that read are let through. (A Xen of a
 * known release that does not take its release's number refuses every call itself.)
 */

import { XEN_DOMCTL_getdomaininfo, xen_domctl } from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { atLeast, type Release } from '../abi/release.js';
import { XEN_SYSCTL_physinfo, xen_sysctl } from '../abi/sysctl.js';
import { __HYPERVISOR_domctl, __HYPERVISOR_sysctl } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid } from '../hypervisor/check.js';
import type { XenError } from '../hypervisor/error.js';
import type { Hypervisor } from '../hypervisor/port.js';
import { XcInterface } from './interface.js';
import { refusal, staticHint } from './refusal.js';

/**
 * What a call does. `writes` needs the exact layout: it changes something, or has Xen write to memory outside the
 * operand, whose size a layout tells.
 */
export type Effect = 'reads' | 'writes';

type Family = 'domctl' | 'sysctl';

/** What was found out about a family's interface number on one handle. */
interface Agreed {
  /** The number to send. */
  readonly version: number;
  /** Why calls that write are refused here, or null. */
  readonly writes: string | null;
  /** What an EACCES of a later call means. */
  readonly denied: string;
}

/** Synchronous operands lie here: behind those of the calls that count on zeros from the arena's making. */
export const PRIVILEGED_OPERAND = OPERAND_OFFSET + 128;
/** A domctl's union. */
export const DOMCTL_U = PRIVILEGED_OPERAND + xen_domctl.at.u;
/** A sysctl's union. */
export const SYSCTL_U = PRIVILEGED_OPERAND + xen_sysctl.at.u;

/** How many numbers above the newest known one are tried on a newer Xen. */
const LOOK_AHEAD = 16;

const agreements = new WeakMap<XcInterface, Partial<Record<Family, Agreed>>>();

/**
 * Checks `domid`, has the domctl number confirmed, and writes the header of a domctl into the synchronous operand. The
 * union is cleared. Other arguments must have been checked before.
 *
 * @throws XenError `EOPNOTSUPP` when the running Xen's layouts are not known well enough for this call
 */
export function beginDomctl(xch: XcInterface, syscall: string, cmd: number, domid: number, effect: Effect): DataView {
  checkDomid(domid);
  const version = agree(xch, 'domctl', syscall, effect, domid);
  return encodeDomctl(xch.hypervisor, PRIVILEGED_OPERAND, version, cmd, domid);
}

/** As {@link beginDomctl}, into a piece of the arena of {@link xen_domctl}'s size. */
export function beginDomctlAt(
  xch: XcInterface,
  offset: number,
  syscall: string,
  cmd: number,
  domid: number,
  effect: Effect,
): DataView {
  checkDomid(domid);
  const version = agree(xch, 'domctl', syscall, effect, domid);
  return encodeDomctl(xch.hypervisor, offset, version, cmd, domid);
}

/** Issues the domctl that {@link beginDomctl} and its caller encoded, and gives Xen's answer. */
export function domctl(xch: XcInterface): number {
  const { hypervisor } = xch;
  return hypervisor.hypercall(__HYPERVISOR_domctl, hypervisor.arena.base + PRIVILEGED_OPERAND);
}

/** As {@link domctl}; throws what Xen refuses. */
export function issueDomctl(xch: XcInterface, syscall: string, domid: number | undefined): void {
  const rc = domctl(xch);
  if (rc < 0) throw privilegedError(xch, 'domctl', syscall, rc, domid);
}

/** The error of a failed call of one of the two families. */
export function privilegedError(
  xch: XcInterface,
  family: Family,
  syscall: string,
  rc: number,
  domid?: number,
): XenError {
  const denied = rc === -errno.EACCES ? agreements.get(xch)?.[family]?.denied : undefined;
  return refusal(syscall, rc, domid, denied ?? staticHint(syscall, rc));
}

/** The sysctl counterpart of {@link beginDomctl}. */
export function beginSysctl(xch: XcInterface, syscall: string, cmd: number, effect: Effect): DataView {
  const version = agree(xch, 'sysctl', syscall, effect);
  return encodeSysctl(xch.hypervisor, version, cmd);
}

/** Issues the sysctl that {@link beginSysctl} and its caller encoded. */
export function issueSysctl(xch: XcInterface, syscall: string): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_sysctl, hypervisor.arena.base + PRIVILEGED_OPERAND);
  if (rc < 0) throw privilegedError(xch, 'sysctl', syscall, rc);
}

/** Refuses what is no handle, or a closed one. */
export function requireOpen(xch: XcInterface): Hypervisor {
  if (!(xch instanceof XcInterface)) throw new TypeError('xch must be a handle that xc_interface_open gave');
  return xch.hypervisor;
}

/** Refuses a call that the running release does not have. */
export function needRelease(xch: XcInterface, syscall: string, since: Release, domid?: number): void {
  requireOpen(xch);
  if (xch.privilegedRefusal === null && atLeast(xch.abi.release, since)) return;
  const { major, minor } = xch.xenVersion;
  throw refusal(syscall, -errno.EOPNOTSUPP, domid, `the call exists since Xen ${since}; this is ${major}.${minor}`);
}

function encodeDomctl(hypervisor: Hypervisor, offset: number, version: number, cmd: number, domid: number): DataView {
  const { bytes, view } = hypervisor.arena;
  bytes.fill(0, offset, offset + xen_domctl.size);
  view.setUint32(offset + xen_domctl.at.cmd, cmd, true);
  view.setUint32(offset + xen_domctl.at.interface_version, version, true);
  view.setUint16(offset + xen_domctl.at.domain, domid, true);
  return view;
}

function encodeSysctl(hypervisor: Hypervisor, version: number, cmd: number): DataView {
  const { bytes, view } = hypervisor.arena;
  bytes.fill(0, PRIVILEGED_OPERAND, PRIVILEGED_OPERAND + xen_sysctl.size);
  view.setUint32(PRIVILEGED_OPERAND + xen_sysctl.at.cmd, cmd, true);
  view.setUint32(PRIVILEGED_OPERAND + xen_sysctl.at.interface_version, version, true);
  return view;
}

/** The number to send, or the refusal. */
function agree(xch: XcInterface, family: Family, syscall: string, effect: Effect, domid?: number): number {
  const hypervisor = requireOpen(xch);
  if (xch.privilegedRefusal !== null) throw refusal(syscall, -errno.EOPNOTSUPP, domid, xch.privilegedRefusal);
  let known = agreements.get(xch);
  if (!known) {
    known = {};
    agreements.set(xch, known);
  }
  known[family] ??= find(xch, hypervisor, family);
  const agreed = known[family];
  if (effect === 'writes' && agreed.writes !== null) throw refusal(syscall, -errno.EOPNOTSUPP, domid, agreed.writes);
  return agreed.version;
}

function find(xch: XcInterface, hypervisor: Hypervisor, family: Family): Agreed {
  const version = xch.abi[family];
  if (accepted(hypervisor, family, version)) {
    return { version, writes: null, denied: "Xen's XSM policy forbids this call" };
  }
  const { major, minor } = xch.xenVersion;
  const xen = `Xen ${major}.${minor}`;
  const denied = `this ${xen} does not take ${family} ${hex(version)}: it was built with other layouts than its release has, or its XSM policy forbids the call`;
  if (`${major}.${minor}` === xch.abi.release) return { version, writes: null, denied };
  for (let next = version + 1; next <= version + LOOK_AHEAD; next++) {
    if (!accepted(hypervisor, family, next)) continue;
    const writes = `${xen} speaks ${family} ${hex(next)}, this package knows ${hex(version)} at most: calls that change something are refused, calls that read are tried`;
    return { version: next, writes, denied };
  }
  const writes = `${xen} is newer than this package knows and does not take ${family} ${hex(version)}`;
  return { version, writes, denied: writes };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Tries a number with a call that changes nothing. Any answer but EACCES means that the number was right. */
function accepted(hypervisor: Hypervisor, family: Family, version: number): boolean {
  if (family === 'domctl') encodeDomctl(hypervisor, PRIVILEGED_OPERAND, version, XEN_DOMCTL_getdomaininfo, 0);
  else encodeSysctl(hypervisor, version, XEN_SYSCTL_physinfo);
  const op = family === 'domctl' ? __HYPERVISOR_domctl : __HYPERVISOR_sysctl;
  return hypervisor.hypercall(op, hypervisor.arena.base + PRIVILEGED_OPERAND) !== -errno.EACCES;
}
