/** A recording that says something unknown is an error with its place, never skipped and never a crash. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RecordingError } from '#dist/replay/error.js';
import { replay } from '#dist/replay/replay.js';
import { dom0, GUEST, golden, guest, type Recording, type Row, recordingOf } from './golden.js';

function refused(recording: unknown, message: RegExp): void {
  assert.throws(
    () => replay(recording),
    (error) => error instanceof RecordingError && message.test(error.message),
  );
}

/** A recording that is one step away from a good one. */
function withStep(step: Row): Recording {
  return recordingOf([GUEST, dom0('xc_domain_unpause'), step]);
}

const READ: Row = guest('read', { gpa: 0x40000, bytes: 4 }, { finished: true });
const RAW = { version: 1, cmd: 16, domain: 'guest', pad1: 0, pad2: 0, u: '00'.repeat(64) };

describe('what nobody knows', () => {
  const mistakes: readonly [what: string, step: Row, message: RegExp][] = [
    ['a do step', { do: 'dance' }, /^steps\[2\]\.do: dance is no step/],
    ['a step of neither kind', {}, /^steps\[2\]\.as is missing: it must be "dom0" or "guest"/],
    ['an actor', { ...READ, as: 'dom1' }, /^steps\[2\]\.as must be "dom0" or "guest", not "dom1"/],
    ['a call', dom0('xc_altp2m_dance'), /^steps\[2\]\.call: xc_altp2m_dance is no call/],
    ['a name that every object has', dom0('toString'), /^steps\[2\]\.call: toString is no call/],
    ['a command', { ...READ, call: 'dance' }, /^steps\[2\]\.call: dance is nothing that a guest does/],
    ['a key of a step', { ...READ, mood: 'good' }, /^steps\[2\]\.mood is unknown/],
    ['an argument', dom0('xc_altp2m_destroy_view', { view: 1, force: 1 }), /^steps\[2\]\.args\.force is unknown/],
    ['no argument', dom0('xc_altp2m_destroy_view'), /^steps\[2\]\.args\.view is missing/],
    ['an expectation', { ...READ, expect: { finished: true, luck: 1 } }, /^steps\[2\]\.expect\.luck is unknown/],
    ['no expectation', { as: 'dom0', call: 'xc_domain_pause', args: {} }, /^steps\[2\]\.expect is missing/],
    ['an output', dom0('xc_domain_pause', {}, { view: 1 }), /^steps\[2\]\.expect\.out\.view is unknown/],
    ['a width', guest('read', { gpa: 0, bytes: 8 }, {}), /^steps\[2\]\.args\.bytes must be 4, not 8/],
    ['a parameter', dom0('xc_hvm_param_get', { param: 'COLOUR' }), /COLOUR is no parameter/],
    ['a reason', dom0('xc_domain_shutdown', { reason: 'boredom' }), /boredom is no reason/],
    [
      'a long view',
      dom0('xc_altp2m_destroy_view', { view: 65536 }),
      /view must be an integer from 0 to 65535, not 65536/,
    ],
    ['a fraction', dom0('xc_altp2m_destroy_view', { view: 0.5 }), /view must be an integer/],
    ['a short union', dom0('hvm_op altp2m', { ...RAW, u: '00' }), /u must be 64 bytes in hexadecimal, not "00"/],
    ['an answer', { ...READ, events: [{ expect: {}, answer: 'shrug' }] }, /^steps\[2\]\.events\[0\]\.answer must be/],
    [
      'an event',
      { ...READ, events: [{ expect: { luck: 1 }, answer: 'none' }] },
      /events\[0\]\.expect\.luck is unknown/,
    ],
    [
      'a list that is cut short',
      dom0('xc_altp2m_set_mem_access_multi', { view: 1, nr: 9, pfns: [1], access: [1] }),
      /lists 1 of 9 entries/,
    ],
    ['code', guest('call', { gpa: 0x40000 }, {}), /the guest's code at 0x40000 \(opcode 0x1\) is not known/],
  ];
  for (const [what, step, message] of mistakes) test(what, () => refused(withStep(step), message));

  test('a key of the file, of the processor, and a release', () => {
    refused(recordingOf([], { weather: 'fine' }), /^weather is unknown/);
    refused(recordingOf([], { release: '4.13' }), /^release must be "4\.14" or/);
    refused(recordingOf([], { cpu: { ...recordingOf([]).cpu, colour: 'red' } }), /^cpu\.colour is unknown/);
    refused(recordingOf([], { cpu: { ...recordingOf([]).cpu, hap: 1 } }), /^cpu\.hap must be true or false, not 1/);
  });

  test('nothing is replayed of a file with a mistake at its end', () => {
    refused(recordingOf([...golden('mixed').steps, { do: 'dance' }]), /^steps\[507\]\.do/);
  });
});

describe('answers that cannot be had are mismatches', () => {
  test('a guest that the model does not make', () => {
    const refusedGuest = { ...GUEST, hap: false };
    const { mismatches, total } = replay(
      recordingOf([refusedGuest, dom0('xc_domain_pause'), READ, { do: 'zero', gfn: 1 }]),
    );
    assert.equal(total, 4);
    assert.equal(mismatches.length, 4);
    assert.deepEqual(mismatches[0]?.differences[0], { what: 'rc', expected: 0, got: -1 });
    assert.match(String(mismatches[1]?.differences[0]?.got), /there is no guest/);
  });

  test('a page that is not there', () => {
    const { mismatches } = replay(withStep({ do: 'store', gfn: 0x180, bytes: '00' }));
    assert.match(String(mismatches[0]?.differences[0]?.got), /cannot be mapped: EINVAL/);
  });

  test('a guest that is paused does not come back', () => {
    const { mismatches } = replay(recordingOf([GUEST, { ...READ, expect: { finished: false, viewBefore: -1 } }]));
    assert.deepEqual(mismatches, []);
  });

  test('an event that was not recorded is not answered', () => {
    const steps = [
      GUEST,
      dom0('xc_hvm_param_set', { param: 'ALTP2M', value: 2 }),
      dom0('xc_altp2m_set_domain_state', { state: 1 }),
      dom0('xc_domain_unpause'),
      dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: 1008 }),
      dom0('xc_monitor_enable'),
      dom0('xc_altp2m_create_view', { default_access: 7 }, { view: 1 }),
      dom0('xc_altp2m_set_mem_access', { view: 1, gfn: 0x44, access: 0 }),
      dom0('xc_altp2m_switch_to_view', { view: 1 }, { vcpu0IdxAfter: 1 }),
      guest('read', { gpa: 0x44000, bytes: 4 }, { finished: false, vmEvents: 1, shutdown: -1 }),
    ];
    assert.deepEqual(replay(recordingOf(steps)).mismatches, []);
  });
});

