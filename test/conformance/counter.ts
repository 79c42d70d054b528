/**
 * A guest that does nothing but count, in code that the test itself wrote into its memory: whether the number grows shows
 * whether the guest runs.
 */

import * as xc from '#dist/index.js';
import { type Vcpu, VcpuNotRunningError } from '#dist/model/index.js';
import { flatContext, store } from './hvm.js';
import type { Target } from './target.js';

const CODE = 0x40_000;
const COUNTER = 0x50_000;
/** incl COUNTER; pause; jmp back to the beginning. */
const PROGRAM = new Uint8Array([0xff, 0x05, 0x00, 0x00, 0x05, 0x00, 0xf3, 0x90, 0xeb, 0xf6]);
const LENGTHS = [6, 2, 2] as const;

const idle = new Int32Array(new SharedArrayBuffer(4));
const LOOK_MS = 10;

export class CountingGuest implements Disposable {
  readonly #pages: xc.ForeignMapping;
  readonly #vcpu: Vcpu | null;

  /** Puts the program into a domain with memory and lets its first vCPU begin it. The domain may still be paused. */
  constructor({ xch, model }: Target, domid: number) {
    store(xch, domid, CODE >> 12, PROGRAM);
    store(xch, domid, COUNTER >> 12, new Uint8Array(4));
    xc.xc_domain_hvm_setcontext(xch, domid, flatContext(xch, domid, CODE));
    this.#pages = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ, COUNTER >> 12);
    this.#vcpu = model?.guest(domid)?.vcpus[0] ?? null;
  }

  /** The number now. */
  get count(): number {
    const { bytes } = this.#pages;
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  /** Leaves the processor to the guest for a moment and tells by how much it counted on. */
  turn(): number {
    const before = this.count;
    if (this.#vcpu) countOnce(this.#vcpu);
    else Atomics.wait(idle, 0, 0, LOOK_MS);
    return this.count - before;
  }

  /** True when the guest counts within a few turns. */
  runs(): boolean {
    for (let turn = 0; turn < 200; turn++) if (this.turn() > 0) return true;
    return false;
  }

  /** True when it does not count for some turns. What was under way when it was stopped is over by the first. */
  standsStill(): boolean {
    this.turn();
    for (let turn = 0; turn < 10; turn++) if (this.turn() !== 0) return false;
    return true;
  }

  [Symbol.dispose](): void {
    this.#pages.close();
  }
}

/** The program's loop, once, on the model. */
function countOnce(vcpu: Vcpu): void {
  try {
    let at = CODE;
    for (const [i, length] of LENGTHS.entries()) {
      vcpu.execute(at, length);
      at += length;
      if (i > 0) continue;
      const read = vcpu.read(COUNTER, 4);
      const value = new DataView(read.bytes.buffer).getUint32(0, true);
      vcpu.write(COUNTER, new Uint8Array(new Uint32Array([value + 1]).buffer));
    }
  } catch (error) {
    if (!(error instanceof VcpuNotRunningError)) throw error;
  }
}
