/** Which of a domain's doings are reported: switched on by a session, and off again by it. */

import { encodeAccess, XENMEM_access, type XenmemAccess } from '../../abi/memory.js';
import { VM_EVENT_X86_CR0, VM_EVENT_X86_CR3, VM_EVENT_X86_CR4, VM_EVENT_X86_XCR0 } from '../../abi/vm_event.js';
import { INVALID_GFN } from '../../abi/xen.js';
import { checkBoolean, checkObject, type FrameList } from '../../hypervisor/check.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_get_mem_access, xc_set_mem_access, xc_set_mem_access_multi } from '../../xc/mem_access.js';
import { xc_domain_maximum_gpfn } from '../../xc/memory.js';
import {
  xc_monitor_control_registers,
  xc_monitor_cpuid,
  xc_monitor_debug_exceptions,
  xc_monitor_descriptor_access,
  xc_monitor_emul_unimplemented,
  xc_monitor_emulate_each_rep,
  xc_monitor_guest_request,
  xc_monitor_inguest_pagefault,
  xc_monitor_io,
  xc_monitor_mov_to_msr,
  xc_monitor_privileged_call,
  xc_monitor_singlestep,
  xc_monitor_software_breakpoint,
  xc_monitor_vmexit,
  xc_monitor_write_ctrlreg,
} from '../../xc/monitor.js';

/** How writes to one control register are reported. */
export interface CrOptions {
  /** The vCPU waits for the answer. Default: true. */
  readonly sync?: boolean;
  /** Only writes that change the value. Default: true. Xen (4.17) reports no others, whatever is asked for. */
  readonly onChangeOnly?: boolean;
  /** Bits whose change alone is not reported. Default: none. */
  readonly bitmask?: number | bigint;
}

/** Frames of the domain, and what its vCPUs may do with them without being reported. */
export interface AccessOptions {
  /** The frames; `'all'`: every one there is, and those that are added later. */
  readonly gfns: FrameList | 'all';
  /** One of {@link XENMEM_access}, or its name: `'rx'`. */
  readonly access: XenmemAccess | keyof typeof XENMEM_access;
}

/** What to report. Everything is off unless it is named here. */
export interface MonitorSources {
  /** mem_access: frames of the host's p2m. For a view's frames use `view.setAccess`; its events come here, too. */
  readonly access?: readonly AccessOptions[];
  /** write_ctrlreg */
  readonly cr?: Readonly<Partial<Record<'cr0' | 'cr3' | 'cr4' | 'xcr0', boolean | CrOptions>>>;
  /** mov_to_msr: these registers. */
  readonly msr?: readonly (number | { readonly msr: number; readonly onChangeOnly?: boolean })[];
  /** singlestep: lets answers switch it on. */
  readonly singlestep?: boolean;
  /** software_breakpoint */
  readonly breakpoints?: boolean;
  /** debug_exception; the vCPU waits unless `sync` is false. */
  readonly debug?: boolean | { readonly sync?: boolean };
  readonly cpuid?: boolean;
  /** descriptor_access */
  readonly descriptor?: boolean;
  /** guest_request; the vCPU waits unless `sync` is false. `userspace`: its user mode may ask, too. */
  readonly guestRequest?: boolean | { readonly sync?: boolean; readonly userspace?: boolean };
  /** emul_unimplemented */
  readonly emulUnimplemented?: boolean;
  /**
   * Since Xen 4.17. With `sync` the vCPU waits, and Xen does not handle the exit: when the vCPU goes on, the same comes
   * again. Default: it does not wait.
   */
  readonly vmexit?: boolean | { readonly sync?: boolean };
  /** io_instruction: the agent has to do what the instruction does. Since Xen 4.18. */
  readonly io?: boolean;
  /** ARM only. */
  readonly privilegedCall?: boolean;
  /**
   * False: no mem_access for the processor's walks of the guest's page tables. Xen emulates the instruction instead. One
   * that it cannot emulate, a hypercall for example, does not get done.
   */
  readonly inguestPagefault?: boolean;
  /** A repeated string instruction is reported one repetition at a time. */
  readonly emulateEachRep?: boolean;
}

/** The switches, and the switches that may have options of their own. */
const SWITCHES: ReadonlySet<string> = new Set([
  ...['singlestep', 'breakpoints', 'cpuid', 'descriptor', 'emulUnimplemented', 'io', 'privilegedCall'],
  ...['inguestPagefault', 'emulateEachRep'],
]);
const WITH_OPTIONS: ReadonlySet<string> = new Set(['debug', 'vmexit', 'guestRequest']);
const LISTS: ReadonlySet<string> = new Set(['access', 'msr']);

const CR_INDEX = { cr0: VM_EVENT_X86_CR0, cr3: VM_EVENT_X86_CR3, cr4: VM_EVENT_X86_CR4, xcr0: VM_EVENT_X86_XCR0 };

/** Takes one thing back. */
type Undo = () => void;

