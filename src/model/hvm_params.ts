/**
 * The parameters of an HVM domain: which there are, which values Xen takes (`hvm_allow_set_param` and `hvmop_set_param`,
 * `arch/x86/hvm/hvm.c`), and what they are to begin with. Measured on Xen 4.17.
 */

import { XEN_X86_EMU_PM } from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import {
  HVM_NR_PARAMS,
  HVM_PARAM_ACPI_IOPORTS_LOCATION,
  HVM_PARAM_ACPI_S_STATE,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_BUFIOREQ_PFN,
  HVM_PARAM_IOREQ_PFN,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_MCA_CAP,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_TIMER_MODE,
  HVM_PARAM_TRIPLE_FAULT_REASON,
  HVM_PARAM_VIRIDIAN,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_X87_FIP_WIDTH,
  XEN_ALTP2M_limited,
} from '../abi/hvm/params.js';
import { atLeast, type Release } from '../abi/release.js';
import { SHUTDOWN_reboot, SHUTDOWN_soft_reset } from '../abi/sched.js';

import type { Cpu } from './options.js';

/** What the values that Xen takes depend on. */
export interface ParamContext {
  readonly release: Release;
  readonly nestedVirt: boolean;
  readonly emulationFlags: number;
}

/** Numbers that no parameter has any more: asking for them is an error as for one beyond the last. */
const GONE: ReadonlySet<number> = new Set([4, 13, 20, 21, 22, 23, 24, 25, 26, 30]);

/** These take another value only while they are 0. */
const SET_ONCE: ReadonlySet<number> = new Set([
  HVM_PARAM_VIRIDIAN,
  HVM_PARAM_IOREQ_PFN,
  HVM_PARAM_BUFIOREQ_PFN,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_MCA_CAP,
]);

const TWO_32 = 1n << 32n;
/** Bytes of the old 16-bit task segment: what a caller who tells no size means, the least, and the most that are used. */
const TSS_LEGACY = 128n;
const TSS_LEAST = 104n;
const TSS_MOST = 8329n;
const VIRIDIAN_FEATURES = 0x1fffn;
const TIMER_MODES = 4n;
const MOST_IOREQ_PAGES = 64n;
/** ACPI's state S3, the only one but S0 that a domain can be put in. */
const S3 = 3n;

/** Whether there is a parameter with this number. */
export function isParam(index: number): boolean {
  return index < HVM_NR_PARAMS && !GONE.has(index);
}

/** Width of the x87 instruction pointer on processors that no longer keep its selector, as Intel's since Haswell. */
const X87_FIP_64_BIT = 8n;

/** The parameters of a new domain. */
export function newParams(altp2mMode: number, vendor: Cpu['vendor']): BigUint64Array {
  const params = new BigUint64Array(HVM_NR_PARAMS);
  params[HVM_PARAM_ALTP2M] = BigInt(altp2mMode);
  params[HVM_PARAM_TRIPLE_FAULT_REASON] = BigInt(SHUTDOWN_reboot);
  if (vendor === 'intel') params[HVM_PARAM_X87_FIP_WIDTH] = X87_FIP_64_BIT;
  return params;
}

/** Sets a parameter that {@link isParam} knows. @returns 0 or a negative errno */
export function setParam(params: BigUint64Array, index: number, value: bigint, context: ParamContext): number {
  const before = params[index] ?? 0n;
  if (SET_ONCE.has(index) && before !== 0n && before !== value) return -errno.EEXIST;
  const refused = refusal(index, value, context);
  if (refused) return refused;
  if (index === HVM_PARAM_VM86_TSS) {
    params[HVM_PARAM_VM86_TSS_SIZED] = value | (TSS_LEGACY << 32n);
  } else if (index === HVM_PARAM_VM86_TSS_SIZED && value >> 32n > TSS_MOST) {
    value = (value % TWO_32) | (TSS_MOST << 32n);
  }
  params[index] = value;
  return 0;
}

function refusal(index: number, value: bigint, { release, nestedVirt, emulationFlags }: ParamContext): number {
  switch (index) {
    case HVM_PARAM_VIRIDIAN:
      // without its first feature the others are nothing
      return invalid((value & 1n) === 0n || value > VIRIDIAN_FEATURES);
    case HVM_PARAM_TIMER_MODE:
      return invalid(value >= TIMER_MODES);
    case HVM_PARAM_ACPI_S_STATE:
      return invalid(value !== 0n && value !== S3);
    case HVM_PARAM_VM86_TSS:
      return invalid(value >= TWO_32);
    case HVM_PARAM_VM86_TSS_SIZED:
      return invalid(value >> 32n < TSS_LEAST);
    case HVM_PARAM_ACPI_IOPORTS_LOCATION:
      if (!(emulationFlags & XEN_X86_EMU_PM)) return -errno.ENODEV;
      return invalid(value > 1n);
    case HVM_PARAM_TRIPLE_FAULT_REASON:
      return invalid(value > BigInt(SHUTDOWN_soft_reset));
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
      return invalid(value === 0n || value > MOST_IOREQ_PAGES);
    case HVM_PARAM_X87_FIP_WIDTH:
      return invalid(value !== 0n && value !== 4n && value !== 8n);
    case HVM_PARAM_MCA_CAP:
      return invalid(value !== 0n);
    case HVM_PARAM_ALTP2M:
      // since 4.19 the mode is given when the domain is created
      if (atLeast(release, '4.19')) return -errno.EEXIST;
      return invalid(value > BigInt(XEN_ALTP2M_limited) || (nestedVirt && value !== 0n));
    default:
      return 0;
  }
}

function invalid(bad: boolean): number {
  return bad ? -errno.EINVAL : 0;
}
