/**
 * Takes events out of the ring, hands them to the agent and sees to it that each is answered exactly once: by the agent,
 * or by the loop itself when the agent forgets, throws, or ends. A vCPU that waits for an answer is frozen, so no path out
 * of here leaves an event behind.
 */

import type { Release } from '../../abi/release.js';
import {
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_DEBUG_EXCEPTION,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  type VmEventLayout,
} from '../../abi/vm_event.js';
import { type AnswerSink, EventSet, eventIn, type MonitorEvent } from './event.js';
import { type MonitorResponse, ResponseEncoder } from './response.js';
import { FLAGS, Frame, type MonitorRing, REASON, U, VCPU, VERSION } from './ring.js';

/** What a session has done so far. */
export interface MonitorCounters {
  /** Events given to the agent. */
  readonly events: number;
  /** Answers by the agent, ... */
  readonly answered: number;
  /** ... and by the loop in its place: it had returned, or asked for the next event, without one. */
  readonly automatic: number;
  /** Handlers that threw, or whose promise was rejected. Their events were answered by the loop. */
  readonly thrown: number;
  /** Answers to events that had theirs; they were dropped. */
  readonly refused: number;
  /** Requests of another ABI than Xen said it speaks: answered, and not given to the agent. */
  readonly malformed: number;
}

/**
 * Handles one event. It is answered when the handler returns; if that is a promise, when it settles, and other events are
 * handled meanwhile. Without a promise the event object is used again for the next event: do not keep it.
 */
export type MonitorHandler = (event: MonitorEvent) => unknown;

/** What the loop needs of Xen. */
export interface MonitorPort {
  /** Tells Xen that there are answers, at the latest when {@link MonitorLoop.drain} has returned. */
  notify(): void;
  /** Tells it now. */
  flush(): void;
  /** Gives the guest an exception that the agent was told of: #BP or #DB, with what DR6 is to tell. */
  inject(vcpu: number, vector: number, type: number, insnLength: number, pendingDbg: bigint): void;
}

const VECTOR_DB = 1;
const VECTOR_BP = 3;

/** Handlers may be short functions that return whatever `respond` gave. @internal */
export function isPromise(result: unknown): result is PromiseLike<unknown> {
  return typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function';
}

/** Rounds that one {@link MonitorLoop.drain} makes at most while a busy guest keeps the ring filled. */
const MOST_ROUNDS = 64;

export class MonitorLoop implements AnswerSink {
  readonly domid: number;
  readonly layout: VmEventLayout;
  readonly counters = { events: 0, answered: 0, automatic: 0, thrown: 0, refused: 0, malformed: 0 };
  readonly #ring: MonitorRing;
  readonly #encoder: ResponseEncoder;
  readonly #port: MonitorPort;
  /** Events that the agent keeps and has not answered. */
  readonly #kept = new Set<Frame>();
  /** What the handler works with, until one of them returns a promise and keeps it. */
  #set: EventSet;
  /** What {@link take} gave last. */
  #taken: Frame | null = null;
  #draining = false;
  /** What the handlers' failures are told to. */
  #failed: (error: unknown) => void = () => {};

  constructor(ring: MonitorRing, domid: number, layout: VmEventLayout, release: Release, port: MonitorPort) {
    this.#ring = ring;
    this.domid = domid;
    this.layout = layout;
    this.#encoder = new ResponseEncoder(layout, release);
    this.#port = port;
    this.#set = new EventSet(this, new Frame(ring));
  }

  /** How many events the agent has and has not answered. */
  get unanswered(): number {
    return this.#kept.size + (this.#set.frame.open ? 1 : 0);
  }

  /**
   * Gives the agent everything that is in the ring, and what comes meanwhile.
   *
   * @param failed is told what a handler threw, once its event is answered
   * @param stopped is asked before each event; once true, the rest stays in the ring
   * @returns true when there is more, left for another turn so that others get theirs
   * @throws MonitorRingError the ring's counters make no sense; what was taken is answered
   */
  drain(handler: MonitorHandler, failed: (error: unknown) => void, stopped: () => boolean): boolean {
    this.#failed = failed;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      this.#drainOnce(handler, stopped);
      if (stopped() || !this.#ring.arm()) return false;
      this.#port.flush(); // who has an answer does not wait for the others'
    }
    return true;
  }

  #drainOnce(handler: MonitorHandler, stopped: () => boolean): void {
    this.#draining = true;
    try {
      for (let left = this.#ring.available(); left > 0 && !stopped(); left--) {
        const { frame } = this.#set;
        this.#ring.take(frame);
        if (this.#acceptable(frame)) this.#handle(handler, frame);
      }
    } finally {
      this.#draining = false;
      this.#send();
    }
  }

