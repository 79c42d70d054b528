/**
 * Questions that change nothing, asked beside the calls of a session. They have memory of their own: the session's
 * arguments lie in the arena already when they are asked.
 */

import * as ctl from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import * as hvm from '../abi/hvm/hvm_op.js';
import { HVM_PARAM_ALTP2M } from '../abi/hvm/params.js';
import { XENMEM_maximum_gpfn } from '../abi/memory.js';
import { atLeast, type Release, releaseAbi } from '../abi/release.js';
import { XEN_SYSCTL_physinfo, xen_sysctl, xen_sysctl_physinfo } from '../abi/sysctl.js';
import { XEN_COMMANDLINE_LEN, XENVER_version } from '../abi/version.js';
import * as xen from '../abi/xen.js';
import type { Arena, ArenaBuffer } from '../hypervisor/arena.js';
import type { Hypervisor } from '../hypervisor/port.js';
import { domainInfo } from './decode_domctl.js';
import type { DecodedValues } from './decoded.js';
import { Operand } from './operand.js';

const SCRATCH = Math.max(XEN_COMMANDLINE_LEN, ctl.xen_domctl.size, xen_sysctl.size);
/** The most views that a domain can have, and up to Xen 4.20. */
const MOST_VIEWS = 512;
const FIXED_VIEWS = 10;

export class Probe implements Disposable {
  readonly #hypervisor: Hypervisor;
  readonly #scratch: ArenaBuffer;

  constructor(hypervisor: Hypervisor) {
    this.#hypervisor = hypervisor;
    this.#scratch = hypervisor.arena.alloc(SCRATCH);
  }

  [Symbol.dispose](): void {
    this.#scratch.free();
  }

