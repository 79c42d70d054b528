/** Does what a story tells of, and checks each step against what the story says will happen. */

import { errnoName } from '../../abi/errno.js';
import { HVMOP_ALTP2M_INTERFACE_VERSION, HVMOP_altp2m, xen_hvm_altp2m_op } from '../../abi/hvm/hvm_op.js';
import { __HYPERVISOR_hvm_op, DOMID_SELF } from '../../abi/xen.js';
import { XenError } from '../../hypervisor/error.js';
import type { Guest } from '../../model/guest.js';
import type { Vcpu } from '../../model/vcpu.js';
import type { XcInterface } from '../../xc/interface.js';

/** One thing that was done. */
export interface Step {
  readonly act: string;
  readonly who: 'dom0' | 'guest';
  /** What was done, as code. */
  readonly call: string;
  readonly wanted: string;
  readonly got: string;
  readonly ok: boolean;
  /** What it shows. */
  readonly why: string;
}

type DomainCall<A extends readonly unknown[]> = (xch: XcInterface, domid: number, ...args: A) => unknown;

/** Where a guest keeps the structure of its hypercalls. */
const GUEST_OPERAND = 0x60_000;

export class Teller {
  readonly steps: Step[] = [];
  readonly #xch: XcInterface;
  readonly #guest: Guest;
  readonly #act: string;

  constructor(xch: XcInterface, guest: Guest, act: string) {
    this.#xch = xch;
    this.#guest = guest;
    this.#act = act;
  }

  /** A call of libxc on the guest. `wanted`: `'ok'`, an error's code, or what it returns. */
  dom0<A extends readonly unknown[]>(wanted: string, why: string, call: DomainCall<A>, ...args: A): void {
    const { domid } = this.#guest;
    const text = `${call.name}(${[domid, ...args].map((arg, i) => argument(call.name, arg, i)).join(', ')})`;
    this.#tell('dom0', text, wanted, why, () => {
      const result = call(this.#xch, domid, ...args);
      return result === undefined ? 'ok' : shown(result);
    });
  }

  /** dom0 writes a word into the guest's memory. */
  dom0Writes(gfn: number, word: string, why: string, map: (gfn: number) => { bytes: Uint8Array } & Disposable): void {
    this.#tell('dom0', `writes "${word}" to frame ${hex(gfn)}`, 'ok', why, () => {
      using page = map(gfn);
      page.bytes.set(new TextEncoder().encode(word));
      return 'ok';
    });
  }

  /** The VMFUNC instruction. `wanted`: `'#UD'`, or `'in view N'`. */
  vmfunc(view: number, wanted: string, why: string): void {
    this.#tell('guest', `vmfunc  eax=0, ecx=${view}`, wanted, why, () => {
      const { exception } = this.#vcpu.vmfunc(0, view);
      return exception === null ? `in view ${this.#vcpu.altp2mIndex}` : vector(exception);
    });
  }

  /** A load of a word. */
  reads(gfn: number, wanted: string, why: string): void {
    this.#tell('guest', `reads frame ${hex(gfn)}`, `"${wanted}"`, why, () => {
      const { exception, finished, bytes } = this.#vcpu.read(gfn * 4096, wanted.length);
      if (exception !== null) return vector(exception);
      return finished ? `"${new TextDecoder().decode(bytes)}"` : 'stopped';
    });
  }

  /** The guest's own altp2m call on itself, with the bytes of the structure's union. */
  hypercall(name: string, cmd: number, union: readonly number[], wanted: string, why: string): void {
    this.#tell('guest', `vmcall  ${name}`, wanted, why, () => {
      const { at, size } = xen_hvm_altp2m_op;
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer);
      view.setUint32(at.version, HVMOP_ALTP2M_INTERFACE_VERSION, true);
      view.setUint32(at.cmd, cmd, true);
      view.setUint16(at.domain, DOMID_SELF, true);
      bytes.set(union, at.u);
      const { exception } = this.#vcpu.write(GUEST_OPERAND, bytes);
      if (exception !== null) return vector(exception);
      const rc = this.#vcpu.hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, GUEST_OPERAND);
      return rc < 0 ? errnoName(rc) : 'ok';
    });
  }

  get #vcpu(): Vcpu {
    return this.#guest.vcpus[0];
  }

  #tell(who: Step['who'], call: string, wanted: string, why: string, action: () => string): void {
    const got = answer(action);
    this.steps.push({ act: this.#act, who, call, wanted, got, ok: got === wanted, why });
  }
}

function answer(action: () => string): string {
  try {
    return action();
  } catch (error) {
    return error instanceof XenError ? error.code : `threw ${String(error)}`;
  }
}

function vector(exception: number): string {
  return { 6: '#UD', 20: '#VE' }[exception] ?? `exception ${exception}`;
}

/** Arguments that are access types: all those of the story are rwx. */
const ACCESS_ARGUMENTS: Readonly<Record<string, number>> = {
  xc_altp2m_create_view: 1,
  xc_altp2m_set_mem_access_multi: 2,
};

/** An argument as code; of a list, the first. */
function argument(call: string, value: unknown, index: number): string {
  const one = (item: unknown): string => (ACCESS_ARGUMENTS[call] === index && item === 7 ? 'rwx' : shown(item));
  return Array.isArray(value) ? `[${one(value[0])}…]` : one(value);
}

function shown(value: unknown): string {
  return typeof value === 'number' && value >= 16 ? hex(value) : String(value);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
