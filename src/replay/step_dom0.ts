/** Steps that dom0 takes by a call. */

import { errnoName } from '../abi/errno.js';
import { HVMOP_altp2m, xen_hvm_altp2m_op } from '../abi/hvm/hvm_op.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import { attempt, toldResult } from './attempt.js';
import type { CallTable } from './call.js';
import { ALTP2M_CALLS } from './calls_altp2m.js';
import { CREATE_CALLS } from './calls_create.js';
import { DOMAIN_CALLS } from './calls_domain.js';
import { HOST_CALLS } from './calls_host.js';
import { MONITOR_CALLS } from './calls_monitor.js';
import { PCI_CALLS } from './calls_pci.js';
import { RecordingError } from './error.js';
import { Expected, s32, text } from './expected.js';
import type { Fields } from './fields.js';
import type { Session } from './session.js';
import { impossible, NO_GUEST, readTarget, type Step } from './step.js';

const CALLS: CallTable = {
  ...ALTP2M_CALLS,
  ...DOMAIN_CALLS,
  ...MONITOR_CALLS,
  ...CREATE_CALLS,
  ...HOST_CALLS,
  ...PCI_CALLS,
};
/** The raw hypercall, whose bytes the row gives. */
export const RAW_ALTP2M = 'hvm_op altp2m';

export function readDom0Step(fields: Fields, call: string): Step {
  if (call === RAW_ALTP2M) return readRaw(fields);
  const spec = Object.hasOwn(CALLS, call) ? CALLS[call] : undefined;
  if (!spec) throw new RecordingError(`${fields.place('call')}: ${call} is no call that dom0 makes in a recording`);
  const args = fields.object('args');
  const expect = fields.object('expect');
  const expectedOut = expect.raw('out');
  const make = spec.prepare(args, { expectedOut });
  args.end();
  const out = expect.has('out') ? new Expected(expect.object('out'), spec.out ?? {}) : null;
  const result = readResult(expect);
  const target = readTarget(fields);
  return {
    call,
    args: fields.raw('args'),
    take(session) {
      const domid = target(session) ?? (spec.needsNoGuest ? 0 : null);
      if (domid === null) return impossible(NO_GUEST);
      const got = attempt(() => make(session, domid));
      const given = { ...spec.always?.(session, domid), ...got.out };
      const differences = [
        ...result.differences({ rc: got.rc, errno: got.errno }),
        ...(out?.differences(given, 'out.') ?? []),
      ];
      return { differences, told: { ...toldResult(got), ...(Object.keys(given).length > 0 && { out: given }) } };
    },
  };
}

/** `rc` and `errno`; `out` must have been read. */
function readResult(expect: Fields): Expected {
  const { rc, errno } = { rc: s32, errno: text };
  return new Expected(expect, { rc, errno });
}

/** Reads the 80 bytes of an operation. `domain` is a number or `"guest"`. */
export function readOperation(args: Fields): (current: number) => Uint8Array {
  const F = xen_hvm_altp2m_op.at;
  args.ignore('name');
  const version = args.u32('version');
  const cmd = args.u32('cmd');
  const domain = args.raw('domain') === 'guest' ? null : args.u16('domain');
  const pad1 = args.u16('pad1');
  const pad2 = args.u32('pad2');
  const union = args.bytes('u', { length: xen_hvm_altp2m_op.size - F.u });
  return (current) => {
    const bytes = new Uint8Array(xen_hvm_altp2m_op.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(F.version, version, true);
    view.setUint32(F.cmd, cmd, true);
    view.setUint16(F.domain, domain ?? current, true);
    view.setUint16(F.pad1, pad1, true);
    view.setUint32(F.pad2, pad2, true);
    bytes.set(union, F.u);
    return bytes;
  };
}

function readRaw(fields: Fields): Step {
  const args = fields.object('args');
  const needsGuest = args.raw('domain') === 'guest';
  const send = args.has('pointer') ? sendPointer(args.u64('pointer')) : sendBytes(readOperation(args));
  args.end();
  const expect = readResult(fields.object('expect'));
  const target = readTarget(fields);
  return {
    call: RAW_ALTP2M,
    args: fields.raw('args'),
    take(session) {
      const domid = target(session) ?? (needsGuest ? null : 0);
      if (domid === null) return impossible(NO_GUEST);
      const rc = send(session, domid);
      const got = { rc: rc < 0 ? -1 : rc, errno: rc < 0 ? errnoName(rc) : '0' };
      return { differences: expect.differences(got), told: toldResult(got) };
    },
  };
}

type Send = (session: Session, domid: number) => number;

function sendPointer(address: number | bigint): Send {
  return ({ xch }) => xch.hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, Number(address));
}

function sendBytes(encode: (current: number) => Uint8Array): Send {
  return ({ xch }, domid) => {
    const { hypervisor } = xch;
    using operand = hypervisor.arena.alloc(xen_hvm_altp2m_op.size);
    operand.bytes.set(encode(domid));
    return hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, operand.address);
  };
}
