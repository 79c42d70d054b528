/** An agent that is a function: it consumes the ring as one in another process would, but at once and in place. */

import {
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_EMULATE,
  VM_EVENT_FLAG_FAST_SINGLESTEP,
  VM_EVENT_FLAG_TOGGLE_SINGLESTEP,
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_MEM_ACCESS,
  VM_EVENT_SLOTS,
  vm_event_sring,
  vmEventLayoutOf,
} from '../../abi/vm_event.js';
import { getU64 } from '../../hypervisor/check.js';
import type { Domain } from '../domain.js';
import type { XenPorts } from './ring.js';

/** What the function is told. */
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

/** What the function answers; an empty object lets the vCPU go on. */
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

/** The agent's end of the ring, in the place of an event channel: Xen's signal has it consume requests. */
export class ListenerPorts implements XenPorts {
  readonly #domain: Domain;
  readonly #listener: MonitorListener;
  #answered: () => void = () => {};
  #reqCons = 0;
  #rspProd = 0;
  #busy = false;

  constructor(domain: Domain, listener: MonitorListener) {
    this.#domain = domain;
    this.#listener = listener;
  }

  allocXen(_vcpu: number, _remote: number, consumer: () => void): number {
    this.#answered = consumer;
    return 1;
  }

  closeXen(): void {
    this.#answered = () => {};
  }

  notifyXen(): void {
    // what an answer brings about while the function is running is taken by the loop that runs it
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#takeOne());
    } finally {
      this.#busy = false;
    }
  }

  /** False: the ring holds nothing more, or is gone. */
  #takeOne(): boolean {
    const { release } = this.#domain.host;
    const ring = vm_event_sring.for(release).at;
    const before = this.#domain.ring?.view;
    if (!before || before.getUint32(ring.req_prod ?? 0, true) === this.#reqCons) return false;
    const { event } = vmEventLayoutOf(release);
    const at = (index: number): number => (ring.ring ?? 0) + (index % VM_EVENT_SLOTS) * event.size;
    const slot = at(this.#reqCons);
    const request = new DataView(before.buffer.slice(before.byteOffset + slot, before.byteOffset + slot + event.size));
    this.#reqCons = (this.#reqCons + 1) >>> 0;
    const told = decode(request, event.at);
    const answer = this.#listener(told);
    // an event that paused nobody is done with, whatever the function says
    if (answer === null && told.flags & VM_EVENT_FLAG_VCPU_PAUSED) return true;
    const view = this.#domain.ring?.view;
    if (!view) return false;
    encodeAnswer(request, event.at, told, answer ?? {});
    new Uint8Array(view.buffer, view.byteOffset + at(this.#rspProd), event.size).set(new Uint8Array(request.buffer));
    this.#rspProd = (this.#rspProd + 1) >>> 0;
    view.setUint32(ring.rsp_prod ?? 0, this.#rspProd, true);
    this.#answered();
    return true;
  }
}

type Places = Readonly<Record<string, number>>;

function decode(view: DataView, at: Places): VmEvent {
  const u32 = (name: string): number => view.getUint32(at[name] ?? 0, true);
  const u64 = (name: string): number => getU64(view, at[name] ?? 0);
  const reason = u32('reason');
  return {
    reason,
    flags: u32('flags'),
    vcpuId: u32('vcpu_id'),
    altp2mIndex: view.getUint16(at['altp2m_idx'] ?? 0, true),
    ...(reason === VM_EVENT_REASON_MEM_ACCESS && {
      memAccess: {
        gfn: u64('u.mem_access.gfn'),
        offset: u64('u.mem_access.offset'),
        gla: u64('u.mem_access.gla'),
        flags: u32('u.mem_access.flags'),
      },
    }),
  };
}

/** The request becomes the answer. */
function encodeAnswer(view: DataView, at: Places, { flags }: VmEvent, answer: VmEventAnswer): void {
  const { alternateP2m, emulate, toggleSinglestep, fastSinglestep } = answer;
  const bit = (wanted: boolean, flag: number): number => (wanted ? flag : 0);
  view.setUint32(
    at['flags'] ?? 0,
    (flags & VM_EVENT_FLAG_VCPU_PAUSED) |
      bit(alternateP2m !== undefined, VM_EVENT_FLAG_ALTERNATE_P2M) |
      bit(emulate === true, VM_EVENT_FLAG_EMULATE) |
      bit(toggleSinglestep === true, VM_EVENT_FLAG_TOGGLE_SINGLESTEP) |
      bit(fastSinglestep !== undefined, VM_EVENT_FLAG_FAST_SINGLESTEP),
    true,
  );
  if (alternateP2m !== undefined) view.setUint16(at['altp2m_idx'] ?? 0, alternateP2m, true);
  if (fastSinglestep !== undefined) view.setUint16(at['u.fast_singlestep.p2midx'] ?? 0, fastSinglestep, true);
}
