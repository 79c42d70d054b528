/** Steps that the guest's processor takes. */

import { HVMOP_altp2m } from '../abi/hvm/hvm_op.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import type { Command, CommandResult } from './driver.js';
import { RecordingError } from './error.js';
import { Expected, type Got, s32, u32, vector, yesNo } from './expected.js';
import { Fields } from './fields.js';
import { storeBytes, zeroPage } from './memory.js';
import { readEvent } from './recorded_event.js';
import type { Session } from './session.js';
import { impossible, NO_GUEST, readTarget, type Step } from './step.js';
import { RAW_ALTP2M, readOperation } from './step_dom0.js';

/** Where dom0 puts the argument of the guest's own hypercalls. */
const ARGUMENT_FRAME = 0x60;
const ARGUMENT = ARGUMENT_FRAME * 4096;
/** What a recorder notes for a hypercall that did not come back. */
const NO_RESULT = -999;

/** Commands whose value is told. */
const GIVES_VALUE: ReadonlySet<Command['kind']> = new Set([
  ...(['read', 'call', 'vmfunc_read', 'cpuid', 'read_cr', 'rdmsr'] as const),
]);

/** A command, and what dom0 has to do before the guest can take it. */
interface Prepared {
  readonly command: Command;
  readonly before?: (session: Session, domid: number) => void;
}

type ReadCommand = (args: Fields) => Prepared;

const COMMANDS: Readonly<Record<string, ReadCommand>> = {
  read: (args) => ({ command: { kind: 'read', gpa: readAddress(args) } }),
  write: (args) => ({ command: { kind: 'write', gpa: readAddress(args), value: args.u32('value') } }),
  call: (args) => ({ command: { kind: 'call', gpa: args.u32('gpa') } }),
  ud2: () => ({ command: { kind: 'ud2' } }),
  nop: () => ({ command: { kind: 'nop' } }),
  request: () => ({ command: { kind: 'request' } }),
  cpuid: (args) => ({ command: { kind: 'cpuid', leaf: args.u32('leaf') } }),
  write_cr: (args) => ({ command: { kind: 'write_cr', index: readCr(args), value: args.u32('value') } }),
  read_cr: (args) => ({ command: { kind: 'read_cr', index: readCr(args) } }),
  wrmsr: (args) => ({ command: { kind: 'wrmsr', msr: args.u32('msr'), value: args.u32('value') } }),
  rdmsr: (args) => ({ command: { kind: 'rdmsr', msr: args.u32('msr') } }),
  int3: () => ({ command: { kind: 'int3' } }),
  trap: () => ({ command: { kind: 'trap' } }),
  sgdt: () => ({ command: { kind: 'sgdt' } }),
  lgdt: () => ({ command: { kind: 'lgdt' } }),
  vmfunc: (args) => ({ command: { kind: 'vmfunc', leaf: args.u32('leaf'), index: args.u32('index') } }),
  vmfunc_read: (args) => {
    args.oneOf('then', ['vmfunc(0,0)']);
    return {
      command: { kind: 'vmfunc_read', leaf: args.u32('leaf'), index: args.u32('index'), gpa: readAddress(args) },
    };
  },
  [RAW_ALTP2M]: (args) => {
    const encode = readOperation(args);
    return {
      command: { kind: 'vmcall', op: __HYPERVISOR_hvm_op, args: [HVMOP_altp2m, ARGUMENT] },
      before(session, domid) {
        zeroPage(session, domid, ARGUMENT_FRAME);
        storeBytes(session, domid, ARGUMENT_FRAME, encode(domid));
      },
    };
  },
};

/** The guest's instructions move 4 bytes, no more and no fewer. */
function readAddress(args: Fields): number {
  args.oneOf('bytes', [4]);
  return args.u32('gpa');
}

function readCr(args: Fields): 0 | 3 | 4 {
  return args.oneOf('index', [0, 3, 4]);
}

export function readGuestStep(fields: Fields, call: string): Step {
  const read = Object.hasOwn(COMMANDS, call) ? COMMANDS[call] : undefined;
  if (!read) throw new RecordingError(`${fields.place('call')}: ${call} is nothing that a guest does in a recording`);
  fields.ignore('label');
  const vcpu = fields.u32('vcpu');
  const args = fields.object('args');
  const { command, before } = read(args);
  args.end();
  const events = fields.has('events')
    ? fields.list('events').map((event, i) => readEvent(new Fields(event, `${fields.place('events')}[${i}]`)))
    : [];
  const expect = new Expected(fields.object('expect'), {
    finished: yesNo,
    exception: vector,
    value: u32,
    rc: s32,
    viewBefore: s32,
    viewAfter: s32,
    vmEvents: u32,
    shutdown: s32,
  });
  const target = readTarget(fields);
  return {
    call: `guest ${call}`,
    args: fields.raw('args'),
    take(session) {
      const domid = target(session);
      if (domid === null) return impossible(NO_GUEST);
      const agent = session.agent(domid);
      before?.(session, domid);
      const viewBefore = session.viewOf(domid, vcpu);
      agent.begin(events);
      const result = session.driver(domid, vcpu)?.run(command);
      const report = agent.end();
      const got: Got = {
        ...told(command, result),
        viewBefore,
        viewAfter: session.viewOf(domid, vcpu),
        vmEvents: report.events.length,
        shutdown: session.shutdownOf(domid),
      };
      return {
        differences: [
          ...expect.differences(got),
          ...report.differences,
          ...missing(events.length, report.events.length),
        ],
        told: got,
        events: report.events,
      };
    },
  };
}

function told(command: Command, result: CommandResult | undefined): Got {
  const finished = result?.finished ?? false;
  const exception = finished ? (result?.exception ?? null) : undefined;
  const value = finished ? result?.value : undefined;
  const { kind } = command;
  if (kind === 'vmcall' || kind === 'request') return { finished, exception, rc: value ?? NO_RESULT };
  return { finished, exception, value: GIVES_VALUE.has(kind) && exception === null ? value : undefined };
}

/** Events that were recorded and did not come. */
function missing(recorded: number, count: number): { what: string; expected: number; got: number }[] {
  return count < recorded ? [{ what: 'events', expected: recorded, got: count }] : [];
}
