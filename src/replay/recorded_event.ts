/** One event of a recorded row: what it told, and what the agent answered. */

import {
  VM_EVENT_REASON_CPUID,
  VM_EVENT_REASON_DEBUG_EXCEPTION,
  VM_EVENT_REASON_DESCRIPTOR_ACCESS,
  VM_EVENT_REASON_EMUL_UNIMPLEMENTED,
  VM_EVENT_REASON_GUEST_REQUEST,
  VM_EVENT_REASON_INTERRUPT,
  VM_EVENT_REASON_IO_INSTRUCTION,
  VM_EVENT_REASON_MEM_ACCESS,
  VM_EVENT_REASON_MOV_TO_MSR,
  VM_EVENT_REASON_PRIVILEGED_CALL,
  VM_EVENT_REASON_SINGLESTEP,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  VM_EVENT_REASON_VMEXIT,
  VM_EVENT_REASON_WRITE_CTRLREG,
} from '../abi/vm_event.js';
import type { MonitorEvent } from '../vmi/monitor/event.js';
import { SETTABLE_REGISTERS, type SettableRegister } from '../vmi/monitor/registers.js';
import type { MonitorResponse } from '../vmi/monitor/response.js';
import { RecordingError } from './error.js';
import { Expected, flag, type Got, type Readers, s32, text, u32, u64, wide } from './expected.js';
import type { Fields } from './fields.js';

/**
 * What the agent does before it answers: lets everything happen to the event's frame, in the event's view or in the host's
 * p2m; gives the guest the exception that the event is about.
 */
const CALLS = ['allow in view', 'allow in host', 'inject'] as const;
export type AgentCall = (typeof CALLS)[number];

/** An answer, as far as it does not depend on the event. */
export interface RecordedAnswer {
  readonly call: AgentCall | null;
  readonly response: MonitorResponse;
  /** Bytes by which the instruction pointer goes on. */
  readonly skip: number;
}

/** A view of a response: the one in which memory was reported last. */
export const LAST_VIEW = -1;

export interface RecordedEvent {
  readonly expect: Expected;
  readonly answer: RecordedAnswer;
  /** What the agent's own call gave. */
  readonly answerCall: Expected | null;
}

const TOLD: Readers = {
  ...{ reason: u32, flags: u32, vcpu: u32, altp2m_idx: u32 },
  ...{ gfn: u64, offset: u64, gla: u64, ma_flags: u32 },
  ...{ index: u32, msr: u32, new_value: u64, old_value: u64 },
  ...{ leaf: u32, subleaf: u32, insn_length: u32, type: u32, pending_dbg: u64 },
  ...{ descriptor: text, is_write: flag, vector: u32, error_code: u32, cr2: u64 },
};

/** The answers of recordings that were made in C, in their words. */
const WORDS = [
  'none',
  'switch_view',
  'set_mem_access_rwx',
  'emulate',
  'view0+toggle_singlestep',
  'back_to_view+toggle_singlestep',
  'view0+fast_singlestep',
] as const;

/** Bytes of an emulated read or instruction: what the smallest `vm_event_st` has room for. */
const MOST_READ_DATA = 324;
const MOST_INSTRUCTION = 16;

export function readEvent(fields: Fields): RecordedEvent {
  fields.ignore('row');
  const expect = new Expected(fields.object('expect'), TOLD);
  const answer = typeof fields.raw('answer') === 'string' ? readWords(fields) : readAnswer(fields.object('answer'));
  const told = fields.raw('answerCall') ?? null;
  const answerCall = told === null ? null : new Expected(fields.object('answerCall'), { rc: s32, errno: text });
  fields.end();
  return { expect, answer, answerCall };
}

function readWords(fields: Fields): RecordedAnswer {
  const words = fields.oneOf('answer', WORDS);
  const view = fields.has('answerView') ? fields.integer('answerView', LAST_VIEW, 0xffff) : LAST_VIEW;
  const answer = (response: MonitorResponse, call: AgentCall | null = null): RecordedAnswer => ({
    call,
    response,
    skip: 0,
  });
  switch (words) {
    case 'none':
      return answer({});
    case 'emulate':
      return answer({ emulate: true });
    case 'switch_view':
      return answer({ view });
    case 'set_mem_access_rwx':
      return answer({}, 'allow in view');
    case 'view0+toggle_singlestep':
      return answer({ view: 0, toggleSinglestep: true });
    case 'back_to_view+toggle_singlestep':
      return answer({ view, toggleSinglestep: true });
    case 'view0+fast_singlestep':
      return answer({ view: 0, fastSinglestep: view });
  }
}

