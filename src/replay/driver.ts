/**
 * The guest of the recordings: a program without an operating system that waits in a loop for a command in a page that
 * dom0 maps, does it, and waits again. What matters here is which frames it touches, and when: those accesses fill views,
 * raise #VE in views that are still empty, and so decide later answers.
 */

import { HVMOP_guest_request_vm_event } from '../abi/hvm/hvm_op.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import type { ControlRegister } from '../model/guest/control.js';
import { type GuestResult, type Vcpu, VcpuNotRunningError } from '../model/index.js';
import { RecordingError } from './error.js';

/** The program and its descriptor table, the interrupt table, the stack (it grows down to here), the mailbox. */
const CODE = 0x1_0000;
const IDT = 0x1_4000;
const STACK = 0x2_effc;
const MAILBOX = 0x3_0000;
/** Offsets in the mailbox: command and its acknowledgement, arguments, results, the exception, the loop's counter. */
const MAILBOX_COMMAND = MAILBOX;
const MAILBOX_RESULTS = MAILBOX + 0x40;
const MAILBOX_EXCEPTION = MAILBOX + 0x60;
const MAILBOX_LOOPS = MAILBOX + 0x78;
const PAGE_SIZE = 4096;

const VECTOR_UD = 6;
/** An exception in the handler of an exception in the handler ...: the guest never comes back. */
const MOST_NESTED = 4;
/** A called function that runs on and on is none of the recordings'. */
const MOST_INSTRUCTIONS = 1000;

/** What dom0 has the guest do. Numbers are 32 bits wide, addresses physical: paging is off. */
export type Command =
  | { readonly kind: 'read'; readonly gpa: number }
  | { readonly kind: 'write'; readonly gpa: number; readonly value: number }
  | { readonly kind: 'call'; readonly gpa: number }
  | { readonly kind: 'vmfunc'; readonly leaf: number; readonly index: number }
  | { readonly kind: 'vmfunc_read'; readonly leaf: number; readonly index: number; readonly gpa: number }
  | { readonly kind: 'vmcall'; readonly op: number; readonly args: readonly number[] }
  | { readonly kind: 'ud2' }
  /** HVMOP_guest_request_vm_event, by the instruction that the processor has for hypercalls. */
  | { readonly kind: 'request' }
  | { readonly kind: 'cpuid'; readonly leaf: number }
  | { readonly kind: 'write_cr'; readonly index: ControlRegister; readonly value: number }
  | { readonly kind: 'read_cr'; readonly index: ControlRegister }
  | { readonly kind: 'wrmsr'; readonly msr: number; readonly value: number }
  | { readonly kind: 'rdmsr'; readonly msr: number }
  | { readonly kind: 'int3' }
  /** Sets the trap flag: a debug exception after the next instruction. */
  | { readonly kind: 'trap' }
  /** Stores GDTR, and loads it with what it holds. */
  | { readonly kind: 'sgdt' }
  | { readonly kind: 'lgdt' }
  /** Nothing: when it is over, the guest has been through its loop in the view that it is in. */
  | { readonly kind: 'nop' };

type SystemCommand = Exclude<
  Command,
  { readonly kind: 'read' | 'write' | 'call' | 'vmfunc' | 'vmfunc_read' | 'vmcall' | 'request' | 'ud2' | 'nop' }
>;

export interface CommandResult {
  /** False: the guest did not come back. The rest says nothing then. */
  readonly finished: boolean;
  readonly exception: number | null;
  /** What the command left in its result register. */
  readonly value: number;
}

class Fault extends Error {
  readonly vector: number;

  constructor(vector: number) {
    super(`exception ${vector}`);
    this.vector = vector;
  }
}

/** The vCPU does not get on. */
class Stopped extends Error {}

const NOT_FINISHED: CommandResult = { finished: false, exception: null, value: 0 };

export class GuestDriver {
  readonly #vcpu: Vcpu;
  readonly #poll: () => boolean;
  #booted = false;
  /** It tries an instruction again and again, which nobody holds up and nobody helps to its end. */
  #stuck = false;
  /** eax, when the command ends by an exception. */
  #eaxThen = 0;

