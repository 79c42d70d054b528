/** One vCPU of a domain. */

import { inspect } from 'node:util';
import { XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON } from '../abi/domctl.js';
import { checkBoolean } from '../hypervisor/check.js';
import { xc_domain_getinfo_single } from '../xc/domain_info.js';
import { type HvmCpu, readHvmCpu } from '../xc/hvm_cpu.js';
import {
  type VcpuInfo,
  xc_domain_debug_control,
  xc_vcpu_getcontext,
  xc_vcpu_getinfo,
  xc_vcpu_setcontext,
} from '../xc/vcpu.js';
import { checkVcpuContext, type VcpuGuestContext } from '../xc/vcpu_context.js';
import type { Identity } from './identity.js';

type General =
  | ('rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp' | 'rip' | 'rflags')
  | ('r8' | 'r9' | 'r10' | 'r11' | 'r12' | 'r13' | 'r14' | 'r15');
type Selector = 'cs' | 'ds' | 'es' | 'fs' | 'gs' | 'ss';
type Control = 'cr0' | 'cr2' | 'cr3' | 'cr4';
type Debug = 'dr0' | 'dr1' | 'dr2' | 'dr3' | 'dr6' | 'dr7';

/** The registers that every kind of vCPU has. Segments are their selectors. */
export interface Registers extends Readonly<Record<General | Selector | Control | Debug | 'fs_base', bigint>> {
  /** The base of GS that is in use. */
  readonly gs_base: bigint;
  /** The other one, which SWAPGS brings in. */
  readonly shadow_gs: bigint;
  /** Null: a PV vCPU's, which Xen does not tell. */
  readonly efer: bigint | null;
}

/** A vCPU. Get one from {@link Domain.vcpu}. As with the domain, each call first makes sure that the domain is the same. */
export class Vcpu {
  readonly id: number;
  readonly #identity: Identity;

  /** @internal */
  constructor(identity: Identity, id: number) {
    this.#identity = identity;
    this.id = id;
  }

  /** What it is doing. */
  info(): VcpuInfo {
    this.#identity.check('xc_vcpu_getinfo');
    return xc_vcpu_getinfo(this.#identity.xch, this.#identity.domid, this.id);
  }

  /**
   * Its registers at this moment. Pause the domain where they must not change.
   *
   * @throws XenError `ENOENT`: no such vCPU, or it is down. PV: `EINVAL`, `ENODATA`: it was never started.
   */
  registers(): Registers {
    this.#identity.check('xc_domain_hvm_getcontext_partial');
    const { xch, domid } = this.#identity;
    if (!xc_domain_getinfo_single(xch, domid).hvm_guest) return ofPv(xc_vcpu_getcontext(xch, domid, this.id));
    return ofHvm(readHvmCpu(xch, domid, this.id));
  }

  /** Its registers as {@link setContext} takes them. */
  context(): VcpuGuestContext {
    this.#identity.check('xc_vcpu_getcontext');
    return xc_vcpu_getcontext(this.#identity.xch, this.#identity.domid, this.id);
  }

  /**
   * Sets its registers: for an HVM vCPU the general and debug registers. Null resets it.
   * ```ts
   * const now = vcpu.context();
   * vcpu.setContext({ ...now, user_regs: { ...now.user_regs, rax: 0n } });
   * ```
   */
  setContext(context: VcpuGuestContext | null): void {
    if (context !== null) checkVcpuContext(context);
    this.#identity.check('xc_vcpu_setcontext');
    xc_vcpu_setcontext(this.#identity.xch, this.#identity.domid, this.id, context);
  }

  /** Has it stop after each instruction, where a monitoring agent or a debugger sees it, or no longer. HVM and PVH. */
  singleStep(on: boolean): void {
    checkBoolean(on, 'on');
    this.#identity.check('xc_domain_debug_control');
    const op = on ? XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON : XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF;
    xc_domain_debug_control(this.#identity.xch, this.#identity.domid, op, this.id);
  }

  /** What `console.log` shows; asks Xen nothing. */
  [inspect.custom](): string {
    return `Vcpu ${this.id} of domain ${this.#identity.domid}`;
  }
}

function ofHvm(cpu: HvmCpu): Registers {
  const { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, rip, rflags, r8, r9, r10, r11, r12, r13, r14, r15 } = cpu;
  const { cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7, fs_base, gs_base, shadow_gs, msr_efer: efer } = cpu;
  const { cs_sel: cs, ds_sel: ds, es_sel: es, fs_sel: fs, gs_sel: gs, ss_sel: ss } = cpu;
  return {
    ...{ rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, rip, rflags, r8, r9, r10, r11, r12, r13, r14, r15 },
    ...{ cs, ds, es, fs, gs, ss, fs_base, gs_base, shadow_gs },
    ...{ cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7, efer },
  };
}

/** `VGCF_in_kernel`. */
const IN_KERNEL = 1n << 2n;

function ofPv({
  user_regs,
  ctrlreg,
  debugreg,
  fs_base,
  gs_base_user,
  gs_base_kernel,
  flags,
}: VcpuGuestContext): Registers {
  const kernel = (flags & IN_KERNEL) !== 0n;
  const [cr0 = 0n, , cr2 = 0n, cr3 = 0n, cr4 = 0n] = ctrlreg;
  const [dr0 = 0n, dr1 = 0n, dr2 = 0n, dr3 = 0n, , , dr6 = 0n, dr7 = 0n] = debugreg;
  return {
    ...user_regs,
    ...{ fs_base, gs_base: kernel ? gs_base_kernel : gs_base_user, shadow_gs: kernel ? gs_base_user : gs_base_kernel },
    ...{ cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7, efer: null },
  };
}
