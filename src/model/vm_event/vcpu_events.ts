/** What vm_events have to do with one vCPU: why it waits, and what an answer left to be done when it goes on. */

/** A write that waits for the agent's leave (`struct monitor_write_data`). */
export interface PendingWrites {
  cr0: bigint | null;
  cr3: bigint | null;
  cr4: bigint | null;
  msr: { readonly msr: number; readonly value: bigint } | null;
}

/** How the emulator is to finish the instruction that the vCPU is at (`emulate_flags` and `emul`). */
export interface Emulation {
  /** The answer's flags. */
  readonly flags: number;
  /** `data` of the answer: what memory reads give, or the instruction's bytes. */
  readonly data: Uint8Array;
}

/** A saved {@link VcpuEvents}: plain JSON. */
export interface VcpuEventsState {
  readonly pauseCount: number;
  readonly blocked: boolean;
  readonly nextInterrupt: boolean;
  /** Flags, and data in base64. */
  readonly emulation: readonly [flags: number, data: string] | null;
  readonly registers: string | null;
  /** Values in decimal digits. */
  readonly writes: {
    readonly cr0: string | null;
    readonly cr3: string | null;
    readonly cr4: string | null;
    readonly msr: readonly [msr: number, value: string] | null;
  };
}

export class VcpuEvents {
  /** Events that were told and not answered (`vm_event_pause_count`). */
  pauseCount = 0;
  /** The ring is nearly full: the vCPU waits until it empties (`_VPF_mem_access`). */
  blocked = false;
  /** The ring is full: the vCPU's event waits for a slot. */
  queued = false;
  /** Tell of the next interrupt or exception that is injected. */
  nextInterrupt = false;
  /** Something of the following may be left to be done before the vCPU goes on. */
  unsettled = false;
  emulation: Emulation | null = null;
  /** `data` of an answer whose registers the vCPU takes over. */
  registers: Uint8Array | null = null;
  writes: PendingWrites = noWrites();

  /** True while the vCPU cannot go on for an agent's sake. */
  get held(): boolean {
    return this.pauseCount > 0 || this.blocked || this.queued;
  }

  /** Leaves a write to be done when the vCPU goes on. */
  putOff(write: Partial<PendingWrites>): void {
    Object.assign(this.writes, write);
    this.unsettled = true;
  }

  /** The ring is gone, and with it what answers left to be done (`vm_event_cleanup_domain`). */
  forget(): void {
    this.emulation = null;
    this.registers = null;
    this.writes = noWrites();
  }

  save(): VcpuEventsState {
    const { cr0, cr3, cr4, msr } = this.writes;
    const digits = (value: bigint | null): string | null => (value === null ? null : String(value));
    return {
      pauseCount: this.pauseCount,
      blocked: this.blocked,
      nextInterrupt: this.nextInterrupt,
      emulation: this.emulation && [this.emulation.flags, Buffer.from(this.emulation.data).toString('base64')],
      registers: this.registers && Buffer.from(this.registers).toString('base64'),
      writes: {
        cr0: digits(cr0),
        cr3: digits(cr3),
        cr4: digits(cr4),
        msr: msr && [msr.msr, String(msr.value)],
      },
    };
  }

  restore(state: VcpuEventsState): void {
    const { cr0, cr3, cr4, msr } = state.writes;
    const value = (digits: string | null): bigint | null => (digits === null ? null : BigInt(digits));
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
    this.pauseCount = state.pauseCount;
    this.blocked = state.blocked;
    this.nextInterrupt = state.nextInterrupt;
    this.unsettled = true;
    this.emulation = state.emulation && { flags: state.emulation[0], data: bytes(state.emulation[1]) };
    this.registers = state.registers === null ? null : bytes(state.registers);
    this.writes = {
      cr0: value(cr0),
      cr3: value(cr3),
      cr4: value(cr4),
      msr: msr && { msr: msr[0], value: BigInt(msr[1]) },
    };
  }
}

function noWrites(): PendingWrites {
  return { cr0: null, cr3: null, cr4: null, msr: null };
}