/** Places in a JSON value that can be changed: objects and lists with one of their keys. */
function places(value: unknown): [object: Record<string, unknown>, key: string][] {
  if (typeof value !== 'object' || value === null) return [];
  const object = value as Record<string, unknown>;
  return Object.keys(object).flatMap((key): ReturnType<typeof places> => [[object, key], ...places(object[key])]);
}

describe('recordings with changes', () => {
  const junk = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(-1, 2 ** 53, 2 ** 64, 1e300, 65536, 0.5, '', 'INVALID', '0x', null, [], {}),
  );

  for (const name of ['extra', 'special', 'external']) {
    test(`${name}: replayed or refused, never a crash`, () => {
      // a fresh copy for each run; the places are the same in every one
      const count = places(golden(name)).length;
      const change = fc.record({ at: fc.nat(count - 1), kind: fc.constantFrom('set', 'drop', 'copy'), value: junk });
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (list) => {
          const recording = golden(name);
          const all = places(recording);
          for (const { at, kind, value } of list) {
            const [object, key] = all[at] ?? [recording, 'steps'];
            if (kind === 'set') object[key] = value;
            else if (kind === 'drop') delete object[key];
            else object[`${key}2`] = object[key];
          }
          try {
            const { matched, total, mismatches } = replay(recording);
            assert.equal(matched + mismatches.length, total);
          } catch (error) {
            assert.ok(error instanceof RecordingError, String(error));
          }
        }),
        { numRuns: 150 },
      );
    });
  }

  test('any JSON is replayed or refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.throws(() => replay(value), RecordingError);
      }),
    );
  });
});
