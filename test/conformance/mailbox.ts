/** How dom0 speaks to `guest/guest.S` in a real guest: requests and answers in a page that both see. */

import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as xc from '#dist/index.js';
import { GUEST_FRAMES, type GuestOutcome } from './guest.js';
import { store } from './hvm.js';

/** Built by scripts/build-guest.mjs. */
const PROGRAM = 'build/test/guest.bin';
const READY = 0x52454459;

/** Operations, by their place in the program's table; one beyond it does nothing. */
export const OP = {
  vmfunc: 0,
  read: 1,
  write: 2,
  call: 3,
  vmcall: 4,
  vmmcall: 5,
  vmfuncRead: 6,
  ud2: 7,
  /** eax leaf; answers eax. */
  cpuid: 8,
  halt: 9,
  writeCr0: 10,
  writeCr3: 11,
  writeCr4: 12,
  readCr: 13,
  wrmsr: 14,
  rdmsr: 15,
  int3: 16,
  trap: 17,
  sgdt: 18,
  lgdt: 19,
  nop: 99,
} as const;

/** 32-bit words of the mailbox. */
const BOX = { request: 0, opcode: 1, args: 2, done: 16, result: 17, vector: 18, ready: 21 } as const;

/** How many arguments a request has room for. */
const ARGS = 6;

/** A guest that has not answered after this long will not: an answer takes microseconds. */
const PATIENCE_MS = 1500;
/** How often the domain is asked whether it is still alive while it does not answer. */
const ALIVE_MS = 20;

/** `sched_op`'s number, and that of its operation that gives the processor to somebody else. */
const SCHED_OP = 29;
const SCHEDOP_YIELD = 0;

export class Mailbox implements Disposable {
  readonly #xch: xc.XcInterface;
  readonly #domid: number;
  readonly #mapping: xc.ForeignMapping;
  readonly #words: Int32Array;
  readonly #poll: () => unknown;
  #requests = 0;

  /**
   * Puts the program into a domain that has memory and does not run yet.
   *
   * @param poll called while an answer is waited for: an agent's turn
   */
  constructor(xch: xc.XcInterface, domid: number, poll: () => unknown = () => {}) {
    this.#xch = xch;
    this.#domid = domid;
    this.#poll = poll;
    store(xch, domid, GUEST_FRAMES.code, readFileSync(PROGRAM));
    this.#mapping = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ | xc.PROT_WRITE, GUEST_FRAMES.mailbox);
    this.#mapping.bytes.fill(0);
    const { buffer, byteOffset } = this.#mapping.bytes;
    this.#words = new Int32Array(buffer, byteOffset, 1024);
  }

  /** Waits until the program has started; false when it does not. */
  started(): boolean {
    return this.#wait(() => this.#word(BOX.ready) === READY);
  }

  /** Has the program do something, and waits for its answer. `args` are eax, ebx, ecx ... */
  request(opcode: number, ...args: readonly number[]): GuestOutcome {
    const number = this.post(opcode, ...args);
    return this.#outcome(this.#wait(() => this.#word(BOX.done) === number));
  }

  /** As {@link request}, while the event loop goes on: that is an agent's turn. */
  async ask(opcode: number, ...args: readonly number[]): Promise<GuestOutcome> {
    const number = this.post(opcode, ...args);
    const end = Date.now() + PATIENCE_MS;
    while (this.#word(BOX.done) !== number && Date.now() < end) {
      this.#yield();
      await nextTurn();
    }
    return this.#outcome(this.#word(BOX.done) === number);
  }

  /** Writes a request, its number last, and does not wait. */
  post(opcode: number, ...args: readonly number[]): number {
    // those that are not given are 0: what the last request left there could be taken for an argument
    for (let i = 0; i < ARGS; i++) Atomics.store(this.#words, BOX.args + i, (args[i] ?? 0) | 0);
    Atomics.store(this.#words, BOX.opcode, opcode);
    this.#requests++;
    Atomics.store(this.#words, BOX.request, this.#requests);
    return this.#requests;
  }

  /** Waits until the domain has shut down; false when it goes on. */
  down(): boolean {
    return this.#wait(() => !this.#alive());
  }

  [Symbol.dispose](): void {
    this.#mapping.close();
  }

  #wait(over: () => boolean): boolean {
    const begin = Date.now();
    let nextLook = begin + ALIVE_MS;
    for (let now = begin; now < begin + PATIENCE_MS; now = Date.now()) {
      if (over()) return true;
      this.#poll();
      if (now >= nextLook) {
        if (!this.#alive()) return over();
        nextLook = now + ALIVE_MS;
      }
      this.#yield();
    }
    return over();
  }

  /** With one processor the guest runs only while dom0 does not; it yields, too. */
  #yield(): void {
    this.#xch.hypervisor.hypercall(SCHED_OP, SCHEDOP_YIELD);
  }

  #outcome(finished: boolean): GuestOutcome {
    const vector = this.#word(BOX.vector);
    return {
      finished,
      exception: finished && vector !== -1 ? vector : null,
      value: finished ? this.#word(BOX.result) >>> 0 : 0,
    };
  }

  #alive(): boolean {
    try {
      return !xc.xc_domain_getinfo_single(this.#xch, this.#domid).shutdown;
    } catch {
      return false;
    }
  }

  #word(index: number): number {
    return Atomics.load(this.#words, index);
  }
}