  get #arena(): Arena {
    return this.#hypervisor.arena;
  }

  /** XENVER_version's answer. */
  version(): number {
    return this.#hypervisor.hypercall(xen.__HYPERVISOR_xen_version, XENVER_version);
  }

  /** The answer of a command that fills a text; empty when it is refused. */
  text(cmd: number): string {
    const { bytes, address } = this.#clear();
    if (this.#hypervisor.hypercall(xen.__HYPERVISOR_xen_version, cmd, address) < 0) return '';
    const end = bytes.indexOf(0);
    return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('latin1');
  }

  /** Whether this Xen offers altp2m at all: asked with a structure that no Xen takes. */
  altp2mSupported(): boolean {
    this.#clear();
    const rc = this.#hypervisor.hypercall(xen.__HYPERVISOR_hvm_op, hvm.HVMOP_altp2m, this.#scratch.address);
    return rc === -errno.EINVAL;
  }

  /** `capabilities` and the eight words of `hw_cap`; null when it is refused. */
  physinfo(release: Release): { readonly capabilities: number; readonly words: readonly number[] } | null {
    const operand = this.#clear();
    const { view } = this.#arena;
    view.setUint32(operand.offset + xen_sysctl.at.cmd, XEN_SYSCTL_physinfo, true);
    view.setUint32(operand.offset + xen_sysctl.at.interface_version, releaseAbi(release).sysctl, true);
    if (this.#hypervisor.hypercall(xen.__HYPERVISOR_sysctl, operand.address) < 0) return null;
    const { at } = xen_sysctl_physinfo.for(release);
    const u32 = (offset = 0): number => view.getUint32(operand.offset + xen_sysctl.at.u + offset, true);
    return {
      capabilities: u32(at.capabilities),
      words: Array.from({ length: 8 }, (_, i) => u32((at.hw_cap ?? 0) + i * 4)),
    };
  }

  /** What getdomaininfo says; null: no such domain, or the caller may not ask. */
  domain(release: Release, domid: number): (DecodedValues & Readonly<Record<string, number>>) | null {
    const u = this.#domctl(release, ctl.XEN_DOMCTL_getdomaininfo, domid);
    const told = u && this.#arena.view.getUint16(this.#scratch.offset + ctl.xen_domctl.at.domain, true) === domid;
    return told ? domainInfo(u, ctl.xen_domctl_getdomaininfo.for(release)) : null;
  }

  /** Size of the paging pool; null where Xen does not tell. */
  pagingPool(release: Release, domid: number): number | null {
    if (!atLeast(release, '4.17')) return null;
    const u = this.#domctl(release, ctl.XEN_DOMCTL_get_paging_mempool_size, domid);
    return u && Number(u.u64(0));
  }

  /** The highest frame; -1 when Xen does not tell. */
  highestFrame(domid: number): number {
    const operand = this.#clear();
    this.#arena.view.setUint16(operand.offset, domid, true);
    return this.#hypervisor.hypercall(xen.__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, operand.address);
  }

  /** The domain's altp2m mode; 0 when it has none. */
  altp2mMode(domid: number): number {
    const operand = this.#clear();
    const F = hvm.xen_hvm_param.at;
    this.#arena.view.setUint16(operand.offset + F.domid, domid, true);
    this.#arena.view.setUint32(operand.offset + F.index, HVM_PARAM_ALTP2M, true);
    const rc = this.#hypervisor.hypercall(xen.__HYPERVISOR_hvm_op, hvm.HVMOP_get_param, operand.address);
    return rc < 0 ? 0 : this.#arena.view.getUint8(operand.offset + F.value);
  }

  altp2mActive(domid: number): boolean {
    return this.#altp2m(hvm.HVMOP_altp2m_get_domain_state, domid) === 0 && this.#union(0) === 1;
  }

  /** Default access of each view beside view 0; null: there is no such view. Without the ones that end the list. */
  altp2mViews(release: Release, domid: number): readonly (number | null)[] {
    const F = hvm.xen_hvm_altp2m_mem_access.at;
    const views: (number | null)[] = [];
    const most = atLeast(release, '4.21') ? MOST_VIEWS : FIXED_VIEWS;
    for (let view = 1; view < most; view++) {
      const rc = this.#altp2m(hvm.HVMOP_altp2m_get_mem_access, domid, (u) => {
        this.#arena.view.setUint16(u + F.view, view, true);
        this.#arena.view.setBigUint64(u + F.gfn, xen.INVALID_GFN, true);
      });
      views.push(rc === 0 ? this.#union(F.access) : null);
    }
    while (views.at(-1) === null) views.pop();
    return views;
  }

  /** The view of a vCPU; null when Xen does not tell. */
  altp2mIndex(domid: number, vcpu: number): number | null {
    const F = hvm.xen_hvm_altp2m_get_vcpu_p2m_idx.at;
    const rc = this.#altp2m(hvm.HVMOP_altp2m_get_p2m_idx, domid, (u) => {
      this.#arena.view.setUint32(u + F.vcpu_id, vcpu, true);
    });
    const { view } = this.#arena;
    const index = view.getUint16(this.#scratch.offset + hvm.xen_hvm_altp2m_op.at.u + F.altp2m_idx, true);
    return rc === 0 ? index : null;
  }

  #domctl(release: Release, cmd: number, domid: number): Operand | null {
    const operand = this.#clear();
    const { view } = this.#arena;
    view.setUint32(operand.offset + ctl.xen_domctl.at.cmd, cmd, true);
    view.setUint32(operand.offset + ctl.xen_domctl.at.interface_version, releaseAbi(release).domctl, true);
    view.setUint16(operand.offset + ctl.xen_domctl.at.domain, domid, true);
    if (this.#hypervisor.hypercall(xen.__HYPERVISOR_domctl, operand.address) < 0) return null;
    const { u } = ctl.xen_domctl.at;
    return Operand.at(this.#arena, operand.address, ctl.xen_domctl.size)?.within(u, ctl.xen_domctl.size - u) ?? null;
  }

  #altp2m(cmd: number, domid: number, encode: (u: number) => void = () => {}): number {
    const operand = this.#clear();
    const { view } = this.#arena;
    const F = hvm.xen_hvm_altp2m_op.at;
    view.setUint32(operand.offset + F.version, hvm.HVMOP_ALTP2M_INTERFACE_VERSION, true);
    view.setUint32(operand.offset + F.cmd, cmd, true);
    view.setUint16(operand.offset + F.domain, domid, true);
    encode(operand.offset + F.u);
    return this.#hypervisor.hypercall(xen.__HYPERVISOR_hvm_op, hvm.HVMOP_altp2m, operand.address);
  }

  /** One byte of the last altp2m operation's union. */
  #union(offset: number): number {
    return this.#arena.view.getUint8(this.#scratch.offset + hvm.xen_hvm_altp2m_op.at.u + offset);
  }

  #clear(): ArenaBuffer {
    this.#scratch.bytes.fill(0);
    return this.#scratch;
  }
}
