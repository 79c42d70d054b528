/** What an agent has asked to be told of a domain (`struct arch_domain.monitor`, `asm-x86/domain.h`): monitor_op sets it. */

/** Writes of one control register. */
export interface CtrlregOption {
  readonly sync: boolean;
  /** Bits whose change is not told. */
  readonly bitmask: bigint;
}

export interface MonitorOptions {
  /** By `VM_EVENT_X86_*`. */
  readonly writeCtrlreg: [CtrlregOption | null, CtrlregOption | null, CtrlregOption | null, CtrlregOption | null];
  /** MSRs by number, true: changes only. Null before there was a ring. */
  msrs: Map<number, boolean> | null;
  singlestep: boolean;
  softwareBreakpoint: boolean;
  guestRequest: { readonly sync: boolean; readonly allowUserspace: boolean } | null;
  debugException: { readonly sync: boolean } | null;
  cpuid: boolean;
  descAccess: boolean;
  emulUnimplemented: boolean;
  /** Faults of page walks are not told: the instruction is emulated. */
  inguestPagefaultDisabled: boolean;
  vmexit: { readonly sync: boolean } | null;
  io: boolean;
  /** Control registers and MSRs that are told are written when the vCPU goes on, if the answer does not deny it. */
  controlRegisterValues: boolean;
  /** Each round of a repeated instruction is emulated by itself. */
  emulateEachRep: boolean;
}

/** A saved {@link MonitorOptions}: plain JSON. */
export interface MonitorState extends Omit<MonitorOptions, 'writeCtrlreg' | 'msrs'> {
  readonly writeCtrlreg: readonly ((Omit<CtrlregOption, 'bitmask'> & { readonly bitmask: string }) | null)[];
  readonly msrs: readonly (readonly [msr: number, onchangeonly: boolean])[] | null;
}

/** Nothing is told: how a domain begins, and what DISABLE leaves (`arch_monitor_cleanup_domain`). */
export function noMonitorOptions(): MonitorOptions {
  return {
    writeCtrlreg: [null, null, null, null],
    msrs: null,
    singlestep: false,
    softwareBreakpoint: false,
    guestRequest: null,
    debugException: null,
    cpuid: false,
    descAccess: false,
    emulUnimplemented: false,
    inguestPagefaultDisabled: false,
    vmexit: null,
    io: false,
    controlRegisterValues: false,
    emulateEachRep: false,
  };
}

export function saveMonitorOptions(options: MonitorOptions): MonitorState {
  return {
    ...options,
    writeCtrlreg: options.writeCtrlreg.map((one) => one && { ...one, bitmask: String(one.bitmask) }),
    msrs: options.msrs && [...options.msrs],
  };
}

export function restoreMonitorOptions(state: MonitorState): MonitorOptions {
  const register = (index: number): CtrlregOption | null => {
    const one = state.writeCtrlreg[index];
    return one ? { ...one, bitmask: BigInt(one.bitmask) } : null;
  };
  return {
    ...state,
    writeCtrlreg: [register(0), register(1), register(2), register(3)],
    msrs: state.msrs && new Map(state.msrs),
  };
}