  #handle(handler: MonitorHandler, frame: Frame): void {
    this.counters.events++;
    frame.open = true;
    let result: unknown;
    try {
      result = handler(this.#set.current());
    } catch (error) {
      this.#threw(frame, error);
      return;
    }
    if (isPromise(result)) this.#keep(frame, result);
    else if (frame.open) this.#answerFor(frame);
  }

  /** The handler goes on with the event: it keeps the objects, and the next event gets others. */
  #keep(frame: Frame, result: PromiseLike<unknown>): void {
    this.#set = new EventSet(this, new Frame(this.#ring));
    if (frame.open) {
      frame.copyData();
      this.#kept.add(frame);
    }
    Promise.resolve(result).then(
      () => {
        if (frame.open) this.#answerFor(frame);
      },
      (error: unknown) => this.#threw(frame, error),
    );
  }

  #threw(frame: Frame, error: unknown): void {
    this.counters.thrown++;
    if (frame.open) this.#answerFor(frame);
    this.#failed(error);
  }

  /**
   * Takes one event for as long as the agent wants it, but no longer than to the next: that answers it.
   *
   * @returns null: the ring is empty, and Xen was asked to tell of the next event
   * @throws MonitorRingError the ring's counters make no sense
   */
  take(): MonitorEvent | null {
    if (this.#taken?.open) this.#answerFor(this.#taken);
    this.#taken = null;
    do {
      while (this.#ring.available() > 0) {
        const frame = new Frame(this.#ring);
        this.#ring.take(frame);
        if (!this.#acceptable(frame)) continue;
        frame.copyData();
        frame.open = true;
        this.#kept.add(frame);
        this.#taken = frame;
        this.counters.events++;
        return eventIn(this, frame);
      }
      this.#send();
    } while (this.#ring.arm());
    return null;
  }

  /** @internal */
  answer(frame: Frame, response: MonitorResponse | undefined): boolean {
    if (!frame.open) {
      this.counters.refused++;
      return false;
    }
    this.#encoder.encode(frame, response);
    if (response === undefined) this.#passOn(frame);
    this.counters.answered++;
    this.#put(frame);
    return true;
  }

  /**
   * Answers what the agent has not, and what is in the ring: nobody waits after this.
   *
   * @returns how many there were
   * @throws MonitorRingError the ring's counters make no sense; what the agent had is answered
   */
  finish(): number {
    let count = 0;
    try {
      for (const frame of [...this.#kept, this.#set.frame]) {
        if (!frame.open) continue;
        this.#answerFor(frame);
        count++;
      }
      const spare = new Frame(this.#ring);
      for (let left = this.#ring.available(); left > 0; left--) {
        this.#ring.take(spare);
        if (this.#acceptable(spare)) this.#answerFor(spare);
        count++;
      }
      return count;
    } finally {
      this.#send();
    }
  }

  /** An event of another ABI cannot be decoded. Where the vCPU's number lies has never changed, so it can go on. */
  #acceptable(frame: Frame): boolean {
    if (frame.words[VERSION] === this.layout.abi) return true;
    this.counters.malformed++;
    frame.words[VERSION] = this.layout.abi;
    this.#encoder.encodeNothing(frame);
    this.#put(frame);
    return false;
  }

  #answerFor(frame: Frame): void {
    this.counters.automatic++;
    this.#encoder.encode(frame, undefined);
    this.#passOn(frame);
    this.#put(frame);
  }

  /** An exception that the agent does not want is the guest's. */
  #passOn({ words, view }: Frame): void {
    const reason = words[REASON];
    if (reason !== VM_EVENT_REASON_SOFTWARE_BREAKPOINT && reason !== VM_EVENT_REASON_DEBUG_EXCEPTION) return;
    if (!((words[FLAGS] as number) & VM_EVENT_FLAG_VCPU_PAUSED)) return;
    const old = this.layout.abi < 6; // no pending_dbg yet
    const length = words[U + (old ? 2 : 4)] as number;
    const type = (words[U + (old ? 3 : 5)] as number) & 0xff;
    const vector = reason === VM_EVENT_REASON_SOFTWARE_BREAKPOINT ? VECTOR_BP : VECTOR_DB;
    const pending = old || vector === VECTOR_BP ? 0n : view.getBigUint64((U + 2) * 4, true);
    this.#port.inject(words[VCPU] as number, vector, type, length, pending);
  }

  #put(frame: Frame): void {
    frame.open = false;
    if (this.#kept.size > 0) this.#kept.delete(frame);
    this.#ring.answer(frame);
    if (!this.#draining) this.#send();
  }

  #send(): void {
    if (this.#ring.publish()) this.#port.notify();
  }
}
