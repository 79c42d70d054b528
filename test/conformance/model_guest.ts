/** The guest on the model: no code runs, but what `guest/guest.S` touches is touched, in the same order. */

import * as xc from '#dist/index.js';
import type { ModelXen } from '#dist/model/index.js';
import { type Command, GuestDriver } from '#dist/replay/driver.js';
import { GUEST_FRAMES, type GuestOutcome, type TestGuest } from './guest.js';
import { flatContext, store } from './hvm.js';

const HVM_OP = 34;
const HVMOP_ALTP2M = 25;

export class ModelGuest implements TestGuest {
  readonly domid: number;
  readonly #xch: xc.XcInterface;
  readonly #driver: GuestDriver;

  /** Starts the guest in a domain that {@link createHvm} made. */
  constructor(xch: xc.XcInterface, model: ModelXen, domid: number) {
    this.domid = domid;
    this.#xch = xch;
    xc.xc_domain_hvm_setcontext(xch, domid, flatContext(xch, domid, GUEST_FRAMES.code << 12));
    xc.xc_domain_unpause(xch, domid);
    const guest = model.guest(domid);
    if (!guest) throw new Error(`domain ${domid} is not on this model`);
    this.#driver = new GuestDriver(guest.vcpus[0]);
    this.#driver.wake();
  }

  nop(): GuestOutcome {
    return this.#driver.run({ kind: 'nop' });
  }

  vmfunc(leaf: number, index: number): GuestOutcome {
    return this.#driver.run({ kind: 'vmfunc', leaf, index });
  }

  read(gpa: number): GuestOutcome {
    return this.#driver.run({ kind: 'read', gpa });
  }

  write(gpa: number, value: number): GuestOutcome {
    return this.#driver.run({ kind: 'write', gpa, value });
  }

  call(gpa: number): GuestOutcome {
    return this.#driver.run({ kind: 'call', gpa });
  }

  vmfuncRead(index: number, gpa: number): GuestOutcome {
    return this.#driver.run({ kind: 'vmfunc_read', leaf: 0, index, gpa });
  }

  ud2(): GuestOutcome {
    return this.#driver.run({ kind: 'ud2' });
  }

  altp2m(op: Uint8Array): GuestOutcome {
    store(this.#xch, this.domid, GUEST_FRAMES.argument, op);
    const command: Command = { kind: 'vmcall', op: HVM_OP, args: [HVMOP_ALTP2M, GUEST_FRAMES.argument << 12] };
    const outcome = this.#driver.run(command);
    return { ...outcome, value: outcome.value >>> 0 };
  }

  halt(): void {
    this.#driver.die();
  }

  [Symbol.dispose](): void {
    // nothing is held
  }
}
