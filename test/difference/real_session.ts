/** Takes the steps of recordings on a real Xen: the guest is the conformance tests' program. */

import { readFileSync } from 'node:fs';
import * as xc from '#dist/index.js';
import type { Command, CommandResult } from '#dist/replay/driver.js';
import { type GuestProgram, Session } from '#dist/replay/session.js';
import { Mailbox, OP } from '../conformance/mailbox.js';

export class RealSession extends Session {
  readonly xch: xc.XcInterface;
  readonly #made = new Set<number>();
  readonly #programs = new Map<number, Mailbox>();

  constructor(xch: xc.XcInterface) {
    super();
    this.xch = xch;
  }

  enter(domid: number): void {
    this.#made.add(domid);
    this.current = domid;
  }

  load(domid: number): void {
    this.#programs.set(domid, new Mailbox(this.xch, domid, () => this.agent(domid).poll()));
  }

  driver(domid: number, vcpu: number): GuestProgram | null {
    const program = this.#programs.get(domid);
    return program && vcpu === 0 ? { run: (command) => run(program, command) } : null;
  }

  wake(domid: number): void {
    this.#programs.get(domid)?.started();
  }

  halt(domid: number): void {
    const program = this.#programs.get(domid);
    program?.post(OP.halt);
    program?.down();
  }

  override letGo(domid: number): void {
    super.letGo(domid);
    this.#programs.get(domid)?.[Symbol.dispose]();
    this.#programs.delete(domid);
  }

  /** Nothing that a recording made outlives it. */
  protected close(): void {
    for (const program of this.#programs.values()) program[Symbol.dispose]();
    for (const domid of this.#made) {
      try {
        xc.xc_domain_destroy(this.xch, domid);
      } catch (error) {
        // the recording destroyed it already
        if (!(error instanceof xc.XenError) || error.code !== 'ESRCH') throw error;
      }
    }
  }
}

const HVM_OP = 34;
const HVMOP_GUEST_REQUEST_VM_EVENT = 24;
/** The processor's instruction for it. */
const HYPERCALL = readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD') ? OP.vmmcall : OP.vmcall;

function run(program: Mailbox, command: Command): CommandResult {
  switch (command.kind) {
    case 'nop':
      return program.request(OP.nop);
    case 'ud2':
      return program.request(OP.ud2);
    case 'read':
      return program.request(OP.read, 0, command.gpa);
    case 'write':
      return program.request(OP.write, 0, command.gpa, command.value);
    case 'call':
      return program.request(OP.call, 0, command.gpa);
    case 'vmfunc':
      return program.request(OP.vmfunc, command.leaf, 0, command.index);
    case 'vmfunc_read':
      return program.request(OP.vmfuncRead, command.leaf, command.gpa, command.index);
    case 'cpuid':
      return program.request(OP.cpuid, command.leaf);
    case 'write_cr':
      return program.request({ 0: OP.writeCr0, 3: OP.writeCr3, 4: OP.writeCr4 }[command.index], command.value);
    case 'read_cr':
      return program.request(OP.readCr, command.index);
    case 'wrmsr':
      return program.request(OP.wrmsr, command.value, 0, command.msr);
    case 'rdmsr':
      return program.request(OP.rdmsr, 0, 0, command.msr);
    case 'int3':
      return program.request(OP.int3);
    case 'trap':
      return program.request(OP.trap);
    case 'sgdt':
      return program.request(OP.sgdt);
    case 'lgdt':
      return program.request(OP.lgdt);
    case 'request':
      return asResult(program.request(HYPERCALL, HVM_OP, HVMOP_GUEST_REQUEST_VM_EVENT));
    case 'vmcall':
      return asResult(program.request(OP.vmcall, command.op, ...command.args));
  }
}

/** A hypercall's result is signed. */
function asResult(result: CommandResult): CommandResult {
  return { ...result, value: result.value | 0 };
}
