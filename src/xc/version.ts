/**
 * What Xen says about itself, as libxc's `xc_version.c`. Every domain may ask; since Xen 4.7 a domain without privilege
 * gets "<denied>" for the capabilities, the command line and a few more (`EPERM` for the commands since 4.20).
 *
 * Source of the behaviour: Xen's `do_xen_version`, in `xen/common/kernel.c`.
 */

import { errno } from '../abi/errno.js';
import {
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_COMMANDLINE_LEN,
  XEN_EXTRAVERSION_LEN,
  XENVER_build_id,
  XENVER_capabilities,
  XENVER_capabilities2,
  XENVER_changeset,
  XENVER_changeset2,
  XENVER_commandline,
  XENVER_commandline2,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_extraversion2,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
  xen_build_id,
  xen_compile_info,
  xen_feature_info,
  xen_platform_parameters,
} from '../abi/version.js';
import { __HYPERVISOR_xen_version } from '../abi/xen.js';
import type { ArenaBuffer } from '../hypervisor/arena.js';
import { checkU32 } from '../hypervisor/check.js';
import { type XcInterface, xenAtLeast } from './interface.js';
import { refusal } from './refusal.js';
import { formatUuid } from './uuid.js';

/** How and by whom this Xen was built. */
export interface CompileInfo {
  readonly compiler: string;
  readonly compile_by: string;
  readonly compile_domain: string;
  readonly compile_date: string;
}

/** What each command of {@link xc_version} answers. */
export interface XenVersionAnswers {
  /** Major version in the high 16 bits, minor in the low ones: 0x40011 is 4.17. `xch.xenVersion` has it taken apart. */
  readonly [XENVER_version]: number;
  /** What follows the version: `'.2'`. Up to 15 bytes. */
  readonly [XENVER_extraversion]: string;
  readonly [XENVER_compile_info]: CompileInfo;
  /** Kinds of guests, separated by spaces. Up to 1,023 bytes. */
  readonly [XENVER_capabilities]: string;
  /** Commit. Up to 63 bytes. */
  readonly [XENVER_changeset]: string;
  /** Lowest virtual address that Xen keeps from PV guests. */
  readonly [XENVER_platform_parameters]: bigint;
  /** 32 feature bits, `XENFEAT_*`, of the submap that the third argument names (default 0). */
  readonly [XENVER_get_features]: number;
  /** Bytes in a page. */
  readonly [XENVER_pagesize]: number;
  /** The caller's own UUID. */
  readonly [XENVER_guest_handle]: string;
  /** Xen's own boot options. Up to 1,023 bytes. */
  readonly [XENVER_commandline]: string;
  readonly [XENVER_build_id]: Uint8Array;
  /** As the older commands, without a limit. Since Xen 4.20; `ENOSYS` before. */
  readonly [XENVER_extraversion2]: string;
  readonly [XENVER_capabilities2]: string;
  readonly [XENVER_changeset2]: string;
  readonly [XENVER_commandline2]: string;
}

const TEXT = new TextDecoder();

/** The text in a character array, without the zeros that end it. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return TEXT.decode(bytes.slice(0, end < 0 ? bytes.length : end));
}

/** Issues a command that fills a structure of a fixed size. */
function fill<T>(xch: XcInterface, cmd: number, size: number, read: (buffer: ArenaBuffer, view: DataView) => T): T {
  const { hypervisor } = xch;
  using buffer = hypervisor.arena.alloc(size);
  const rc = hypervisor.hypercall(__HYPERVISOR_xen_version, cmd, buffer.address);
  if (rc < 0) throw refusal('xc_version', rc);
  return read(buffer, hypervisor.arena.view);
}

const fixedText =
  (size: number) =>
  (xch: XcInterface, cmd: number): string =>
    fill(xch, cmd, size, ({ bytes }) => text(bytes));

/** Issues a command that tells its length first and then fills `{u32 length, bytes}`. */
function variable(xch: XcInterface, cmd: number): Uint8Array {
  const { hypervisor } = xch;
  const length = hypervisor.hypercall(__HYPERVISOR_xen_version, cmd, 0);
  if (length < 0) throw refusal('xc_version', length);
  if (length === 0) return new Uint8Array(0);
  using buffer = hypervisor.arena.alloc(xen_build_id.size + length);
  hypervisor.arena.view.setUint32(buffer.offset + xen_build_id.at.len, length, true);
  const rc = hypervisor.hypercall(__HYPERVISOR_xen_version, cmd, buffer.address);
  if (rc < 0) throw refusal('xc_version', rc);
  return buffer.bytes.slice(xen_build_id.size, xen_build_id.size + rc);
}

const variableText = (xch: XcInterface, cmd: number): string => TEXT.decode(variable(xch, cmd));

/** A command without an argument, whose result is the answer. */
function plain(xch: XcInterface, cmd: number): number {
  const rc = xch.hypervisor.hypercall(__HYPERVISOR_xen_version, cmd);
  if (rc < 0) throw refusal('xc_version', rc);
  return rc;
}

function compileInfo(xch: XcInterface, cmd: number): CompileInfo {
  const { fields, size } = xen_compile_info;
  return fill(xch, cmd, size, ({ bytes }) => {
    const part = ([offset, length]: readonly [number, number]): string => text(bytes.subarray(offset, offset + length));
    return {
      compiler: part(fields.compiler),
      compile_by: part(fields.compile_by),
      compile_domain: part(fields.compile_domain),
      compile_date: part(fields.compile_date),
    };
  });
}

