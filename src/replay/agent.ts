/** The introspection agent of the recordings: takes each event that the guest causes and answers it as recorded. */

import { XENMEM_access } from '../abi/memory.js';
import { VM_EVENT_REASON_MEM_ACCESS } from '../abi/vm_event.js';
import type { MonitorListener, VmEvent, VmEventAnswer } from '../model/index.js';
import { xc_altp2m_set_mem_access } from '../xc/altp2m.js';
import type { XcInterface } from '../xc/interface.js';
import { attempt } from './attempt.js';
import { Expected, type Got, s32, text, u32, u64 } from './expected.js';
import type { Fields } from './fields.js';
import type { Difference } from './result.js';

const ANSWERS = [
  'none',
  'switch_view',
  'set_mem_access_rwx',
  'emulate',
  'view0+toggle_singlestep',
  'back_to_view+toggle_singlestep',
  'view0+fast_singlestep',
] as const;

/** One event of a recorded row: what it was, and what the agent answered. */
export interface RecordedEvent {
  readonly expect: Expected;
  readonly answer: (typeof ANSWERS)[number];
  /** -1: not told. */
  readonly answerView: number;
  /** What the agent's own call gave. */
  readonly answerCall: Expected | null;
}

export function readEvent(fields: Fields): RecordedEvent {
  fields.ignore('row');
  const expect = new Expected(fields.object('expect'), {
    reason: u32,
    flags: u32,
    vcpu: u32,
    altp2m_idx: u32,
    gfn: u64,
    offset: u64,
    gla: u64,
    ma_flags: u32,
  });
  const answer = fields.oneOf('answer', ANSWERS);
  const answerView = fields.has('answerView') ? fields.integer('answerView', -1, 0xffff) : -1;
  const told = fields.raw('answerCall') ?? null;
  const answerCall = told === null ? null : new Expected(fields.object('answerCall'), { rc: s32, errno: text });
  fields.end();
  return { expect, answer, answerView, answerCall };
}

/** Plays the agent of one domain, row after row. */
export class Agent {
  readonly #xch: XcInterface;
  readonly #domid: number;
  #script: readonly RecordedEvent[] = [];
  #differences: Difference[] = [];
  #count = 0;
  /** The view in which memory was last reported: where a step goes back to when the recording does not say. */
  #lastView = 0;

  constructor(xch: XcInterface, domid: number) {
    this.#xch = xch;
    this.#domid = domid;
  }

  /** Prepares for the events of one row. */
  begin(script: readonly RecordedEvent[]): void {
    this.#script = script;
    this.#differences = [];
    this.#count = 0;
  }

  /** How many events there were since {@link begin}, and how they differed. */
  end(): { readonly count: number; readonly differences: readonly Difference[] } {
    return { count: this.#count, differences: this.#differences };
  }

  readonly listener: MonitorListener = (event) => {
    const index = this.#count++;
    const recorded = this.#script[index];
    // an event that the recording does not know has no answer, and the vCPU waits for one
    if (!recorded) return null;
    if (event.reason === VM_EVENT_REASON_MEM_ACCESS) this.#lastView = event.altp2mIndex;
    this.#differences.push(...recorded.expect.differences(told(event), `events[${index}].`));
    return this.#answer(event, recorded, index);
  };

  #answer(event: VmEvent, { answer, answerView, answerCall }: RecordedEvent, index: number): VmEventAnswer {
    const view = answerView < 0 ? this.#lastView : answerView;
    switch (answer) {
      case 'none':
        return {};
      case 'emulate':
        return { emulate: true };
      case 'switch_view':
        return { alternateP2m: view };
      case 'view0+toggle_singlestep':
        return { alternateP2m: 0, toggleSinglestep: true };
      case 'back_to_view+toggle_singlestep':
        return { alternateP2m: view, toggleSinglestep: true };
      case 'view0+fast_singlestep':
        return { alternateP2m: 0, fastSinglestep: view };
      case 'set_mem_access_rwx': {
        const gfn = event.memAccess?.gfn ?? 0;
        const got = attempt(() =>
          xc_altp2m_set_mem_access(this.#xch, this.#domid, event.altp2mIndex, gfn, XENMEM_access.rwx),
        );
        const differences = answerCall?.differences({ rc: got.rc, errno: got.errno }, `events[${index}].answerCall.`);
        this.#differences.push(...(differences ?? []));
        return {};
      }
    }
  }
}

function told({ reason, flags, vcpuId, altp2mIndex, memAccess }: VmEvent): Got {
  return {
    reason,
    flags,
    vcpu: vcpuId,
    altp2m_idx: altp2mIndex,
    ...(memAccess && {
      gfn: memAccess.gfn,
      offset: memAccess.offset,
      gla: memAccess.gla,
      ma_flags: memAccess.flags,
    }),
  };
}
