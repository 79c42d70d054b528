/** What altp2m needs, looked up one by one with calls that change nothing. */

import { readFileSync } from 'node:fs';
import { errno, errnoName } from '../abi/errno.js';
import {
  HVMOP_ALTP2M_INTERFACE_VERSION,
  HVMOP_altp2m,
  HVMOP_altp2m_get_domain_state,
  xen_hvm_altp2m_op as operation,
} from '../abi/hvm/hvm_op.js';
import { HVM_PARAM_ALTP2M } from '../abi/hvm/params.js';
import { atLeast } from '../abi/release.js';
import { __HYPERVISOR_hvm_op, DOMID_INVALID } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import { type DomainInfo, xc_domain_getinfo_single } from './domain_info.js';
import { xc_hvm_param_get } from './hvm_param.js';
import type { XcInterface } from './interface.js';
import { xc_get_paging_mempool_size } from './memory.js';
import { type PhysInfo, xc_physinfo } from './sysctl.js';
import { xc_xenver_capabilities, xc_xenver_commandline } from './version.js';

/** One thing that altp2m needs. */
export interface Prerequisite {
  /**
   * `xen-release`, `hypervisor-hvm`, `processor`, `boot-option`, `hypervisor-altp2m`; of a domain: `domain`,
   * `domain-hvm`, `domain-hap`, `altp2m-mode`, `paging-pool`.
   */
  readonly name: string;
  /** Null: it could not be found out, mostly for want of privilege. */
  readonly ok: boolean | null;
  /** What was seen, as one sentence. */
  readonly detail: string;
  /** What to do about it, where something can be done. */
  readonly fix?: string;
}

export interface Altp2mDiagnosis {
  /** Those of the host first. */
  readonly prerequisites: readonly Prerequisite[];
}

/** Turns an answer, or the refusal to give one, into a prerequisite. */
function prerequisite(name: string, ok: boolean | null, detail: string, fix?: string): Prerequisite {
  return fix === undefined || ok === true ? { name, ok, detail } : { name, ok, detail, fix };
}

type Answer<T> = { readonly value: T } | { readonly code: string };

/** Why there is no answer. */
function untold(code: string): string {
  return code === 'EPERM' || code === 'EACCES' ? 'only a privileged domain may ask' : `Xen does not tell (${code})`;
}

/** What a call answers; the error's code when Xen refuses. */
function ask<T>(call: () => T): Answer<T> {
  try {
    return { value: call() };
  } catch (error) {
    if (error instanceof XenError) return { code: error.code };
    throw error;
  }
}

const BOOT_FIX =
  'add altp2m=1 to the options of Xen: in /etc/default/grub append it to GRUB_CMDLINE_XEN="...", run update-grub, and reboot';

/**
 * Finds out what altp2m lacks on this host and, if one is given, for a domain. Changes nothing, and needs no privilege
 * to answer as much as can be answered without.
 *
 * @throws TypeError the handle is closed
 * @throws RangeError `domid` is no domain id
 */
export function diagnoseAltp2m(xch: XcInterface, domid?: number): Altp2mDiagnosis {
  if (domid !== undefined) checkDomid(domid);
  const physinfo = ask(() => xc_physinfo(xch));
  const works = -stateOf(xch, DOMID_INVALID);
  const host = [xenRelease(xch), hypervisorHvm(xch), processor(xch, physinfo, works), bootOption(xch)];
  host.push(hypervisorAltp2m(works, host));
  return { prerequisites: domid === undefined ? host : [...host, ...ofDomain(xch, domid)] };
}

function xenRelease(xch: XcInterface): Prerequisite {
  const { major, minor } = xch.xenVersion;
  const ok = major > 4 || (major === 4 && minor >= 14);
  const detail = `Xen ${major}.${minor}${ok ? '' : ' has no xc_altp2m_set_visibility, which came with 4.14'}`;
  return prerequisite('xen-release', ok, detail, 'update Xen to 4.14 or newer');
}

function hypervisorHvm(xch: XcInterface): Prerequisite {
  const name = 'hypervisor-hvm';
  const answer = notDenied(ask(() => xc_xenver_capabilities(xch)));
  if ('code' in answer) return prerequisite(name, null, untold(answer.code));
  const ok = /(^| )hvm-/.test(answer.value);
  if (ok) return prerequisite(name, true, 'Xen runs HVM guests here');
  const fix = "switch VT-x on in the firmware's settings, and see that Xen was built with HVM";
  return prerequisite(name, false, 'Xen cannot run HVM guests here', fix);
}