function features(xch: XcInterface, cmd: number, submap: number): number {
  const { hypervisor } = xch;
  using buffer = hypervisor.arena.alloc(xen_feature_info.size);
  hypervisor.arena.view.setUint32(buffer.offset + xen_feature_info.at.submap_idx, submap, true);
  const rc = hypervisor.hypercall(__HYPERVISOR_xen_version, cmd, buffer.address);
  if (rc < 0) throw refusal('xc_version', rc);
  return hypervisor.arena.view.getUint32(buffer.offset + xen_feature_info.at.submap, true);
}

type Answering = {
  readonly [C in keyof XenVersionAnswers]: (xch: XcInterface, cmd: number, arg: number) => XenVersionAnswers[C];
};

const COMMANDS: Answering = {
  [XENVER_version]: plain,
  [XENVER_extraversion]: fixedText(XEN_EXTRAVERSION_LEN),
  [XENVER_compile_info]: compileInfo,
  [XENVER_capabilities]: fixedText(XEN_CAPABILITIES_INFO_LEN),
  [XENVER_changeset]: fixedText(XEN_CHANGESET_INFO_LEN),
  [XENVER_platform_parameters]: (xch, cmd) =>
    fill(xch, cmd, xen_platform_parameters.size, ({ offset }, view) => view.getBigUint64(offset, true)),
  [XENVER_get_features]: features,
  [XENVER_pagesize]: plain,
  [XENVER_guest_handle]: (xch, cmd) => fill(xch, cmd, 16, ({ bytes }) => formatUuid(bytes)),
  [XENVER_commandline]: fixedText(XEN_COMMANDLINE_LEN),
  [XENVER_build_id]: variable,
  [XENVER_extraversion2]: variableText,
  [XENVER_capabilities2]: variableText,
  [XENVER_changeset2]: variableText,
  [XENVER_commandline2]: variableText,
};

/**
 * Asks Xen about itself. What C's function writes through `arg` is the return value.
 *
 * @param cmd one of `XENVER_*`
 * @param arg for `XENVER_get_features` the number of the submap; ignored otherwise
 * @throws RangeError for a command that is not in {@link XenVersionAnswers}
 * @throws XenError `ENOSYS`: this Xen does not have the command. `EINVAL`: no such submap. `ENODATA`: no build id.
 *   `EPERM`: the caller may not ask.
 */
export function xc_version<C extends keyof XenVersionAnswers>(xch: XcInterface, cmd: C, arg = 0): XenVersionAnswers[C] {
  checkU32(cmd, 'cmd');
  checkU32(arg, 'arg');
  if (!Object.hasOwn(COMMANDS, cmd)) throw new RangeError(`cmd must be one of XENVER_*, not ${cmd}`);
  return COMMANDS[cmd](xch, cmd, arg);
}

/** The longer form of a text where the release has it, for texts that the older command cuts off. */
function longest(
  xch: XcInterface,
  cmd2:
    | typeof XENVER_extraversion2
    | typeof XENVER_capabilities2
    | typeof XENVER_changeset2
    | typeof XENVER_commandline2,
  cmd: typeof XENVER_extraversion | typeof XENVER_capabilities | typeof XENVER_changeset | typeof XENVER_commandline,
): string {
  if (xenAtLeast(xch, '4.20')) {
    const { hypervisor } = xch;
    if (hypervisor.hypercall(__HYPERVISOR_xen_version, cmd2, 0) !== -errno.ENOSYS) return xc_version(xch, cmd2);
  }
  return xc_version(xch, cmd);
}

/** What follows the version number: `'.2'`, `'-rc1'`. Errors: see {@link xc_version}. */
export function xc_xenver_extraversion(xch: XcInterface): string {
  return longest(xch, XENVER_extraversion2, XENVER_extraversion);
}

/** The kinds of guests that Xen can run, separated by spaces: `'xen-3.0-x86_64 hvm-3.0-x86_64'`. See {@link xc_version}. */
export function xc_xenver_capabilities(xch: XcInterface): string {
  return longest(xch, XENVER_capabilities2, XENVER_capabilities);
}

/** The commit that Xen was built from. See {@link xc_version}. */
export function xc_xenver_changeset(xch: XcInterface): string {
  return longest(xch, XENVER_changeset2, XENVER_changeset);
}

/** Xen's own boot options: `'placeholder altp2m=1 dom0_mem=2G'`. See {@link xc_version}. */
export function xc_xenver_commandline(xch: XcInterface): string {
  return longest(xch, XENVER_commandline2, XENVER_commandline);
}

/** The build id in hexadecimal. Throws XenError `ENODATA` where Xen was built without. Since Xen 4.7. */
export function xc_xenver_buildid(xch: XcInterface): string {
  return Buffer.from(xc_version(xch, XENVER_build_id)).toString('hex');
}

/** How and by whom Xen was built. See {@link xc_version}. */
export function xc_xenver_compile_info(xch: XcInterface): CompileInfo {
  return xc_version(xch, XENVER_compile_info);
}

/** The lowest virtual address that Xen keeps from PV guests. See {@link xc_version}. */
export function xc_xenver_platform_parameters(xch: XcInterface): bigint {
  return xc_version(xch, XENVER_platform_parameters);
}

/**
 * 32 of the features that Xen offers the caller, one bit each, `XENFEAT_*`.
 *
 * @throws XenError `EINVAL`: there is no such submap (there is one, 0)
 */
export function xc_xenver_get_features(xch: XcInterface, submap_idx = 0): number {
  return xc_version(xch, XENVER_get_features, submap_idx);
}

/** Bytes in a page: 4096. */
export function xc_xenver_pagesize(xch: XcInterface): number {
  return xc_version(xch, XENVER_pagesize);
}

/** The UUID of the calling domain. */
export function xc_xenver_guest_handle(xch: XcInterface): string {
  return xc_version(xch, XENVER_guest_handle);
}