/** Refuses options that are none of these, or `others`. @internal */
export function checkSources(sources: object, others: ReadonlySet<string>): void {
  checkObject(sources, 'options');
  for (const [name, value] of Object.entries(sources) as [string, unknown][]) {
    if (others.has(name) || value === undefined) continue;
    const what = `options.${name}`;
    if (SWITCHES.has(name)) checkBoolean(value as boolean, what);
    else if (LISTS.has(name)) {
      if (!Array.isArray(value)) throw new TypeError(`${what} must be an array`);
    } else if (name === 'cr' || (WITH_OPTIONS.has(name) && typeof value !== 'boolean')) {
      checkObject(value as object, what);
    } else if (!WITH_OPTIONS.has(name)) throw new TypeError(`${what}: there is no such option`);
  }
}

/**
 * Switches on what `sources` names, one call each; what is to be done to switch it off again is told to `undone` as soon
 * as it is on, so that a failure in between loses nothing.
 *
 * @internal
 */
export function enableSources(
  xch: XcInterface,
  domid: number,
  sources: MonitorSources,
  undone: (undo: Undo) => void,
): void {
  const on = (call: (xch: XcInterface, domid: number, enable: boolean) => void): void => {
    call(xch, domid, true);
    undone(() => call(xch, domid, false));
  };
  enableRegisters(xch, domid, sources, undone);
  if (sources.singlestep) on(xc_monitor_singlestep);
  if (sources.breakpoints) on(xc_monitor_software_breakpoint);
  if (sources.cpuid) on(xc_monitor_cpuid);
  if (sources.descriptor) on(xc_monitor_descriptor_access);
  if (sources.emulUnimplemented) on(xc_monitor_emul_unimplemented);
  if (sources.io) on(xc_monitor_io);
  if (sources.privilegedCall) on(xc_monitor_privileged_call);
  if (sources.inguestPagefault === false) on(xc_monitor_inguest_pagefault);
  if (sources.emulateEachRep) on(xc_monitor_emulate_each_rep);
  const { debug, vmexit, guestRequest } = sources;
  if (debug) on((x, d, enable) => xc_monitor_debug_exceptions(x, d, enable, waits(debug)));
  if (vmexit) on((x, d, enable) => xc_monitor_vmexit(x, d, enable, vmexit !== true && vmexit.sync === true));
  if (guestRequest) {
    const userspace = typeof guestRequest === 'object' && guestRequest.userspace === true;
    on((x, d, enable) => xc_monitor_guest_request(x, d, enable, waits(guestRequest), userspace));
  }
  for (const one of sources.access ?? []) restrictAccess(xch, domid, one, undone);
}

function waits(option: true | { readonly sync?: boolean }): boolean {
  return option === true || option.sync !== false;
}

function enableRegisters(
  xch: XcInterface,
  domid: number,
  { cr, msr }: MonitorSources,
  undone: (undo: Undo) => void,
): void {
  // without it Xen writes the register first, and an answer that denies the write comes too late
  if (cr || msr) xc_monitor_control_registers(xch, domid);
  for (const [name, option] of Object.entries(cr ?? {})) {
    const index = CR_INDEX[name as keyof typeof CR_INDEX];
    if (index === undefined) throw new TypeError(`options.cr.${name}: there is no such register`);
    if (!option) continue;
    const { sync = true, onChangeOnly = true, bitmask = 0 } = option === true ? {} : option;
    xc_monitor_write_ctrlreg(xch, domid, index, true, sync, bitmask, onChangeOnly);
    undone(() => xc_monitor_write_ctrlreg(xch, domid, index, false, sync, bitmask, onChangeOnly));
  }
  for (const one of msr ?? []) {
    const register = typeof one === 'number' ? one : one.msr;
    const onChangeOnly = typeof one === 'object' && one.onChangeOnly === true;
    xc_monitor_mov_to_msr(xch, domid, register, true, onChangeOnly);
    undone(() => xc_monitor_mov_to_msr(xch, domid, register, false, onChangeOnly));
  }
}

function accessNamed(name: keyof typeof XENMEM_access): XenmemAccess {
  if (Object.hasOwn(XENMEM_access, name)) return XENMEM_access[name];
  throw new TypeError(`access must be one of ${Object.keys(XENMEM_access).join(', ')}, not '${name}'`);
}

/** Frames go back to the access that they had; all of them, to rwx. */
function restrictAccess(xch: XcInterface, domid: number, option: AccessOptions, undone: (undo: Undo) => void): void {
  checkObject(option, 'options.access[]');
  const { gfns } = option;
  const access = typeof option.access === 'string' ? accessNamed(option.access) : option.access;
  if (gfns === 'all') {
    const setAll = (to: XenmemAccess): void => {
      xc_set_mem_access(xch, domid, to, INVALID_GFN, 0);
      xc_set_mem_access(xch, domid, to, 0, xc_domain_maximum_gpfn(xch, domid) + 1);
    };
    undone(() => setAll(XENMEM_access.rwx)); // also when it stops half-way
    setAll(access);
    return;
  }
  const before = Uint8Array.from(gfns as readonly (number | bigint)[], (gfn) =>
    encodeAccess(xc_get_mem_access(xch, domid, gfn), xch.abi),
  );
  const frames = gfns.slice();
  undone(() => xc_set_mem_access_multi(xch, domid, before, frames));
  xc_set_mem_access_multi(xch, domid, Array(frames.length).fill(access), frames);
}
