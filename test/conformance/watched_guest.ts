/**
 * A guest that somebody watches: what it does may have to wait for an agent, who lives in the same event loop. One
 * interface, a real guest (`guest/guest.S`) and a modelled one.
 */

import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as xc from '#dist/index.js';
import { GuestResult, type Vcpu } from '#dist/model/index.js';
import { GUEST_FRAMES, type GuestOutcome } from './guest.js';
import { flatContext } from './hvm.js';
import { Mailbox, OP } from './mailbox.js';
import type { Target } from './target.js';

const HVM_OP = 34;
const HVMOP_GUEST_REQUEST_VM_EVENT = 24;
const NOT_FINISHED = new GuestResult(null, false);
/** How long a modelled vCPU waits for an answer. */
const PATIENCE_MS = 1500;

/** What it can be asked to do: 32 bits, paging off, privilege level 0. `value` of an outcome is eax. */
export interface WatchedGuest extends Disposable {
  readonly domid: number;
  nop(): Promise<GuestOutcome>;
  read(address: number): Promise<GuestOutcome>;
  write(address: number, value: number): Promise<GuestOutcome>;
  call(address: number): Promise<GuestOutcome>;
  cpuid(leaf: number): Promise<GuestOutcome>;
  writeCr(index: 0 | 3 | 4, value: number): Promise<GuestOutcome>;
  readCr(index: 0 | 3 | 4): Promise<GuestOutcome>;
  wrmsr(msr: number, value: number): Promise<GuestOutcome>;
  rdmsr(msr: number): Promise<GuestOutcome>;
  int3(): Promise<GuestOutcome>;
  /** Runs into a debug exception: the trap flag. */
  trap(): Promise<GuestOutcome>;
  /** Stores GDTR. */
  sgdt(): Promise<GuestOutcome>;
  /** Loads GDTR. */
  lgdt(): Promise<GuestOutcome>;
  /** HVMOP_guest_request_vm_event. */
  request(): Promise<GuestOutcome>;
  halt(): void;
}

/** Starts it in a domain that `createHvm` made. */
export function startWatched(target: Target, domid: number): WatchedGuest {
  const { xch, model } = target;
  const mailbox = model ? null : new Mailbox(xch, domid);
  xc.xc_domain_hvm_setcontext(xch, domid, flatContext(xch, domid, GUEST_FRAMES.code << 12));
  xc.xc_domain_unpause(xch, domid);
  if (mailbox) {
    if (!mailbox.started()) throw new Error(`the guest in domain ${domid} did not start`);
    return new RealWatchedGuest(domid, mailbox);
  }
  const vcpu = model?.guest(domid)?.vcpus[0];
  if (!vcpu) throw new Error(`domain ${domid} is not on this model`);
  return new ModelWatchedGuest(domid, vcpu);
}

class RealWatchedGuest implements WatchedGuest {
  readonly domid: number;
  readonly #mailbox: Mailbox;
  readonly #hypercall = readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD') ? OP.vmmcall : OP.vmcall;

  constructor(domid: number, mailbox: Mailbox) {
    this.domid = domid;
    this.#mailbox = mailbox;
  }

  nop = (): Promise<GuestOutcome> => this.#mailbox.ask(OP.nop);
  read = (address: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.read, 0, address);
  write = (address: number, value: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.write, 0, address, value);
  call = (address: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.call, 0, address);
  cpuid = (leaf: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.cpuid, leaf);
  writeCr = (index: 0 | 3 | 4, value: number): Promise<GuestOutcome> =>
    this.#mailbox.ask(index === 0 ? OP.writeCr0 : index === 3 ? OP.writeCr3 : OP.writeCr4, value);
  readCr = (index: 0 | 3 | 4): Promise<GuestOutcome> => this.#mailbox.ask(OP.readCr, index);
  wrmsr = (msr: number, value: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.wrmsr, value, 0, msr);
  rdmsr = (msr: number): Promise<GuestOutcome> => this.#mailbox.ask(OP.rdmsr, 0, 0, msr);
  int3 = (): Promise<GuestOutcome> => this.#mailbox.ask(OP.int3);
  trap = (): Promise<GuestOutcome> => this.#mailbox.ask(OP.trap);
  sgdt = (): Promise<GuestOutcome> => this.#mailbox.ask(OP.sgdt);
  lgdt = (): Promise<GuestOutcome> => this.#mailbox.ask(OP.lgdt);
  request = (): Promise<GuestOutcome> => this.#mailbox.ask(this.#hypercall, HVM_OP, HVMOP_GUEST_REQUEST_VM_EVENT);

