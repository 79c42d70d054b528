/** Random calls on a domain, for sessions that are recorded. */

import fc from 'fast-check';
import { HVM_PARAM_ALTP2M, HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import { XENMEM_access } from '#dist/abi/memory.js';
import { INVALID_GFN } from '#dist/abi/xen.js';
import * as altp2m from '#dist/xc/altp2m.js';
import * as multi from '#dist/xc/altp2m_multi.js';
import * as domain from '#dist/xc/domain.js';
import * as info from '#dist/xc/domain_info.js';
import * as context from '#dist/xc/hvm_context.js';
import * as params from '#dist/xc/hvm_param.js';
import type { XcInterface } from '#dist/xc/interface.js';
import * as memory from '#dist/xc/memory.js';
import { xc_physinfo } from '#dist/xc/sysctl.js';
import * as version from '#dist/xc/version.js';

export type Call = (xch: XcInterface, domid: number) => unknown;

const view = fc.constantFrom(0, 1, 1, 2, 2, 3, 9, 10, 65535);
const gfn = fc.constantFrom<number | bigint>(
  0,
  1,
  0x40,
  0x41,
  0x1ff,
  0x200,
  0x3ff,
  0x400,
  2 ** 40,
  INVALID_GFN,
  2n ** 60n,
);
const frame = fc.constantFrom(0, 0x40, 0x3ff, 0x400, 0x401, 0x1000);
const flag = fc.boolean();
const access = fc.nat(12);
const vcpu = fc.constantFrom(0, 1, 2, 0xffff_ffff);

/** Each may be refused, and none is a misuse. */
export const calls: fc.Arbitrary<Call> = fc.oneof(
  flag.map(
    (on): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_domain_state(x, d, on),
  ),
  fc.constant<Call>((x, d) => altp2m.xc_altp2m_set_domain_state(x, d, true)),
  fc.constant<Call>((x, d) => altp2m.xc_altp2m_get_domain_state(x, d)),
  access.map(
    (a): Call =>
      (x, d) =>
        altp2m.xc_altp2m_create_view(x, d, a),
  ),
  fc.constant<Call>((x, d) => altp2m.xc_altp2m_create_view(x, d, XENMEM_access.default)),
  view.map(
    (v): Call =>
      (x, d) =>
        altp2m.xc_altp2m_destroy_view(x, d, v),
  ),
  view.map(
    (v): Call =>
      (x, d) =>
        altp2m.xc_altp2m_switch_to_view(x, d, v),
  ),
  fc.tuple(view, flag).map(
    ([v, on]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_visibility(x, d, v, on),
  ),
  vcpu.map(
    (c): Call =>
      (x, d) =>
        altp2m.xc_altp2m_get_vcpu_p2m_idx(x, d, c),
  ),
  fc.tuple(view, gfn, access).map(
    ([v, g, a]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_mem_access(x, d, v, g, a),
  ),
  fc.tuple(view, gfn).map(
    ([v, g]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_get_mem_access(x, d, v, g),
  ),
  fc.tuple(view, gfn, gfn).map(
    ([v, g, h]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_change_gfn(x, d, v, g, h),
  ),
  fc.tuple(view, gfn, flag).map(
    ([v, g, on]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_suppress_ve(x, d, v, g, on),
  ),
  fc.tuple(view, gfn).map(
    ([v, g]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_get_suppress_ve(x, d, v, g),
  ),
  fc.tuple(view, frame, frame, flag).map(
    ([v, g, h, on]): Call =>
      (x, d) =>
        multi.xc_altp2m_set_supress_ve_multi(x, d, v, g, h, on),
  ),
  fc.tuple(view, fc.array(fc.tuple(gfn, access), { maxLength: 9 })).map(
    ([v, list]): Call =>
      (x, d) =>
        multi.xc_altp2m_set_mem_access_multi(
          x,
          d,
          v,
          list.map(([, a]) => a),
          list.map(([g]) => g),
        ),
  ),
  fc.tuple(vcpu, gfn).map(
    ([c, g]): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_vcpu_enable_notify(x, d, c, g),
  ),
  vcpu.map(
    (c): Call =>
      (x, d) =>
        altp2m.xc_altp2m_set_vcpu_disable_notify(x, d, c),
  ),
  fc.nat(38).map(
    (p): Call =>
      (x, d) =>
        params.xc_hvm_param_get(x, d, p),
  ),
  fc.tuple(fc.constantFrom(HVM_PARAM_ALTP2M, HVM_PARAM_MONITOR_RING_PFN, 1, 99), fc.nat(5)).map(
    ([p, v]): Call =>
      (x, d) =>
        params.xc_hvm_param_set(x, d, p, v),
  ),
  fc.constant<Call>(domain.xc_domain_pause),
  fc.constant<Call>(domain.xc_domain_unpause),
  fc.nat(5).map(
    (reason): Call =>
      (x, d) =>
        domain.xc_domain_shutdown(x, d, reason),
  ),
  fc.constant<Call>(info.xc_domain_getinfo_single),
  fc.constant<Call>((x) => info.xc_domain_getinfolist(x, 0, 10)),
  fc.constant<Call>((x) => xc_physinfo(x)),
  fc.constantFrom(0, 1, 3, 6, 7, 9, 10, 12).map(
    (c): Call =>
      (x) =>
        version.xc_version(x, c as 0),
  ),
  flag.map(
    (on): Call =>
      (x, d) =>
        domain.xc_domain_set_access_required(x, d, on),
  ),
  fc.constant<Call>(memory.xc_domain_maximum_gpfn),
  fc.constant<Call>(memory.xc_get_paging_mempool_size),
  fc.nat(3).map(
    (n): Call =>
      (x, d) =>
        memory.xc_set_paging_mempool_size(x, d, n * 2048),
  ),
  fc.nat(5000).map(
    (n): Call =>
      (x, d) =>
        memory.xc_domain_setmaxmem(x, d, n),
  ),
  fc.array(frame, { maxLength: 4 }).map(
    (list): Call =>
      (x, d) =>
        memory.xc_domain_populate_physmap(x, d, 0, 0, list),
  ),
  fc.array(frame, { maxLength: 4 }).map(
    (list): Call =>
      (x, d) =>
        memory.xc_domain_decrease_reservation(x, d, 0, list),
  ),
  fc.nat(3).map(
    (n): Call =>
      (x, d) =>
        memory.xc_domain_increase_reservation(x, d, n, 0, 0),
  ),
  fc.constant<Call>((x, d) => context.xc_domain_hvm_setcontext(x, d, context.xc_domain_hvm_getcontext(x, d))),
  fc.constant<Call>((x) => x.hypervisor.hypercall(34, 25, 16)),
  fc.tuple(fc.nat(17), fc.nat(2), fc.uint8Array({ minLength: 64, maxLength: 64 })).map(
    ([cmd, pad, union]): Call =>
      (x, d) =>
        sendRaw(x, d, cmd, pad, union),
  ),
);

/** An operation whose bytes libxc might not send. The one that points to lists is left out: nobody made its lists. */
function sendRaw(xch: XcInterface, domid: number, cmd: number, pad: number, union: Uint8Array): void {
  if (cmd === 9) return;
  const { arena } = xch.hypervisor;
  using operand = arena.alloc(80);
  arena.view.setUint32(operand.offset, 1, true);
  arena.view.setUint32(operand.offset + 4, cmd, true);
  arena.view.setUint32(operand.offset + 8, domid + pad * 65536, true);
  // most bytes zero, or nothing would get through
  operand.bytes.set(
    union.map((byte, i) => (i % 7 === pad ? byte & 3 : 0)),
    16,
  );
  xch.hypervisor.hypercall(34, 25, operand.address);
}