/** Xen answers with this word what it does not tell callers without privilege. */
function notDenied(answer: Answer<string>): Answer<string> {
  return 'value' in answer && answer.value === '<denied>' ? { code: 'EPERM' } : answer;
}

/** CPUID bits, as physinfo gives them: leaf 1 ECX and leaf 0x80000001 ECX. */
const VMX = 1 << 5;
const SVM = 1 << 2;

function processor(xch: XcInterface, physinfo: Answer<PhysInfo>, works: number): Prerequisite {
  const name = 'processor';
  if (works === errno.ESRCH) return prerequisite(name, true, 'an Intel processor with EPT');
  const info = 'value' in physinfo ? physinfo.value : null;
  const vendor = processorVendor(xch, info);
  if (vendor === 'amd') {
    return prerequisite(name, false, 'an AMD processor: Xen has altp2m on Intel only', 'use a host with an Intel CPU');
  }
  if ('code' in physinfo) return prerequisite(name, null, untold(physinfo.code));
  if (!physinfo.value.capabilities.hap) {
    const fix = "use a host whose processor has EPT, and switch it on in the firmware's settings";
    return prerequisite(name, false, 'no hardware-assisted paging (EPT) on this host', fix);
  }
  if (vendor === 'intel') return prerequisite(name, true, 'an Intel processor with EPT');
  return prerequisite(name, null, 'hardware-assisted paging is there, whether by Intel (EPT) is not told');
}

function processorVendor({ hypervisor }: XcInterface, info: PhysInfo | null): 'intel' | 'amd' | null {
  if (info && (info.hw_cap[1] ?? 0) & VMX) return 'intel';
  if (info && (info.hw_cap[3] ?? 0) & SVM) return 'amd';
  if (hypervisor.kind === 'model') return null; // this machine's processor is not the model's
  try {
    const cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
    if (cpuinfo.includes('GenuineIntel')) return 'intel';
    return cpuinfo.includes('AuthenticAMD') || cpuinfo.includes('HygonGenuine') ? 'amd' : null;
  } catch {
    return null;
  }
}

function bootOption(xch: XcInterface): Prerequisite {
  const name = 'boot-option';
  const answer = notDenied(ask(() => xc_xenver_commandline(xch)));
  if ('code' in answer) return prerequisite(name, null, untold(answer.code));
  if (altp2mOption(answer.value)) return prerequisite(name, true, 'the hypervisor was booted with altp2m=1');
  return prerequisite(name, false, 'the hypervisor was not booted with altp2m=1', BOOT_FIX);
}

const TRUE = ['', '1', 'yes', 'on', 'true', 'enable'];
const FALSE = ['0', 'no', 'off', 'false', 'disable'];

/** Reads Xen's boot options as Xen does: the last one counts, `no-` turns it round, and what is no boolean is ignored. */
function altp2mOption(commandLine: string): boolean {
  let on = false;
  for (const option of commandLine.split(/\s+/)) {
    const match = /^(no-)?altp2m(?:=(.*))?$/.exec(option);
    if (!match) continue;
    const value = match[2] ?? '';
    if (TRUE.includes(value)) on = match[1] === undefined;
    else if (FALSE.includes(value)) on = match[1] !== undefined;
  }
  return on;
}

/**
 * Whether Xen itself says that it has altp2m: asked for the state of a domain that cannot exist, it looks for altp2m
 * first (EOPNOTSUPP) and for the domain then (ESRCH).
 */
function hypervisorAltp2m(works: number, others: readonly Prerequisite[]): Prerequisite {
  const name = 'hypervisor-altp2m';
  if (works === errno.ESRCH) return prerequisite(name, true, 'the hypervisor has altp2m');
  if (works !== errno.EOPNOTSUPP && works !== errno.ENOSYS) return prerequisite(name, null, untold(errnoName(works)));
  const reason = others.find((one) => one.ok === false && one.name !== 'xen-release');
  if (reason) return prerequisite(name, false, `no altp2m on this host: ${reason.detail}`, reason.fix);
  if (others.some((one) => one.name === 'boot-option' && one.ok === null)) {
    return prerequisite(
      name,
      false,
      'no altp2m on this host; mostly the hypervisor was not booted with altp2m=1',
      BOOT_FIX,
    );
  }
  const detail =
    'no altp2m on this host though the hypervisor was booted with altp2m=1: an AMD processor, or one without EPT, or a Xen built without altp2m';
  return prerequisite(name, false, detail, 'use a host with an Intel CPU, and a Xen built with CONFIG_ALTP2M');
}