  /** @param poll gives an agent its turn while the vCPU waits for it; false: it had nothing to do */
  constructor(vcpu: Vcpu, poll: () => boolean = () => false) {
    this.#vcpu = vcpu;
    this.#poll = poll;
  }

  /** Waits as the guest does, takes a command, does it and acknowledges it. */
  run(command: Command): CommandResult {
    return this.#unlessStopped(() => {
      this.#wait();
      let exception: number | null = null;
      let value = 0;
      // a command that does not get done leaves the register as it was loaded
      this.#eaxThen = command.kind === 'vmcall' ? command.op : 0;
      try {
        this.#takeCommand();
        value = this.#do(command);
      } catch (error) {
        value = this.#eaxThen;
        exception = this.#handle(error);
      }
      this.#guarded(() => this.#acknowledge());
      return { finished: true, exception, value };
    });
  }

  /** Starts, or goes on waiting: what the guest does as soon as it gets processor time. */
  wake(): void {
    this.#unlessStopped(() => {
      this.#wait();
      return NOT_FINISHED;
    });
  }

  /** Halts for good, with interrupts off. Nothing happens when the guest does not run. */
  die(): void {
    this.#unlessStopped(() => {
      this.#wait();
      this.#guarded(() => this.#takeCommand());
      this.#ready();
      this.#vcpu.halt();
      return NOT_FINISHED;
    });
  }

  #unlessStopped(body: () => CommandResult): CommandResult {
    try {
      if (this.#stuck) this.#tryAgain();
      return body();
    } catch (error) {
      if (error instanceof Stopped || error instanceof VcpuNotRunningError) return NOT_FINISHED;
      throw error;
    }
  }

  /** The command before this one comes to its end first, if it does at all. */
  #tryAgain(): void {
    this.#ready();
    const result = this.#vcpu.retry();
    if (result && !result.finished) throw new Stopped();
    this.#stuck = false;
    this.#guarded(() => {
      if (result && result.exception !== null) throw new Fault(result.exception);
    });
    this.#guarded(() => this.#acknowledge());
  }

  /** One round of the waiting loop; before the first, what the program does when it starts. */
  #wait(): void {
    this.#guarded(() => {
      this.#fetch();
      if (!this.#booted) {
        this.#store(IDT);
        this.#booted = true;
      }
      this.#store(MAILBOX_LOOPS);
      this.#load(MAILBOX_COMMAND);
    });
  }

  #takeCommand(): void {
    this.#fetch();
    this.#store(MAILBOX_EXCEPTION);
    this.#load(MAILBOX_COMMAND);
  }

  #acknowledge(): void {
    this.#fetch();
    this.#store(MAILBOX_RESULTS);
    this.#load(MAILBOX_COMMAND);
    this.#store(MAILBOX_COMMAND + 4);
  }

  #do(command: Command): number {
    const vcpu = this.#vcpu;
    switch (command.kind) {
      case 'read':
        return this.#load(command.gpa);
      case 'write':
        this.#store(command.gpa, command.value);
        return 0;
      case 'call':
        return this.#call(command.gpa);
      case 'vmfunc':
        this.#done(() => vcpu.vmfunc(command.leaf, command.index));
        this.#fetch();
        return 0;
      case 'vmfunc_read': {
        this.#done(() => vcpu.vmfunc(command.leaf, command.index));
        this.#fetch();
        const value = this.#load(command.gpa);
        this.#done(() => vcpu.vmfunc(0, 0));
        return value;
      }
      case 'vmcall':
        // the instruction is Intel's; AMD's processors have another and raise #UD on this one
        if (vcpu.domain.host.cpu.vendor !== 'intel') throw new Fault(VECTOR_UD);
        return this.#hypercall(command.op, ...command.args);
      case 'request':
        return this.#hypercall(__HYPERVISOR_hvm_op, HVMOP_guest_request_vm_event, 0);
      case 'nop':
        return 0;
      case 'ud2':
        this.#done(() => vcpu.undefinedInstruction());
        return 0;
      default:
        return this.#doSystem(command);
    }
  }

  #doSystem(command: SystemCommand): number {
    const vcpu = this.#vcpu;
    switch (command.kind) {
      case 'cpuid':
        this.#done(() => vcpu.cpuid(command.leaf));
        return this.#eax();
      case 'write_cr':
        this.#done(() => vcpu.writeCr(command.index, BigInt(command.value)));
        return 0;
      case 'read_cr':
        return Number(vcpu.registers.get(`cr${command.index}`) & 0xffff_ffffn);
      case 'wrmsr':
        this.#done(() => vcpu.wrmsr(command.msr, BigInt(command.value)));
        return 0;
      case 'rdmsr':
        this.#done(() => vcpu.rdmsr(command.msr));
        return this.#eax();
      case 'int3':
        this.#done(() => vcpu.int3());
        return 0;
      case 'trap':
        this.#done(() => vcpu.debugException());
        return 0;
      case 'sgdt':
        this.#done(() => vcpu.storeDescriptor('gdtr'));
        return 0;
      case 'lgdt': {
        const { registers } = vcpu;
        const table = { base: registers.get('gdtr_base'), limit: Number(registers.get('gdtr_limit')) };
        this.#done(() => vcpu.loadDescriptor('gdtr', table));
        return 0;
      }
    }
  }

  #hypercall(op: number, ...args: readonly number[]): number {
    this.#ready();
    this.#eaxThen = this.#vcpu.hypercall(op, ...args);
    // it may have put the vCPU into a view that holds nothing yet
    this.#fetch();
    return this.#eaxThen;
  }

  #eax(): number {
    return Number(this.#vcpu.registers.get('rax') & 0xffff_ffffn);
  }

  /** Calls a function of the guest: `mov eax, imm32`, `nop` and `ret` are what it may hold. */
  #call(gpa: number): number {
    this.#store(STACK);
    let eax = 0;
    let at = gpa;
    for (let count = 0; count < MOST_INSTRUCTIONS; count++) {
      const length = Math.min(5, PAGE_SIZE - (at % PAGE_SIZE));
      const code = this.#done(() => this.#vcpu.execute(at, length));
      const [opcode = 0] = code.bytes;
      if (opcode === 0xc3) {
        this.#load(STACK);
        return eax;
      }
      if (opcode === 0xb8 && code.bytes.length === 5) {
        eax = new DataView(code.bytes.buffer).getUint32(1, true);
        at += 5;
      } else if (opcode === 0x90) {
        at += 1;
      } else {
        throw new RecordingError(
          `the guest's code at 0x${at.toString(16)} (opcode 0x${opcode.toString(16)}) is not known`,
        );
      }
    }
    throw new Stopped();
  }

  /** Fetches from the program. */
  #fetch(): void {
    this.#done(() => this.#vcpu.execute(CODE));
  }

  #load(gpa: number): number {
    const { bytes } = this.#done(() => this.#vcpu.read(gpa, 4));
    // an agent that has the vCPU go on behind the instruction says itself what eax holds
    return bytes.length === 0 ? this.#eax() : new DataView(bytes.buffer).getUint32(0, true);
  }

  #store(gpa: number, value = 0): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.#done(() => this.#vcpu.write(gpa, bytes));
  }

  /** One instruction, to its end. */
  #done(issue: () => GuestResult): GuestResult {
    this.#ready();
    let result = issue();
    while (!result.finished && this.#poll()) result = this.#vcpu.retry() ?? result;
    if (!result.finished) {
      this.#stuck = this.#vcpu.canRun;
      throw new Stopped();
    }
    if (result.exception !== null) throw new Fault(result.exception);
    return result;
  }

  /** An event that is not answered keeps the vCPU from its next instruction. */
  #ready(): void {
    while (!this.#vcpu.canRun && this.#poll());
  }

  /** Does something that nobody asked the outcome of: exceptions are handled and forgotten, as the guest's loop does. */
  #guarded(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#handle(error);
    }
  }

  /** The processor delivers an exception, and the guest's handler notes it. */
  #handle(error: unknown, nested = 0): number {
    if (!(error instanceof Fault)) throw error;
    if (nested >= MOST_NESTED) throw new Stopped();
    try {
      this.#load(IDT + error.vector * 8);
      this.#load(CODE); // the descriptor of the handler's segment
      this.#store(STACK);
      this.#fetch();
      this.#store(MAILBOX_EXCEPTION);
      this.#load(STACK);
    } catch (another) {
      this.#handle(another, nested + 1);
    }
    return error.vector;
  }
}
