/** A guest on a real Xen: `guest/guest.S`, spoken to through its mailbox page. */

import { readFileSync } from 'node:fs';
import * as xc from '#dist/index.js';
import { GUEST_FRAMES, type GuestOutcome, type TestGuest } from './guest.js';
import { flatContext, store } from './hvm.js';

/** Built by scripts/build-guest.mjs. */
const PROGRAM = 'build/test/guest.bin';
const READY = 0x52454459;

/** Operations, by their place in the program's table. */
const OP = {
  vmfunc: 0,
  read: 1,
  write: 2,
  call: 3,
  vmcall: 4,
  vmmcall: 5,
  vmfuncRead: 6,
  ud2: 7,
  halt: 9,
  nop: 99,
} as const;

/** 32-bit words of the mailbox. */
const BOX = { request: 0, opcode: 1, args: 2, done: 16, result: 17, vector: 18, ready: 21 } as const;

const HVM_OP = 34;
const HVMOP_ALTP2M = 25;
/** A guest that has not answered after this long will not: an answer takes microseconds. */
const PATIENCE_MS = 1500;

const idle = new Int32Array(new SharedArrayBuffer(4));

/** Gives the processor up for a millisecond: with one processor the guest runs only while dom0 does not. */
function rest(): void {
  Atomics.wait(idle, 0, 0, 1);
}

export interface RealGuestOptions {
  /** On AMD a hypercall is VMMCALL. */
  readonly vendor?: 'intel' | 'amd';
  /** Called while an answer is waited for: an agent's turn. */
  readonly poll?: () => void;
}

export class RealGuest implements TestGuest {
  readonly domid: number;
  readonly #xch: xc.XcInterface;
  readonly #mailbox: xc.ForeignMapping;
  readonly #words: Int32Array;
  readonly #options: RealGuestOptions;
  #requests = 0;

  /** Loads the program into a domain that {@link createHvm} made, and starts it. */
  constructor(xch: xc.XcInterface, domid: number, options: RealGuestOptions = {}) {
    this.#xch = xch;
    this.domid = domid;
    this.#options = options;
    store(xch, domid, GUEST_FRAMES.code, readFileSync(PROGRAM));
    this.#mailbox = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ | xc.PROT_WRITE, GUEST_FRAMES.mailbox);
    this.#mailbox.bytes.fill(0);
    const { buffer, byteOffset } = this.#mailbox.bytes;
    this.#words = new Int32Array(buffer, byteOffset, 1024);
    xc.xc_domain_hvm_setcontext(xch, domid, flatContext(xch, domid, GUEST_FRAMES.code << 12));
    xc.xc_domain_unpause(xch, domid);
    if (!this.#wait(() => this.#word(BOX.ready) === READY))
      throw new Error(`the guest in domain ${domid} did not start`);
  }

  nop(): GuestOutcome {
    return this.#request(OP.nop);
  }

  vmfunc(leaf: number, index: number): GuestOutcome {
    return this.#request(OP.vmfunc, leaf, 0, index);
  }

  read(address: number): GuestOutcome {
    return this.#request(OP.read, 0, address);
  }

  write(address: number, value: number): GuestOutcome {
    return this.#request(OP.write, 0, address, value);
  }

  call(address: number): GuestOutcome {
    return this.#request(OP.call, 0, address);
  }

  vmfuncRead(index: number, address: number): GuestOutcome {
    return this.#request(OP.vmfuncRead, 0, address, index);
  }

  ud2(): GuestOutcome {
    return this.#request(OP.ud2);
  }

  altp2m(op: Uint8Array): GuestOutcome {
    store(this.#xch, this.domid, GUEST_FRAMES.argument, op);
    const instruction = this.#options.vendor === 'amd' ? OP.vmmcall : OP.vmcall;
    return this.#request(instruction, HVM_OP, HVMOP_ALTP2M, GUEST_FRAMES.argument << 12);
  }

  halt(): void {
    this.#post(OP.halt, []);
    this.#wait(() => false, 20);
  }

  [Symbol.dispose](): void {
    this.#mailbox.close();
  }

  #request(opcode: number, ...args: readonly number[]): GuestOutcome {
    const number = this.#post(opcode, args);
    const finished = this.#wait(() => this.#word(BOX.done) === number);
    const vector = this.#word(BOX.vector);
    return {
      finished,
      exception: finished && vector !== -1 ? vector : null,
      value: finished ? this.#word(BOX.result) >>> 0 : 0,
    };
  }

  /** Writes a request, its number last. */
  #post(opcode: number, args: readonly number[]): number {
    for (const [i, value] of args.entries()) Atomics.store(this.#words, BOX.args + i, value | 0);
    Atomics.store(this.#words, BOX.opcode, opcode);
    this.#requests++;
    Atomics.store(this.#words, BOX.request, this.#requests);
    return this.#requests;
  }

  #wait(over: () => boolean, patience = PATIENCE_MS): boolean {
    for (const end = Date.now() + patience; Date.now() < end; ) {
      if (over()) return true;
      this.#options.poll?.();
      rest();
    }
    return over();
  }

  #word(index: number): number {
    return Atomics.load(this.#words, index);
  }
}
