/** Xen's end of the ring, as `vm_event.c` plays it: puts requests in, takes answers out, keeps vCPUs paused meanwhile. */

import { VM_EVENT_FLAG_VCPU_PAUSED, type VmEventAbi, vmEventLayout } from '#dist/abi/vm_event.js';
import type { MonitorPort } from '#dist/vmi/monitor/loop.js';

export interface Request {
  readonly reason?: number;
  readonly vcpu?: number;
  /** Default: the vCPU waits. */
  readonly flags?: number;
  readonly altp2mIdx?: number;
  readonly version?: number;
  /** Values at byte offsets of the entry: `[offset, width, value]`. */
  readonly at?: readonly (readonly [offset: number, width: 1 | 2 | 4 | 8, value: number | bigint])[];
}

export interface Answer {
  readonly version: number;
  readonly flags: number;
  readonly reason: number;
  readonly vcpu: number;
  readonly altp2mIdx: number;
  /** The whole entry. */
  readonly bytes: Uint8Array;
}

const SLOTS = 8;

/** What a loop needs of Xen: takes the answers at once, and notes what is injected. */
export function port(front: Front): MonitorPort {
  return {
    notify: () => void front.resume(),
    flush: () => {},
    inject: (...trap) => void front.injected.push(trap),
  };
}

export class Front {
  readonly page: Uint8Array;
  readonly view: DataView;
  readonly abi: VmEventAbi;
  /** Every answer taken so far. */
  readonly answers: Answer[] = [];
  /** Exceptions that the guest was given. */
  readonly injected: Parameters<MonitorPort['inject']>[] = [];
  /** vCPUs that wait for an answer, with how many. */
  readonly paused = new Map<number, number>();
  readonly #entry: number;
  #reqProd = 0;
  #rspCons = 0;

  constructor(abi: VmEventAbi = 7, page: Uint8Array = new Uint8Array(4096)) {
    this.abi = abi;
    this.page = page;
    this.view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.#entry = vmEventLayout(abi).event.size;
    page.fill(0, 0, 64);
    this.view.setUint32(4, 1, true);
    this.view.setUint32(12, 1, true);
  }

  get free(): number {
    return SLOTS - ((this.#reqProd - this.#rspCons) >>> 0);
  }

  get produced(): number {
    return this.#reqProd;
  }

  /** Puts a request in; false: there is no room. */
  put(request: Request = {}): boolean {
    if (this.free === 0) return false;
    const at = 64 + (this.#reqProd % SLOTS) * this.#entry;
    const { reason = 8, vcpu = 0, flags = VM_EVENT_FLAG_VCPU_PAUSED, altp2mIdx = 0, version = this.abi } = request;
    this.page.fill(0, at, at + this.#entry);
    this.view.setUint32(at, version, true);
    this.view.setUint32(at + 4, flags, true);
    this.view.setUint32(at + 8, reason, true);
    this.view.setUint32(at + 12, vcpu, true);
    this.view.setUint16(at + 16, altp2mIdx, true);
    for (const [offset, width, value] of request.at ?? []) {
      for (let i = 0; i < width; i++) {
        this.page[at + offset + i] = Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 0xffn);
      }
    }
    if (flags & VM_EVENT_FLAG_VCPU_PAUSED) this.paused.set(vcpu, (this.paused.get(vcpu) ?? 0) + 1);
    this.#reqProd = (this.#reqProd + 1) >>> 0;
    this.view.setUint32(0, this.#reqProd, true);
    return true;
  }

  /** Takes the answers that were published. */
  resume(): Answer[] {
    const taken: Answer[] = [];
    while (this.view.getUint32(8, true) !== this.#rspCons) {
      const at = 64 + (this.#rspCons % SLOTS) * this.#entry;
      const bytes = this.page.slice(at, at + this.#entry);
      const view = new DataView(bytes.buffer);
      const answer = {
        version: view.getUint32(0, true),
        flags: view.getUint32(4, true),
        reason: view.getUint32(8, true),
        vcpu: view.getUint32(12, true),
        altp2mIdx: view.getUint16(16, true),
        bytes,
      };
      this.#rspCons = (this.#rspCons + 1) >>> 0;
      taken.push(answer);
      const waiting = this.paused.get(answer.vcpu);
      if (answer.version !== this.abi || !(answer.flags & VM_EVENT_FLAG_VCPU_PAUSED) || waiting === undefined) continue;
      if (waiting === 1) this.paused.delete(answer.vcpu);
      else this.paused.set(answer.vcpu, waiting - 1);
    }
    this.answers.push(...taken);
    return taken;
  }

  /** Starts the counters elsewhere: free-running, they wrap. */
  begin(at: number): void {
    this.#reqProd = at;
    this.#rspCons = at;
    this.view.setUint32(0, at, true);
    this.view.setUint32(8, at, true);
  }
}