  halt(): void {
    this.#mailbox.post(OP.halt);
    this.#mailbox.down();
  }

  [Symbol.dispose](): void {
    this.#mailbox[Symbol.dispose]();
  }
}

class ModelWatchedGuest implements WatchedGuest {
  readonly domid: number;
  readonly #vcpu: Vcpu;

  constructor(domid: number, vcpu: Vcpu) {
    this.domid = domid;
    this.#vcpu = vcpu;
  }

  nop = (): Promise<GuestOutcome> => this.#done(() => this.#vcpu.nop());
  read = (address: number): Promise<GuestOutcome> => this.#done(() => this.#vcpu.read(address, 4));
  write = (address: number, value: number): Promise<GuestOutcome> =>
    this.#done(() => this.#vcpu.write(address, new Uint8Array(new Uint32Array([value]).buffer)));
  call = (address: number): Promise<GuestOutcome> => this.#done(() => this.#vcpu.execute(address, 5));
  cpuid = async (leaf: number): Promise<GuestOutcome> => this.#eax(await this.#done(() => this.#vcpu.cpuid(leaf)));
  writeCr = (index: 0 | 3 | 4, value: number): Promise<GuestOutcome> =>
    this.#done(() => this.#vcpu.writeCr(index, BigInt(value)));
  readCr = async (index: 0 | 3 | 4): Promise<GuestOutcome> => ({
    finished: true,
    exception: null,
    value: Number(this.#vcpu.registers.get(`cr${index}`)),
  });
  wrmsr = (msr: number, value: number): Promise<GuestOutcome> => this.#done(() => this.#vcpu.wrmsr(msr, BigInt(value)));
  rdmsr = (msr: number): Promise<GuestOutcome> => this.#done(() => this.#vcpu.rdmsr(msr));
  int3 = (): Promise<GuestOutcome> => this.#done(() => this.#vcpu.int3());
  trap = (): Promise<GuestOutcome> => this.#done(() => this.#vcpu.debugException());
  sgdt = (): Promise<GuestOutcome> => this.#done(() => this.#vcpu.storeDescriptor('gdtr'));
  lgdt = (): Promise<GuestOutcome> =>
    this.#done(() => this.#vcpu.loadDescriptor('gdtr', { base: BigInt(GUEST_FRAMES.code << 12), limit: 23 }));
  request = async (): Promise<GuestOutcome> => {
    const value = this.#vcpu.hypercall(HVM_OP, HVMOP_GUEST_REQUEST_VM_EVENT, 0);
    // it is past the call, and held there until it is answered
    return { ...(await this.#done(() => this.#vcpu.nop())), value };
  };

  halt(): void {
    this.#vcpu.halt();
  }

  [Symbol.dispose](): void {
    // nothing is held
  }

  /** What the vCPU's eax holds counts: an agent may have put it there. */
  #eax(outcome: GuestOutcome): GuestOutcome {
    return { ...outcome, value: Number(this.#vcpu.registers.get('rax') & 0xffff_ffffn) };
  }

  async #done(begin: () => GuestResult): Promise<GuestOutcome> {
    let result = await this.#begun(begin);
    for (const end = Date.now() + PATIENCE_MS; !result.finished && Date.now() < end; ) {
      await nextTurn();
      result = this.#vcpu.retry() ?? result;
    }
    const { finished, exception, value } = result;
    return { finished, exception, value: Number(value & 0xffff_ffffn) };
  }

  /** An event that is not answered yet keeps the vCPU from its next instruction. */
  async #begun(begin: () => GuestResult): Promise<GuestResult> {
    for (const end = Date.now() + PATIENCE_MS; !this.#vcpu.canRun && Date.now() < end; ) await nextTurn();
    return this.#vcpu.canRun ? begin() : NOT_FINISHED;
  }
}
