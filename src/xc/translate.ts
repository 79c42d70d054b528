/** A guest's linear addresses: libxc's `xc_pagetab.c`. No hypercall of its own: registers are read and tables mapped. */

import { XEN_DOMCTL_get_address_size, xen_domctl_address_size } from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { PAGE_SIZE } from '../abi/xen.js';
import { checkDomid, checkU16, checkU64 } from '../hypervisor/check.js';
import { PROT_READ } from '../hypervisor/port.js';
import { xc_domain_getinfo_single } from './domain_info.js';
import { xc_map_foreign_range } from './foreign_memory.js';
import { readHvmCpu } from './hvm_cpu.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl } from './privileged.js';
import { refusal } from './refusal.js';
import { xc_vcpu_getcontext } from './vcpu.js';

const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const PTE_PRESENT = 1n;
const PTE_PSE = 1n << 7n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Where `ctrlreg[3]` is in a 32-bit PV vCPU's `vcpu_guest_context` of 2,800 bytes. */
const PV32_CR3 = 2728;

/**
 * Tells the width of a PV domain's pointers in bytes: 4 or 8.
 *
 * @throws XenError `EOPNOTSUPP`: the domain is HVM or PVH, and changes its mode itself. `ESRCH`. `EPERM`.
 */
export function xc_domain_get_guest_width(xch: XcInterface, domid: number): number {
  const call = 'xc_domain_get_guest_width';
  const view = beginDomctl(xch, call, XEN_DOMCTL_get_address_size, domid, 'reads');
  issueDomctl(xch, call, domid);
  return view.getUint32(DOMCTL_U + xen_domctl_address_size.at.size, true) / 8;
}

/**
 * Translates a linear address by the tables that a vCPU uses at this moment: the frame that it is in. An HVM vCPU with
 * paging off uses physical addresses. The guest may change its tables at any time: pause it where that matters. To
 * translate often, use the `Introspector`, which keeps what it has mapped.
 *
 * @param virt the address; upper bits that the guest's mode does not have are ignored
 * @returns frame number: of the guest's physical memory, or for a PV domain of the machine's
 * @throws XenError `EADDRNOTAVAIL`: it is not mapped. `ENOENT`: no such vCPU, or it is down. `EINVAL`: a table is where
 *   the domain has no memory. `ESRCH`. `EPERM`.
 */
export function xc_translate_foreign_address(
  xch: XcInterface,
  dom: number,
  vcpu: number,
  virt: number | bigint,
): number {
  checkDomid(dom);
  checkU16(vcpu, 'vcpu');
  checkU64(virt, 'virt');
  const paging = pagingOf(xch, dom, vcpu);
  const address = BigInt(virt);
  if (paging === null) return Number(address >> 12n);
  return walk(xch, dom, paging, address);
}

interface Paging {
  readonly levels: number;
  /** Physical address of the first table. */
  readonly root: bigint;
}

/** Null: addresses are physical. */
function pagingOf(xch: XcInterface, dom: number, vcpu: number): Paging | null {
  if (!xc_domain_getinfo_single(xch, dom).hvm_guest) {
    const { ctrlreg, raw } = xc_vcpu_getcontext(xch, dom, vcpu);
    if (xc_domain_get_guest_width(xch, dom) === 8) return { levels: 4, root: (ctrlreg[3] as bigint) & ADDRESS };
    // the register's lower 12 bits are the frame's upper ones (xen_cr3_to_pfn)
    const cr3 = BigInt(new DataView(raw.buffer, raw.byteOffset).getUint32(PV32_CR3, true));
    return { levels: 3, root: (((cr3 >> 12n) | (cr3 << 20n)) & 0xffff_ffffn) << 12n };
  }
  const { cr0, cr3, cr4, msr_efer } = readHvmCpu(xch, dom, vcpu);
  if ((cr0 & CR0_PG) === 0n) return null;
  if ((msr_efer & EFER_LMA) !== 0n) return { levels: (cr4 & CR4_LA57) === 0n ? 4 : 5, root: cr3 & ADDRESS };
  return (cr4 & CR4_PAE) === 0n ? { levels: 2, root: cr3 & 0xffff_f000n } : { levels: 3, root: cr3 & 0xffff_ffe0n };
}

function walk(xch: XcInterface, dom: number, { levels, root }: Paging, virt: bigint): number {
  const bytes = levels === 2 ? 4 : 8;
  const bits = levels === 2 ? 10n : 9n;
  let table = root;
  for (let level = levels; level > 0; level--) {
    const shift = 12n + bits * BigInt(level - 1);
    // the four entries of a PAE root take what is left of 32 bits
    const index = (virt >> shift) & (levels === 3 && level === 3 ? 3n : (1n << bits) - 1n);
    const entry = readEntry(xch, dom, table + index * BigInt(bytes), bytes);
    if ((entry & PTE_PRESENT) === 0n) throw refusal('xc_translate_foreign_address', -errno.EADDRNOTAVAIL, dom);
    table = entry & (bytes === 4 ? 0xffff_f000n : ADDRESS);
    const large = level === 2 || (level === 3 && levels >= 4);
    if (large && (entry & PTE_PSE) !== 0n) {
      const within = (1n << shift) - 1n;
      return Number(((table & ~within) | (virt & within)) >> 12n);
    }
  }
  return Number(table >> 12n);
}

function readEntry(xch: XcInterface, dom: number, address: bigint, bytes: number): bigint {
  using page = xc_map_foreign_range(xch, dom, PAGE_SIZE, PROT_READ, address >> 12n);
  const view = new DataView(page.bytes.buffer, page.bytes.byteOffset, PAGE_SIZE);
  const offset = Number(address & 0xfffn);
  return bytes === 4 ? BigInt(view.getUint32(offset, true)) : view.getBigUint64(offset, true);
}
