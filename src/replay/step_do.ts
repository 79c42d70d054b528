/** Steps that are no calls: making a guest, and dom0's looks into its memory. */

import { attempt, toldResult } from './attempt.js';
import { createGuest, readGuestPlan } from './calls_create.js';
import { RecordingError } from './error.js';
import { Expected, type Got, s32, text, u32, u64, type Value, word } from './expected.js';
import type { Fields } from './fields.js';
import { loadPage, storeBytes, zeroPage } from './memory.js';
import type { Session } from './session.js';
import { impossible, NO_GUEST, readTarget, type Step, type Taken } from './step.js';

type ReadDoStep = (fields: Fields) => Step;

const STEPS: Readonly<Record<string, ReadDoStep>> = {
  createGuest: readCreateGuest,
  zero(fields) {
    const gfn = readFrame(fields);
    return onGuest(fields, 'zero', { gfn }, (session, domid) => zeroPage(session, domid, gfn));
  },
  store(fields) {
    const gfn = readFrame(fields);
    const bytes = fields.bytes('bytes', { most: 4096 });
    const args = { gfn, bytes: fields.raw('bytes') };
    return onGuest(fields, 'store', args, (session, domid) => storeBytes(session, domid, gfn, bytes));
  },
  checkMemory: readCheckMemory,
  checkVeInfo: readCheckVeInfo,
};

export function readDoStep(fields: Fields): Step {
  const name = fields.string('do');
  const read = Object.hasOwn(STEPS, name) ? STEPS[name] : undefined;
  if (!read) throw new RecordingError(`${fields.place('do')}: ${name} is no step of a recording`);
  return read(fields);
}

function readFrame(fields: Fields): number {
  return fields.integer('gfn', 0, Number.MAX_SAFE_INTEGER);
}

function readCreateGuest(fields: Fields): Step {
  const plan = readGuestPlan(fields);
  const expect = new Expected(fields.object('expect'), { rc: s32, errno: text });
  const args: Record<string, unknown> = {};
  for (const key of fields.keys()) {
    if (!['row', 'phase', 'do', 'expect', 'memory'].includes(key)) args[key] = fields.raw(key);
  }
  return {
    call: 'createGuest',
    args,
    take(session) {
      const got = attempt(() => createGuest(session, plan));
      return { differences: expect.differences({ rc: got.rc, errno: got.errno }), told: toldResult(got) };
    },
  };
}

/** A step on the guest's memory. A page that is not there is a mismatch, whatever the step wanted with it. */
function onGuest(
  fields: Fields,
  call: string,
  args: unknown,
  body: ((session: Session, domid: number) => Taken) | ((session: Session, domid: number) => void),
): Step {
  const target = readTarget(fields);
  return {
    call,
    args,
    take(session) {
      const domid = target(session);
      if (domid === null) return impossible(NO_GUEST);
      let taken: Taken = { differences: [], told: undefined };
      const { rc, errno } = attempt(() => {
        taken = body(session, domid) ?? taken;
      });
      return rc === 0 ? taken : impossible(`the page cannot be mapped: ${errno}`);
    },
  };
}

function readCheckMemory(fields: Fields): Step {
  const pages = fields.object('expect');
  const frames = pages.keys();
  for (const frame of frames) {
    if (!/^\d{1,15}$/.test(frame)) throw new RecordingError(`${pages.place(frame)} is no frame number`);
  }
  const expect = new Expected(pages, Object.fromEntries(frames.map((frame) => [frame, word])));
  return onGuest(fields, 'checkMemory', { gfns: frames.map(Number) }, (session, domid) => {
    const got: Record<string, Value> = {};
    const told: Record<string, string> = {};
    for (const frame of frames) {
      const value = loadPage(session, domid, Number(frame)).getUint32(0, true);
      got[frame] = value;
      told[frame] = hex(value);
    }
    const differences = expect.differences(got).map((difference) => ({
      what: `frame ${difference.what}`,
      expected: hex(difference.expected),
      got: hex(difference.got),
    }));
    return { differences, told };
  });
}

function hex(value: unknown): string {
  return `0x${Number(value).toString(16)}`;
}

/** Bits of the exit qualification that say what the access was and what the frame allowed, and how the address was had. */
const QUALIFICATION = 0x1ff;

function readCheckVeInfo(fields: Fields): Step {
  fields.ignore('vcpu');
  const gfn = readFrame(fields);
  const expect = new Expected(fields.object('expect'), {
    exit_reason: u32,
    semaphore: u32,
    qual: u32,
    gla: u64,
    gpa: u64,
    eptp_index: u32,
  });
  return onGuest(fields, 'checkVeInfo', { gfn }, (session, domid) => {
    const told = veInfo(loadPage(session, domid, gfn));
    return { differences: expect.differences(told), told };
  });
}

function veInfo(page: DataView): Got {
  const u64At = (offset: number): number => Number(page.getBigUint64(offset, true));
  return {
    exit_reason: page.getUint32(0, true),
    semaphore: page.getUint32(4, true),
    qual: page.getUint32(8, true) & QUALIFICATION,
    gla: u64At(16),
    gpa: u64At(24),
    eptp_index: page.getUint16(32, true),
  };
}
