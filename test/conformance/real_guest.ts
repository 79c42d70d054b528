/** A guest on a real Xen: `guest/guest.S`, spoken to through its mailbox page. */

import * as xc from '#dist/index.js';
import { GUEST_FRAMES, type GuestOutcome, type TestGuest } from './guest.js';
import { flatContext, store } from './hvm.js';
import { Mailbox, OP } from './mailbox.js';

const HVM_OP = 34;
const HVMOP_ALTP2M = 25;

export interface RealGuestOptions {
  /** On AMD a hypercall is VMMCALL. */
  readonly vendor?: 'intel' | 'amd';
  /** Called while an answer is waited for: an agent's turn. */
  readonly poll?: () => void;
}

export class RealGuest implements TestGuest {
  readonly domid: number;
  readonly #xch: xc.XcInterface;
  readonly #mailbox: Mailbox;
  readonly #hypercall: number;

  /** Loads the program into a domain that {@link createHvm} made, and starts it. */
  constructor(xch: xc.XcInterface, domid: number, options: RealGuestOptions = {}) {
    this.#xch = xch;
    this.domid = domid;
    this.#hypercall = options.vendor === 'amd' ? OP.vmmcall : OP.vmcall;
    this.#mailbox = new Mailbox(xch, domid, options.poll);
    xc.xc_domain_hvm_setcontext(xch, domid, flatContext(xch, domid, GUEST_FRAMES.code << 12));
    xc.xc_domain_unpause(xch, domid);
    if (!this.#mailbox.started()) throw new Error(`the guest in domain ${domid} did not start`);
  }

  nop(): GuestOutcome {
    return this.#mailbox.request(OP.nop);
  }

  vmfunc(leaf: number, index: number): GuestOutcome {
    return this.#mailbox.request(OP.vmfunc, leaf, 0, index);
  }

  read(address: number): GuestOutcome {
    return this.#mailbox.request(OP.read, 0, address);
  }

  write(address: number, value: number): GuestOutcome {
    return this.#mailbox.request(OP.write, 0, address, value);
  }

  call(address: number): GuestOutcome {
    return this.#mailbox.request(OP.call, 0, address);
  }

  vmfuncRead(index: number, address: number): GuestOutcome {
    return this.#mailbox.request(OP.vmfuncRead, 0, address, index);
  }

  ud2(): GuestOutcome {
    return this.#mailbox.request(OP.ud2);
  }

  altp2m(op: Uint8Array): GuestOutcome {
    store(this.#xch, this.domid, GUEST_FRAMES.argument, op);
    return this.#mailbox.request(this.#hypercall, HVM_OP, HVMOP_ALTP2M, GUEST_FRAMES.argument << 12);
  }

  halt(): void {
    this.#mailbox.post(OP.halt);
    this.#mailbox.down();
  }

  [Symbol.dispose](): void {
    this.#mailbox[Symbol.dispose]();
  }
}
