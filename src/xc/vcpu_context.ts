/** The registers of a vCPU: `struct vcpu_guest_context` as an object, and back. */

import { vcpu_guest_context as layout } from '../abi/guest_context.js';

const USER_REGS = [
  ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'],
  ...['rip', 'cs', 'rflags', 'rsp', 'ss', 'es', 'ds', 'fs', 'gs'],
] as readonly UserRegister[];

type UserRegister =
  | ('rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp' | 'rip' | 'rflags')
  | ('r8' | 'r9' | 'r10' | 'r11' | 'r12' | 'r13' | 'r14' | 'r15')
  | ('cs' | 'ss' | 'ds' | 'es' | 'fs' | 'gs');

const SINGLE = [
  ...(['flags', 'ldt_base', 'ldt_ents', 'gdt_ents', 'kernel_ss', 'kernel_sp', 'event_callback_eip'] as const),
  ...(['failsafe_callback_eip', 'syscall_callback_eip', 'vm_assist'] as const),
  ...(['fs_base', 'gs_base_kernel', 'gs_base_user'] as const),
] as const;

const LISTS = { gdt_frames: 16, ctrlreg: 8, debugreg: 8 } as const;

/** General registers, and the selectors of the segments. All are `bigint`. */
export type UserRegisters = Readonly<Record<UserRegister, bigint>>;

/**
 * The registers of a 64-bit vCPU: libxc's `vcpu_guest_context`. For an HVM domain Xen fills `flags`, `user_regs`, CR0,
 * CR2, CR3 and CR4 of `ctrlreg`, `debugreg`, the bases of FS and GS and `fpu`; the rest is zero.
 */
export interface VcpuGuestContext extends Readonly<Record<(typeof SINGLE)[number], bigint>> {
  readonly user_regs: UserRegisters;
  /** PV: machine frames of the GDT. */
  readonly gdt_frames: readonly bigint[];
  /** CR0 to CR7. For a PV domain 1 is the page table of user mode, and 1 and 3 hold machine frames. */
  readonly ctrlreg: readonly bigint[];
  /** DR0 to DR7. */
  readonly debugreg: readonly bigint[];
  /** The whole structure, 5,168 bytes: what has no name here, as the FPU's registers (the first 512), is in it. */
  readonly raw: Uint8Array;
}

/** Makes the object of a structure; its `raw` is a copy. */
export function decodeVcpuContext(bytes: Uint8Array): VcpuGuestContext {
  const raw = bytes.slice();
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const u64 = (offset: number): bigint => view.getBigUint64(offset, true);
  const list = (name: keyof typeof LISTS): bigint[] =>
    Array.from({ length: LISTS[name] }, (_, i) => u64(layout.at[name] + i * 8));
  const one = Object.fromEntries(SINGLE.map((name) => [name, u64(layout.at[name])]));
  const user = Object.fromEntries(
    USER_REGS.map((name) => {
      const [offset, size] = layout.fields[`user_regs.${name}`];
      return [name, size === 2 ? BigInt(view.getUint16(offset, true)) : u64(offset)];
    }),
  );
  return {
    ...(one as Record<(typeof SINGLE)[number], bigint>),
    user_regs: user as UserRegisters,
    gdt_frames: list('gdt_frames'),
    ctrlreg: list('ctrlreg'),
    debugreg: list('debugreg'),
    raw,
  };
}

/** Refuses what cannot be encoded. */
export function checkVcpuContext(context: VcpuGuestContext): void {
  if (typeof context !== 'object' || context === null) throw new TypeError('ctxt must be a VcpuGuestContext or null');
  if (!(context.raw instanceof Uint8Array) || context.raw.length !== layout.size) {
    throw new TypeError(
      `ctxt.raw must be a Uint8Array of ${layout.size} bytes: begin with what xc_vcpu_getcontext gave`,
    );
  }
  if (typeof context.user_regs !== 'object' || context.user_regs === null) {
    throw new TypeError('ctxt.user_regs must be an object');
  }
  for (const name of SINGLE) checkRegister(context[name], 64, name);
  for (const name of USER_REGS) {
    checkRegister(context.user_regs[name], layout.fields[`user_regs.${name}`][1] * 8, `user_regs.${name}`);
  }
  for (const name of Object.keys(LISTS) as (keyof typeof LISTS)[]) {
    const values = context[name];
    if (!Array.isArray(values) || values.length !== LISTS[name]) {
      throw new TypeError(`ctxt.${name} must be an array of ${LISTS[name]} bigints`);
    }
    for (let i = 0; i < values.length; i++) checkRegister(values[i], 64, `${name}[${i}]`);
  }
}

function checkRegister(value: unknown, bits: number, name: string): void {
  if (typeof value !== 'bigint') throw new TypeError(`ctxt.${name} must be a bigint, not ${typeof value}`);
  if (value < 0n || value >= 1n << BigInt(bits)) throw new RangeError(`ctxt.${name} must have at most ${bits} bits`);
}

/** Writes the structure of a checked object: `raw`, and over it what has a name. */
export function encodeVcpuContext(context: VcpuGuestContext, bytes: Uint8Array): void {
  bytes.set(context.raw);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const name of SINGLE) view.setBigUint64(layout.at[name], context[name], true);
  for (const name of USER_REGS) {
    const [offset, size] = layout.fields[`user_regs.${name}`];
    if (size === 2) view.setUint16(offset, Number(context.user_regs[name]), true);
    else view.setBigUint64(offset, context.user_regs[name], true);
  }
  for (const name of Object.keys(LISTS) as (keyof typeof LISTS)[]) {
    context[name].forEach((value, i) => {
      view.setBigUint64(layout.at[name] + i * 8, value, true);
    });
  }
}
