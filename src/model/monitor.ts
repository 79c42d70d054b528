/** Delivery of vm_events: what Xen tells a monitoring agent, and what the agent may answer. `public/vm_event.h` names it. */

export const VM_EVENT_REASON_MEM_ACCESS = 1;
export const VM_EVENT_REASON_SINGLESTEP = 7;

export const VM_EVENT_FLAG_VCPU_PAUSED = 1 << 0;
export const VM_EVENT_FLAG_ALTERNATE_P2M = 1 << 7;

export const MEM_ACCESS_R = 1 << 0;
export const MEM_ACCESS_W = 1 << 1;
export const MEM_ACCESS_X = 1 << 2;
export const MEM_ACCESS_GLA_VALID = 1 << 3;
export const MEM_ACCESS_FAULT_WITH_GLA = 1 << 4;

export interface VmEvent {
  readonly reason: number;
  readonly flags: number;
  readonly vcpuId: number;
  /** The vCPU's view; 0 while altp2m is off. */
  readonly altp2mIndex: number;
  /** For MEM_ACCESS: where, and `MEM_ACCESS_*` flags. */
  readonly memAccess?: {
    readonly gfn: number;
    readonly offset: number;
    readonly gla: number;
    readonly flags: number;
  };
}

/** What the agent answers; an empty object lets the vCPU go on. */
export interface VmEventAnswer {
  /** Enter this view first, hidden or not. */
  readonly alternateP2m?: number;
  /** Let Xen's emulator finish the instruction, past the restriction. */
  readonly emulate?: boolean;
  readonly toggleSinglestep?: boolean;
  /** Step over one instruction, then enter this view. */
  readonly fastSinglestep?: number;
}

/** The agent. `null`: it does not answer, and the vCPU stays paused. */
export type MonitorListener = (event: VmEvent) => VmEventAnswer | null;