/** Xen's answer to xc_altp2m_get_domain_state, raw. The state itself is not looked at. */
function stateOf({ hypervisor }: XcInterface, domid: number): number {
  const { bytes, view, operandAddress } = hypervisor.arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + operation.size);
  view.setUint32(OPERAND_OFFSET + operation.at.version, HVMOP_ALTP2M_INTERFACE_VERSION, true);
  view.setUint32(OPERAND_OFFSET + operation.at.cmd, HVMOP_altp2m_get_domain_state, true);
  view.setUint16(OPERAND_OFFSET + operation.at.domain, domid, true);
  return hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, operandAddress);
}

/** Whether altp2m is switched on for a domain; null where Xen does not say. */
export function altp2mActive(xch: XcInterface, domid: number): boolean | null {
  if (stateOf(xch, domid) < 0) return null;
  return xch.hypervisor.arena.view.getUint8(OPERAND_OFFSET + operation.at.u) !== 0;
}

function ofDomain(xch: XcInterface, domid: number): Prerequisite[] {
  const answer = ask(() => xc_domain_getinfo_single(xch, domid));
  if ('code' in answer) {
    return answer.code === 'ESRCH'
      ? [prerequisite('domain', false, `there is no domain ${domid}`, 'look for its id: xl list')]
      : [prerequisite('domain', null, untold(answer.code)), altp2mMode(xch, domid)];
  }
  const info = answer.value;
  const found = [prerequisite('domain', !info.dying, `domain ${domid} ${info.dying ? 'is dying' : 'is there'}`)];
  found.push(domainHvm(info));
  if (!info.hvm_guest) return found;
  return [...found, domainHap(info), altp2mMode(xch, domid), pagingPool(xch, domid)];
}

function domainHvm(info: DomainInfo): Prerequisite {
  const detail = info.hvm_guest ? 'an HVM or PVH guest' : 'a PV guest: altp2m is for HVM and PVH guests';
  return prerequisite('domain-hvm', info.hvm_guest, detail, 'use type="hvm" or type="pvh" in its xl.cfg');
}

function domainHap(info: DomainInfo): Prerequisite {
  const detail = info.hap ? 'its memory is translated by the processor' : 'its memory is translated by shadow tables';
  return prerequisite('domain-hap', info.hap, detail, 'use hap=1 in its xl.cfg');
}

const MODES = ['disabled', 'mixed', 'external', 'limited'];

function altp2mMode(xch: XcInterface, domid: number): Prerequisite {
  const name = 'altp2m-mode';
  const answer = ask(() => xc_hvm_param_get(xch, domid, HVM_PARAM_ALTP2M));
  if ('code' in answer) return prerequisite(name, null, untold(answer.code));
  const mode = MODES[Number(answer.value)] ?? String(answer.value);
  if (answer.value !== 0n) return prerequisite(name, true, `its altp2m mode is ${mode}`);
  const file = 'put altp2m="external" in its xl.cfg and create it anew';
  const fix = atLeast(xch.abi.release, '4.19')
    ? `${file} (since Xen 4.19 the mode is chosen at creation only)`
    : `${file}, or call xc_hvm_param_set(xch, ${domid}, HVM_PARAM_ALTP2M, XEN_ALTP2M_external)`;
  return prerequisite(name, false, 'the domain has no altp2m mode (HVM_PARAM_ALTP2M is 0)', fix);
}

/** Below this there is hardly room for a view's tables. */
const SMALL_POOL = 1 << 20;

function pagingPool(xch: XcInterface, domid: number): Prerequisite {
  const name = 'paging-pool';
  const answer = ask(() => xc_get_paging_mempool_size(xch, domid));
  if ('code' in answer) return prerequisite(name, null, untold(answer.code));
  const kib = Math.floor(answer.value / 1024);
  const fix = `raise it: xc_set_paging_mempool_size(xch, ${domid}, ${8 << 20}), or a larger shadow_memory (MiB) in its xl.cfg`;
  return prerequisite(name, answer.value >= SMALL_POOL, `its paging pool has ${kib} KiB`, fix);
}
