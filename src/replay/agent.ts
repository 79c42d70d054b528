/**
 * The introspection agent of the recordings: takes each event that the guest causes from the ring and answers it as
 * recorded. It is the same on the software Xen and on a real one, and has its turns by {@link Agent.poll}, while somebody
 * waits for the guest.
 */

import { XENMEM_access } from '../abi/memory.js';
import { vmEventLayoutOf } from '../abi/vm_event.js';
import { XenError } from '../hypervisor/error.js';
import type { EventChannels } from '../hypervisor/event_channels.js';
import type { MonitorEvent } from '../vmi/monitor/event.js';
import { MonitorLoop } from '../vmi/monitor/loop.js';
import type { MonitorResponse } from '../vmi/monitor/response.js';
import { MonitorRing } from '../vmi/monitor/ring.js';
import { xc_altp2m_set_mem_access } from '../xc/altp2m.js';
import { xc_hvm_inject_trap } from '../xc/inject.js';
import type { XcInterface } from '../xc/interface.js';
import { xc_set_mem_access } from '../xc/mem_access.js';
import { xc_monitor_disable, xc_monitor_enable } from '../xc/monitor.js';
import type { VmEventRing } from '../xc/vm_event.js';
import { type Attempt, attempt, toldResult } from './attempt.js';
import type { Got } from './expected.js';
import { type AgentCall, LAST_VIEW, type RecordedAnswer, type RecordedEvent, told } from './recorded_event.js';
import type { Difference } from './result.js';

const VECTOR_DB = 1;
const VECTOR_BP = 3;
/** X86_EVENT_NO_EC */
const NO_ERROR_CODE = 0xffff_ffff;

/** An event as `events` of a recording holds it, without its answer. */
export interface ToldEvent {
  readonly expect: Got;
  readonly answerCall?: Record<string, unknown>;
}

/** What came of the events of one row. */
export interface AgentReport {
  readonly events: readonly ToldEvent[];
  readonly differences: readonly Difference[];
}

/** The ring, and who is told of answers. */
interface Listening {
  readonly ring: VmEventRing;
  readonly channels: EventChannels;
  readonly loop: MonitorLoop;
}

/** Plays the agent of one domain, row after row. */
export class Agent {
  readonly #xch: XcInterface;
  readonly #domid: number;
  #listening: Listening | null = null;
  #script: readonly RecordedEvent[] = [];
  #events: ToldEvent[] = [];
  #differences: Difference[] = [];
  #failure: unknown = null;
  /** The view in which memory was last reported: where a step goes back to when the recording does not say. */
  #lastView = 0;

  constructor(xch: XcInterface, domid: number) {
    this.#xch = xch;
    this.#domid = domid;
  }

  /** xc_monitor_enable. */
  enable(): void {
    const ring = xc_monitor_enable(this.#xch, this.#domid);
    this.letGo();
    const { hypervisor, abi } = this.#xch;
    const channels = hypervisor.eventChannels();
    const port = channels.bindInterdomain(this.#domid, ring.port);
    if (port < 0) {
      ring.ring.close();
      channels.close();
      throw new XenError('xenevtchn_bind_interdomain', port, { domid: this.#domid });
    }
    const layout = vmEventLayoutOf(abi.release);
    const loop = new MonitorLoop(new MonitorRing(ring.ring.bytes, layout), this.#domid, layout, abi.release, {
      notify: () => void channels.notify(port),
      flush: () => {},
      inject: () => {}, // every answer is the recording's
    });
    this.#listening = { ring, channels, loop };
  }

  /** xc_monitor_disable. Who waits for an answer goes on to wait. */
  disable(): void {
    xc_monitor_disable(this.#xch, this.#domid);
    this.letGo();
  }

  /** Lets go of the ring page: a domain with mapped pages stays, dying, when it is destroyed. */
  letGo(): void {
    this.#listening?.ring.ring.close();
    this.#listening?.channels.close();
    this.#listening = null;
  }

  /** Prepares for the events of one row. */
  begin(script: readonly RecordedEvent[]): void {
    this.#script = script;
    this.#events = [];
    this.#differences = [];
  }

  /** What there was since {@link begin}. */
  end(): AgentReport {
    this.poll();
    return { events: this.#events, differences: this.#differences };
  }

  /** Takes what is in the ring, and answers. False: there was nothing. */
  poll(): boolean {
    if (!this.#listening) return false;
    const { loop } = this.#listening;
    const before = loop.counters.events;
    loop.drain(this.#handle, this.#failed, never);
    if (this.#failure !== null) throw this.#failure;
    return loop.counters.events > before;
  }

  readonly #failed = (error: unknown): void => {
    this.#failure = error;
  };

  readonly #handle = (event: MonitorEvent): unknown => {
    const index = this.#events.length;
    const recorded = this.#script[index];
    const expect = told(event);
    if (event.reason === 'mem_access') this.#lastView = event.altp2mIdx;
    if (!recorded) {
      this.#events.push({ expect });
      // an event that the recording does not know has no answer: who waits for one goes on to wait
      return event.paused ? new Promise(() => {}) : event.respond({});
    }
    const call = recorded.answer.call && this.#call(recorded.answer.call, event);
    this.#differences.push(...recorded.expect.differences(expect, `events[${index}].`));
    if (call) {
      const { rc, errno } = call;
      const differences = recorded.answerCall?.differences({ rc, errno }, `events[${index}].answerCall.`);
      this.#differences.push(...(differences ?? []));
    }
    this.#events.push({ expect, ...(call && { answerCall: toldResult(call) }) });
    return event.respond(this.#response(event, recorded.answer));
  };

  #response(event: MonitorEvent, { response, skip }: RecordedAnswer): MonitorResponse {
    const { view, fastSinglestep } = response;
    return {
      ...response,
      ...(view === LAST_VIEW && { view: this.#lastView }),
      ...(fastSinglestep === LAST_VIEW && { fastSinglestep: this.#lastView }),
      ...(skip > 0 && { registers: { ...response.registers, rip: event.regs.rip + BigInt(skip) } }),
    };
  }

  #call(call: AgentCall, event: MonitorEvent): Attempt {
    const gfn = 'gfn' in event ? event.gfn : 0;
    return attempt(() => {
      if (call === 'inject') this.#inject(event);
      else if (call === 'allow in host') xc_set_mem_access(this.#xch, this.#domid, XENMEM_access.rwx, gfn, 1);
      else xc_altp2m_set_mem_access(this.#xch, this.#domid, event.altp2mIdx, gfn, XENMEM_access.rwx);
    });
  }

  #inject(event: MonitorEvent): void {
    if (event.reason !== 'software_breakpoint' && event.reason !== 'debug_exception') {
      throw new TypeError(`a ${event.reason} event is about no exception`);
    }
    const isBreakpoint = event.reason === 'software_breakpoint';
    const vector = isBreakpoint ? VECTOR_BP : VECTOR_DB;
    const pending = isBreakpoint ? 0n : event.pendingDbg;
    const { vcpu, type, insnLength } = event;
    xc_hvm_inject_trap(this.#xch, this.#domid, vcpu, vector, type, NO_ERROR_CODE, insnLength, pending);
  }
}

function never(): false {
  return false;
}
