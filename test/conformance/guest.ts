/** A guest that does on request what a test wants done inside it: one interface, a real guest and a modelled one. */

/** How a request ended inside the guest. */
export interface GuestOutcome {
  /** False when the guest did not answer: it is stuck, waits for an agent, or its domain has gone. */
  readonly finished: boolean;
  /** Vector of the exception, or null. */
  readonly exception: number | null;
  /** eax afterwards: what was read, what the called code returned, a hypercall's result. */
  readonly value: number;
}

/** What can be asked of it. Addresses are guest-physical: the guest runs flat, with paging off. */
export interface TestGuest extends Disposable {
  readonly domid: number;
  /** Does nothing; when it is over the guest has run through its loop in the view that it is in now. */
  nop(): GuestOutcome;
  vmfunc(leaf: number, index: number): GuestOutcome;
  /** Reads 32 bits. */
  read(address: number): GuestOutcome;
  /** Writes 32 bits. */
  write(address: number, value: number): GuestOutcome;
  /** Calls code that returns in eax. */
  call(address: number): GuestOutcome;
  /** Enters a view, reads 32 bits there and comes back to view 0. */
  vmfuncRead(index: number, address: number): GuestOutcome;
  /** An undefined instruction. */
  ud2(): GuestOutcome;
  /** HVMOP_altp2m on itself; `op` is the 80-byte structure. */
  altp2m(op: Uint8Array): GuestOutcome;
  /** HLT with interrupts off: the last vCPU to do it powers the domain off. */
  halt(): void;
}

/** Frames that the guest uses for itself. Tests leave them alone. */
export const GUEST_FRAMES = { code: 0x10, idt: 0x14, stack: 0x2e, mailbox: 0x30, argument: 0x60 } as const;