/** The members of a {@link MonitorResponse}, bytes in hexadecimal; `call` and `skip`. */
function readAnswer(fields: Fields): RecordedAnswer {
  const optional = <T>(key: string, read: () => T): T | undefined => (fields.has(key) ? read() : undefined);
  const on = (key: string): boolean | undefined => optional(key, () => fields.flag(key));
  const given = {
    emulate: optional('emulate', () => (fields.raw('emulate') === 'nowrite' ? 'nowrite' : fields.flag('emulate'))),
    readData: optional('readData', () => fields.bytes('readData', { most: MOST_READ_DATA })),
    instruction: optional('instruction', () => fields.bytes('instruction', { most: MOST_INSTRUCTION })),
    deny: on('deny'),
    toggleSinglestep: on('toggleSinglestep'),
    fastSinglestep: optional('fastSinglestep', () => fields.u16('fastSinglestep')),
    view: optional('view', () => fields.u16('view')),
    registers: optional('registers', () => readRegisters(fields.object('registers'))),
    nextInterrupt: on('nextInterrupt'),
  } as const;
  const call = optional('call', () => fields.oneOf('call', CALLS)) ?? null;
  const skip = optional('skip', () => fields.integer('skip', 1, 15)) ?? 0;
  fields.end();
  const response: MonitorResponse = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== false),
  );
  checkAnswer(fields.at, response, skip);
  return { call, response, skip };
}

function readRegisters(fields: Fields): Partial<Record<SettableRegister, number | bigint>> {
  const registers: Partial<Record<SettableRegister, number | bigint>> = {};
  for (const name of SETTABLE_REGISTERS) {
    if (name !== 'rip' && fields.has(name)) registers[name] = fields.u64(name);
  }
  fields.end();
  return registers;
}

/** What no agent of this package can send: {@link MonitorResponse} says why. */
function checkAnswer(at: string, response: MonitorResponse, skip: number): void {
  const { emulate, deny, fastSinglestep, readData, instruction, registers } = response;
  const data = [readData, instruction, registers ?? (skip > 0 ? {} : undefined)].filter((one) => one !== undefined);
  if (data.length > 1) {
    throw new RecordingError(`${at} has room for one of readData, instruction, and registers with skip`);
  }
  if ((readData || instruction) && !emulate) {
    throw new RecordingError(`${at}: readData and instruction go with emulate`);
  }
  if (readData?.length === 0 || instruction?.length === 0) throw new RecordingError(`${at} holds no bytes`);
  if (fastSinglestep !== undefined && (emulate || deny)) {
    throw new RecordingError(`${at}: fastSinglestep goes neither with emulate nor with deny`);
  }
}

/** What an event tells, by the names that recordings use. */
export function told(event: MonitorEvent): Got {
  const { flags, vcpu, altp2mIdx } = event;
  const head = (reason: number): Got => ({ reason, flags, vcpu, altp2m_idx: altp2mIdx });
  switch (event.reason) {
    case 'mem_access':
      return {
        ...head(VM_EVENT_REASON_MEM_ACCESS),
        gfn: event.gfn,
        offset: event.offset,
        gla: wide(event.gla ?? 0),
        ma_flags: event.accessFlags,
      };
    case 'write_ctrlreg': {
      const { index, newValue, oldValue } = event;
      return { ...head(VM_EVENT_REASON_WRITE_CTRLREG), index, new_value: wide(newValue), old_value: wide(oldValue) };
    }
    case 'mov_to_msr': {
      const { msr, newValue, oldValue } = event;
      return { ...head(VM_EVENT_REASON_MOV_TO_MSR), msr, new_value: wide(newValue), old_value: wide(oldValue) };
    }
    case 'software_breakpoint':
    case 'debug_exception': {
      const { gfn, insnLength, type, pendingDbg } = event;
      const isBreakpoint = event.reason === 'software_breakpoint';
      return {
        ...head(isBreakpoint ? VM_EVENT_REASON_SOFTWARE_BREAKPOINT : VM_EVENT_REASON_DEBUG_EXCEPTION),
        ...{ gfn, insn_length: insnLength, type },
        ...(!isBreakpoint && { pending_dbg: wide(pendingDbg) }),
      };
    }
    case 'singlestep':
      return { ...head(VM_EVENT_REASON_SINGLESTEP), gfn: event.gfn };
    case 'cpuid': {
      const { leaf, subleaf, insnLength } = event;
      return { ...head(VM_EVENT_REASON_CPUID), leaf, subleaf, insn_length: insnLength };
    }
    case 'descriptor_access': {
      const { descriptor, isWrite } = event;
      return { ...head(VM_EVENT_REASON_DESCRIPTOR_ACCESS), descriptor, is_write: Number(isWrite) };
    }
    case 'interrupt': {
      const { vector, type, errorCode, cr2 } = event;
      return { ...head(VM_EVENT_REASON_INTERRUPT), vector, type, error_code: errorCode, cr2: wide(cr2) };
    }
    case 'guest_request':
      return head(VM_EVENT_REASON_GUEST_REQUEST);
    case 'privileged_call':
      return head(VM_EVENT_REASON_PRIVILEGED_CALL);
    case 'emul_unimplemented':
      return head(VM_EVENT_REASON_EMUL_UNIMPLEMENTED);
    case 'vmexit':
      return head(VM_EVENT_REASON_VMEXIT);
    case 'io_instruction':
      return head(VM_EVENT_REASON_IO_INSTRUCTION);
    case 'unknown':
      return head(event.code);
  }
}
