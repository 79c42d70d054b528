/** Takes the steps of recordings on a real Xen: the guest is the conformance tests' program. */

import * as xc from '#dist/index.js';
import type { Domain } from '#dist/model/domain.js';
import { Agent } from '#dist/replay/agent.js';
import type { Command, CommandResult } from '#dist/replay/driver.js';
import { RecordingError } from '#dist/replay/error.js';
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
    this.#programs.set(domid, new Mailbox(this.xch, domid));
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

  letGo(domid: number): void {
    this.#programs.get(domid)?.[Symbol.dispose]();
    this.#programs.delete(domid);
  }

  agent(domid: number): Agent {
    return new Agent(this.xch, domid);
  }

  domain(_domid: number, call: string): Domain {
    throw new RecordingError(`${call} cannot be replayed on a real Xen yet`);
  }

  /** Nothing that a recording made outlives it. */
  close(): void {
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
    case 'vmcall': {
      const result = program.request(OP.vmcall, command.op, ...command.args);
      return { ...result, value: result.value | 0 };
    }
  }
}
