/** VMFUNC, HLT, descriptor tables and I/O ports: instructions that leave the guest, or switch its view. */

import { errno } from '../../abi/errno.js';
import { HVMOP_guest_request_vm_event } from '../../abi/hvm/hvm_op.js';
import { VM_EVENT_DESC_GDTR, VM_EVENT_DESC_IDTR, VM_EVENT_DESC_LDTR, VM_EVENT_DESC_TR } from '../../abi/vm_event.js';
import { __HYPERVISOR_hvm_op } from '../../abi/xen.js';
import type { Vcpu } from '../vcpu.js';
import {
  EXIT_REASON_ACCESS_GDTR_OR_IDTR,
  EXIT_REASON_ACCESS_LDTR_OR_TR,
  EXIT_REASON_HLT,
  EXIT_REASON_IO_INSTRUCTION,
  EXIT_REASON_VMCALL,
  monitorDescriptorAccess,
  monitorIo,
  monitorVmexit,
} from '../vm_event/traps.js';
import { type Attempt, DONE, GuestResult, type Instruction, raised, VECTOR_UD } from './instruction.js';

/** The VMFUNC leaf that switches the EPT pointer, and the length of the list that it looks in. */
const VMFUNC_EPTP_SWITCHING = 0;
const EPTP_LIST_ENTRIES = 512;
const DESCRIPTOR_LENGTH = 3;
const IO_LENGTH = 1;
const HLT_LENGTH = 1;
const VMCALL_LENGTH = 3;

/** A descriptor-table register. */
export type DescriptorRegister = 'idtr' | 'gdtr' | 'ldtr' | 'tr';

const DESCRIPTORS: Readonly<Record<DescriptorRegister, number>> = {
  idtr: VM_EVENT_DESC_IDTR,
  gdtr: VM_EVENT_DESC_GDTR,
  ldtr: VM_EVENT_DESC_LDTR,
  tr: VM_EVENT_DESC_TR,
};

/** A value for a descriptor-table register: its base and limit. */
export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}

export function vmfunc(leaf: number, index: number): Instruction {
  return {
    attempt(vcpu): Attempt {
      const { altp2m } = vcpu.domain;
      const switched =
        vcpu.vmfuncEnabled &&
        altp2m.active &&
        leaf === VMFUNC_EPTP_SWITCHING &&
        index < EPTP_LIST_ENTRIES &&
        altp2m.vmfunc(vcpu, index);
      return switched ? DONE : raised(VECTOR_UD);
    },
  };
}

/** VMCALL. Only once: what Xen did is not undone when the agent is told of it. */
export function vmcall(op: number, args: readonly number[]): Instruction {
  return {
    attempt(vcpu): Attempt {
      if (monitorVmexit(vcpu, EXIT_REASON_VMCALL, 0)) return 'again';
      const rc = mayCall(vcpu, op, args) ? vcpu.domain.host.guestHypercall(vcpu, op, args) : -errno.EPERM;
      vcpu.registers.skip(VMCALL_LENGTH);
      vcpu.registers.set('rax', BigInt.asUintN(64, BigInt(rc)));
      return new GuestResult(null, true, undefined, 0, rc);
    },
  };
}

/** Programs may not, but for the request to the agent, when it asked for that (`hvm_hypercall`). */
function mayCall({ registers, domain }: Vcpu, op: number, args: readonly number[]): boolean {
  if (registers.cpl !== 3) return true;
  const isRequest = op === __HYPERVISOR_hvm_op && args[0] === HVMOP_guest_request_vm_event;
  return isRequest && domain.monitor.guestRequest?.allowUserspace === true;
}

/** HLT with interrupts off: the vCPU goes down for good. */
export const hlt: Instruction = {
  attempt(vcpu): Attempt {
    if (monitorVmexit(vcpu, EXIT_REASON_HLT, 0)) return 'again';
    vcpu.registers.skip(HLT_LENGTH);
    vcpu.online = false;
    vcpu.domain.vcpuDown();
    return DONE;
  },
};

/** One that does nothing: it takes what was injected, and gives others their turn. */
export const nop: Instruction = { attempt: () => DONE };

/** SGDT, SIDT, SLDT or STR: what the register holds. bytes: base (8), limit (4). */
export function storeDescriptor(register: DescriptorRegister): Instruction {
  const carryOut = (vcpu: Vcpu): GuestResult => {
    const { registers } = vcpu;
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, registers.get(`${register}_base`), true);
    view.setUint32(8, Number(registers.get(`${register}_limit`)), true);
    registers.skip(DESCRIPTOR_LENGTH);
    return new GuestResult(null, true, bytes);
  };
  return descriptorAccess(register, false, carryOut);
}

/** LGDT, LIDT, LLDT or LTR. */
export function loadDescriptor(register: DescriptorRegister, { base, limit }: DescriptorTable): Instruction {
  return descriptorAccess(register, true, ({ registers }) => {
    registers.set(`${register}_base`, base);
    registers.set(`${register}_limit`, BigInt(limit));
    registers.skip(DESCRIPTOR_LENGTH);
    return DONE;
  });
}

/**
 * While they are watched, such instructions are carried out only by the emulator, when an answer asks for it: where no agent
 * is there to answer, the guest tries again for ever (seen on 4.17; `hvm_descriptor_access_intercept`).
 */
function descriptorAccess(
  register: DescriptorRegister,
  write: boolean,
  carryOut: (vcpu: Vcpu) => GuestResult,
): Instruction {
  const table = register === 'idtr' || register === 'gdtr';
  return {
    attempt(vcpu): Attempt {
      if (!vcpu.domain.monitor.descAccess) return carryOut(vcpu);
      const reason = table ? EXIT_REASON_ACCESS_GDTR_OR_IDTR : EXIT_REASON_ACCESS_LDTR_OR_TR;
      if (!monitorVmexit(vcpu, reason, 0)) monitorDescriptorAccess(vcpu, DESCRIPTORS[register], write, 0);
      return 'again';
    },
    emulate: carryOut,
  };
}

/** IN: nobody drives the ports of the model's machine, and reads give ones. */
export function portIn(port: number, length: number): Instruction {
  return portAccess(port, length, true, new GuestResult(null, true, new Uint8Array(length).fill(0xff)));
}

/** OUT: the value goes nowhere. */
export function portOut(port: number, length: number): Instruction {
  return portAccess(port, length, false, DONE);
}

function portAccess(port: number, length: number, isIn: boolean, done: GuestResult): Instruction {
  if (![1, 2, 4].includes(length)) throw new RangeError(`a port access moves 1, 2 or 4 bytes, not ${length}`);
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new RangeError(`there is no port ${port}`);
  return {
    attempt(vcpu): Attempt {
      const qualification = (length - 1) | (isIn ? 8 : 0) | (port << 16);
      if (monitorVmexit(vcpu, EXIT_REASON_IO_INSTRUCTION, qualification >>> 0)) return 'again';
      if (monitorIo(vcpu, port, length, isIn, false)) return 'again';
      vcpu.registers.skip(IO_LENGTH);
      return done;
    },
  };
}
