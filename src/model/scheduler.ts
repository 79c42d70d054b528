/**
 * Gives vCPUs that run a script their turns: one instruction each time, by a random order that the seed fixes. It works
 * from the event loop while any can run, and sleeps while all wait: for an agent's answer, for dom0, for room in a ring.
 */

import { DONE, type GuestResult, type Instruction } from './guest/instruction.js';
import { type GuestScript, ScriptCpu, type ScriptEnd, type ScriptRun } from './guest/script.js';
import type { Vcpu } from './vcpu.js';

/** Instructions in one turn of the event loop: others on it wait no longer than a fraction of a millisecond. */
const SLICE = 100;

interface Running {
  readonly vcpu: Vcpu;
  /** Carries out the instruction that the script is at. False: the script has ended. */
  step(): boolean;
  end(how: 'domain' | 'stopped'): void;
}

export class Scheduler {
  #running: Running[] = [];
  #state: number;
  #turn: NodeJS.Immediate | null = null;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** @throws Error when the vCPU runs a script already */
  run<T>(vcpu: Vcpu, script: GuestScript<T>): ScriptRun<T> {
    if (this.runs(vcpu)) throw new Error(`vCPU ${vcpu.id} of domain ${vcpu.domain.domid} runs a script already`);
    const { running, finished } = start(vcpu, script);
    this.#running.push(running);
    this.wake();
    const stop = (): void => {
      if (this.#remove(running)) running.end('stopped');
    };
    return { finished, stop };
  }

  /** Whether the vCPU runs a script. */
  runs(vcpu: Vcpu): boolean {
    return this.#running.some((running) => running.vcpu === vcpu);
  }

  /**
   * Gives one vCPU its turn.
   *
   * @returns false: none can run
   */
  step(): boolean {
    this.#endOrphans();
    const ready = this.#running.filter(({ vcpu }) => vcpu.canRun);
    const next = ready[ready.length > 1 ? this.#random() % ready.length : 0];
    if (!next) return false;
    if (!next.step()) this.#remove(next);
    return true;
  }

  /** vCPUs may be able to run now that could not before, or a domain is gone. */
  wake(): void {
    if (this.#turn || this.#running.length === 0) return;
    this.#turn = setImmediate(() => {
      this.#turn = null;
      for (let i = 0; i < SLICE; i++) if (!this.step()) return;
      this.wake();
    });
  }

  /** Ends all scripts. */
  close(): void {
    if (this.#turn) clearImmediate(this.#turn);
    this.#turn = null;
    for (const running of this.#running.splice(0)) running.end('stopped');
  }

  #endOrphans(): void {
    const alive = ({ vcpu: { domain } }: Running): boolean => !domain.dying && domain.shutdownCode === null;
    const orphans = this.#running.filter((running) => !alive(running));
    if (orphans.length === 0) return;
    this.#running = this.#running.filter(alive);
    for (const orphan of orphans) orphan.end('domain');
  }

  #remove(running: Running): boolean {
    const at = this.#running.indexOf(running);
    if (at >= 0) this.#running.splice(at, 1);
    return at >= 0;
  }

  /** A 32-bit number (mulberry32). */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}

/** Makes a script ready: it begins with its first step. */
function start<T>(vcpu: Vcpu, script: GuestScript<T>): { running: Running; finished: Promise<ScriptEnd<T>> } {
  const code = script(new ScriptCpu(vcpu));
  let resolve: (end: ScriptEnd<T>) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const finished = new Promise<ScriptEnd<T>>((good, bad) => {
    resolve = good;
    reject = bad;
  });
  let at: Instruction | null = null;
  const goOn = (result: GuestResult): boolean => {
    const { done, value } = code.next(result);
    if (done) resolve({ ended: 'returned', value });
    else at = value;
    return !done;
  };
  const step = (): boolean => {
    // a generator begins with a next() whose value nobody sees
    if (!at && !goOn(DONE)) return false;
    const result = at && vcpu.advance(at);
    return !result || goOn(result);
  };
  const running: Running = {
    vcpu,
    step(): boolean {
      try {
        return step();
      } catch (error) {
        reject(error);
        return false;
      }
    },
    end(how): void {
      vcpu.giveUp();
      try {
        code.return(undefined as T);
      } catch (error) {
        reject(error);
        return;
      }
      resolve({ ended: how });
    },
  };
  return { running, finished };
}
