/**
 * Pages of another domain, mapped into this process; libxc's calls over libxenforeignmemory. A mapping holds its pages
 * until it is closed: `using pages = xc_map_foreign_pages(...)`.
 */

import { DOMID_SELF, PAGE_SIZE } from '../abi/xen.js';
import {
  checkCount,
  checkDomid,
  checkU16,
  checkU32,
  checkU64,
  checkU64List,
  type FrameList,
} from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import { type ForeignMapping, PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

const MOST = Number.MAX_SAFE_INTEGER;

function checkProt(prot: number): void {
  if (prot === PROT_READ || prot === PROT_WRITE || prot === (PROT_READ | PROT_WRITE)) return;
  const Kind = typeof prot === 'number' ? RangeError : TypeError;
  throw new Kind(`prot must be PROT_READ, PROT_WRITE or both, not ${String(prot)}`);
}

function checkFrames(frames: FrameList, name: string): number[] {
  checkU64List(frames, name);
  if (frames.length === 0) throw new RangeError(`${name} is empty: there is nothing to map`);
  return Array.from(frames as ArrayLike<number | bigint>, (frame, i) => {
    if (frame > MOST) throw new RangeError(`${name}[${i}] is no frame: ${frame}`);
    return Number(frame);
  });
}

function map(
  xch: XcInterface,
  syscall: string,
  domid: number,
  frames: readonly number[],
  prot: number,
): ForeignMapping {
  try {
    return xch.hypervisor.mapForeign(domid, frames, prot);
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    throw new XenError(syscall, error.errno, { domid, hint: error.hint ?? hints[error.code] });
  }
}

const hints: Readonly<Record<string, string>> = {
  ESRCH: 'no such domain',
  EPERM: 'only a privileged domain may, on a handle that is not restricted to another domain',
  EINVAL: `none of the frames can be mapped, or the domain is the caller (${DOMID_SELF})`,
};

/**
 * Maps frames of a domain in the order of the list. Frames that cannot be mapped are told in `errors`, one entry a frame;
 * their bytes must not be touched.
 *
 * @param prot `PROT_READ`, `PROT_WRITE` or both
 * @throws XenError nothing at all could be mapped: `ESRCH`: no such domain; `EPERM`: the caller may not
 */
export function xc_map_foreign_bulk(xch: XcInterface, dom: number, prot: number, arr: FrameList): ForeignMapping {
  checkDomid(dom);
  checkProt(prot);
  return map(xch, 'xc_map_foreign_bulk', dom, checkFrames(arr, 'arr'), prot);
}

/**
 * Maps frames of a domain in the order of the list: all of them, or an error.
 *
 * @param prot `PROT_READ`, `PROT_WRITE` or both
 * @throws XenError the errno of the first frame that cannot be mapped (`EINVAL`: no memory there), or as
 *   {@link xc_map_foreign_bulk}
 */
export function xc_map_foreign_pages(xch: XcInterface, dom: number, prot: number, arr: FrameList): ForeignMapping {
  checkDomid(dom);
  checkProt(prot);
  return mapAll(xch, 'xc_map_foreign_pages', dom, checkFrames(arr, 'arr'), prot);
}

/**
 * Maps consecutive frames of a domain: all of them, or an error.
 *
 * @param size in bytes, rounded up to whole pages
 * @param prot `PROT_READ`, `PROT_WRITE` or both
 * @param mfn the first frame
 * @throws XenError as {@link xc_map_foreign_pages}
 */
export function xc_map_foreign_range(
  xch: XcInterface,
  dom: number,
  size: number,
  prot: number,
  mfn: number | bigint,
): ForeignMapping {
  checkDomid(dom);
  checkProt(prot);
  checkU64(mfn, 'mfn');
  const pages = pageCount(size);
  const first = Number(mfn);
  if (first + pages > MOST) throw new RangeError(`mfn is no frame: ${mfn}`);
  const frames = Array.from({ length: pages }, (_, i) => first + i);
  return mapAll(xch, 'xc_map_foreign_range', dom, frames, prot);
}

/**
 * Maps frames of a resource that Xen keeps for a domain. There is no libxc call; this is libxenforeignmemory's.
 *
 * @param type `XENMEM_resource_*`: an I/O request server's pages, a grant table, a trace buffer (since Xen 4.15)
 * @param id which one: the server, `XENMEM_resource_grant_table_id_*`, or the vCPU
 * @param frame the first frame, and `nr_frames` how many
 * @param prot `PROT_READ`, `PROT_WRITE` or both
 * @throws XenError `EINVAL`: there is no such resource or frame. `EOPNOTSUPP`: no such type. `ESRCH`. `EPERM`.
 */
export function xenforeignmemory_map_resource(
  xch: XcInterface,
  domid: number,
  type: number,
  id: number,
  frame: number,
  nr_frames: number,
  prot: number,
): ForeignMapping {
  checkDomid(domid);
  checkU16(type, 'type');
  checkU32(id, 'id');
  checkCount(frame, 'frame');
  checkU32(nr_frames, 'nr_frames');
  if (nr_frames === 0 || nr_frames > MOST_PAGES) {
    throw new RangeError(`nr_frames must be from 1 to ${MOST_PAGES}, not ${nr_frames}`);
  }
  checkProt(prot);
  const call = 'xenforeignmemory_map_resource';
  try {
    return requireOpen(xch).mapResource(domid, type, id, frame, nr_frames, prot);
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    throw refusal(call, error.errno, domid);
  }
}

/**
 * Tells how many frames a resource has (libxenforeignmemory's call of this name gives bytes).
 *
 * @throws XenError as {@link xenforeignmemory_map_resource}
 */
export function xenforeignmemory_resource_size(xch: XcInterface, domid: number, type: number, id: number): number {
  checkDomid(domid);
  checkU16(type, 'type');
  checkU32(id, 'id');
  const frames = requireOpen(xch).resourceSize(domid, type, id);
  if (frames < 0) throw refusal('xenforeignmemory_resource_size', frames, domid);
  return frames;
}

/** The most that one mapping may have: 64 GiB. */
const MOST_PAGES = 2 ** 24;

function pageCount(size: number): number {
  if (typeof size !== 'number') throw new TypeError(`size must be a number, not ${typeof size}`);
  const pages = Math.ceil(size / PAGE_SIZE);
  if (!Number.isSafeInteger(size) || size <= 0 || pages > MOST_PAGES) {
    throw new RangeError(`size must be an integer from 1 to ${MOST_PAGES * PAGE_SIZE}, not ${size}`);
  }
  return pages;
}

function mapAll(
  xch: XcInterface,
  call: string,
  domid: number,
  frames: readonly number[],
  prot: number,
): ForeignMapping {
  const mapping = map(xch, call, domid, frames, prot);
  const bad = mapping.errors.findIndex((rc) => rc !== 0);
  if (bad < 0) return mapping;
  const rc = mapping.errors[bad] as number;
  mapping.close();
  throw new XenError(call, rc, { domid, hint: `frame ${frames[bad]} cannot be mapped` });
}
