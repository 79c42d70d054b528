/** Steps about events: what the agent heard and answered is compared, and what nobody could have answered is refused. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecordingError } from '#dist/replay/error.js';
import { replay } from '#dist/replay/replay.js';
import { dom0, GUEST, guest, type Recording, type Row, recordingOf } from './golden.js';

const A = 0x40;
const READ = { gpa: A * 4096, bytes: 4 };
const CAME_BACK = { finished: true, exception: null };

const LISTENING: readonly Row[] = [
  GUEST,
  dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: 0xff }),
  dom0('xc_domain_unpause'),
  dom0('xc_monitor_enable'),
];
const RESTRICTED: readonly Row[] = [...LISTENING, dom0('xc_set_mem_access', { gfn: A, access: 0 })];
const MEM_ACCESS = { reason: 1, flags: 1, vcpu: 0, altp2m_idx: 0, gfn: A, offset: 0, gla: A * 4096, ma_flags: 25 };

type Event = Readonly<Record<string, unknown>>;
const event = (answer: unknown, expect: Event = {}, more: Event = {}): Event => ({ expect, answer, ...more });
const heard = (step: Row, ...events: readonly Event[]): Row => ({ ...step, events: [...events] as Row[] });

function differences(recording: Recording): unknown[] {
  return replay(recording).mismatches.flatMap((mismatch) => mismatch.differences);
}

describe('events and answers', () => {
  const read = (value: number): Row => guest('read', READ, { ...CAME_BACK, value });
  const cases: readonly [what: string, steps: readonly Row[]][] = [
    ['emulated', [...RESTRICTED, heard(read(0xaaaa0001), event({ emulate: true }, MEM_ACCESS))]],
    ['the agent’s data', [...RESTRICTED, heard(read(0x44332211), event({ emulate: true, readData: '11223344' }))]],
    ['gone past', [...RESTRICTED, heard(read(0x77), event({ skip: 2, registers: { rax: 0x77 } }))]],
    [
      'again, until the access is allowed',
      [
        ...RESTRICTED,
        heard(read(0xaaaa0001), event({}), event({}), event({ call: 'allow in host' }, {}, { answerCall: { rc: 0 } })),
        read(0xaaaa0001),
      ],
    ],
    [
      'a call of the agent’s that is refused',
      [
        ...RESTRICTED,
        heard(
          read(0xaaaa0001),
          event({ call: 'allow in view' }, {}, { answerCall: { rc: -1, errno: 'EOPNOTSUPP' } }),
          event({ emulate: true }),
        ),
      ],
    ],
    [
      'a write that is not done',
      [
        ...RESTRICTED,
        heard(guest('write', { ...READ, value: 5 }, CAME_BACK), event({ emulate: 'nowrite' })),
        { do: 'checkMemory', expect: { [A]: '0xaaaa0001' } },
      ],
    ],
    [
      'a register that may not be written',
      [
        ...LISTENING,
        dom0('xc_monitor_control_registers'),
        dom0('xc_monitor_write_ctrlreg', { index: 1, enable: 1, sync: 1, bitmask: 0, onchangeonly: 1 }),
        heard(
          guest('write_cr', { index: 3, value: 0x5000 }, CAME_BACK),
          event({ deny: true }, { reason: 4, index: 1, new_value: 0x5000, old_value: 0 }),
        ),
        guest('read_cr', { index: 3 }, { value: 0 }),
      ],
    ],
    [
      'a request that need not wait',
      [
        ...LISTENING,
        dom0('xc_monitor_guest_request', { enable: 1, sync: 0, allow_userspace: 0 }),
        heard(guest('request', {}, { ...CAME_BACK, rc: 0 }), event({}, { reason: 8, flags: 0 })),
      ],
    ],
    [
      'an exception handed back, and told once more',
      [
        ...LISTENING,
        dom0('xc_monitor_software_breakpoint', { enable: 1 }),
        heard(
          guest('int3', {}, { finished: true, exception: 3, vmEvents: 2 }),
          event({ call: 'inject', nextInterrupt: true }, { reason: 6, insn_length: 1, type: 6 }),
          event({}, { reason: 12, vector: 3, type: 6 }),
        ),
      ],
    ],
    [
      'nobody answers: the guest waits, with the ring and without',
      [
        ...RESTRICTED,
        guest('read', READ, { finished: false, vmEvents: 1, shutdown: -1 }),
        dom0('xc_monitor_disable'),
        guest('nop', {}, { finished: false, vmEvents: 0 }),
      ],
    ],
  ];
  for (const [what, steps] of cases) test(what, () => assert.deepEqual(differences(recordingOf([...steps])), []));

  test('what an event told otherwise, and what its call gave otherwise, is said', () => {
    const step = heard(
      read(0xaaaa0001),
      event({ call: 'allow in host' }, { ...MEM_ACCESS, gfn: 1, ma_flags: 2 }, { answerCall: { rc: -1 } }),
    );
    assert.deepEqual(differences(recordingOf([...RESTRICTED, step])), [
      { what: 'events[0].gfn', expected: 1, got: A },
      { what: 'events[0].ma_flags', expected: 2, got: 25 },
      { what: 'events[0].answerCall.rc', expected: -1, got: 0 },
    ]);
  });

  test('an event that did not come is said', () => {
    const steps = [...LISTENING, heard(read(0xaaaa0001), event({}))];
    assert.deepEqual(differences(recordingOf(steps)), [{ what: 'events', expected: 1, got: 0 }]);
  });

  test('a domain that is destroyed while an event waits goes altogether: its ring is not held', () => {
    const steps = [...RESTRICTED, guest('read', READ, { finished: false }), dom0('xc_domain_destroy')];
    assert.deepEqual(differences(recordingOf([...steps, dom0('xc_domain_getinfo_single', {}, 'ESRCH')])), []);
  });
});

describe('what no agent can have answered is refused', () => {
  const mistakes: readonly [what: string, answer: unknown, message: RegExp, more?: Event][] = [
    ['a word', 'shrug', /events\[0\]\.answer must be "none" or/],
    ['a member', { emulat: true }, /events\[0\]\.answer\.emulat is unknown/],
    ['neither words nor an object', 7, /events\[0\]\.answer must be an object, not 7/],
    ['a flag', { deny: 'yes' }, /answer\.deny must be 0 and 1|answer\.deny must be 0/],
    ['an emulation', { emulate: 'twice' }, /answer\.emulate must be 0 and 1|answer\.emulate must be 0/],
    ['a view', { view: 70000 }, /answer\.view must be an integer from 0 to 65535/],
    ['a register', { registers: { cr3: 1 } }, /answer\.registers\.cr3 is unknown/],
    ['the instruction pointer itself', { registers: { rip: 1 } }, /answer\.registers\.rip is unknown/],
    ['a way to go', { skip: 16 }, /answer\.skip must be an integer from 1 to 15/],
    ['a call', { call: 'destroy' }, /answer\.call must be "allow in view" or/],
    ['odd digits', { emulate: true, readData: 'abc' }, /answer\.readData must be at most 324 bytes/],
    ['no bytes', { emulate: true, readData: '' }, /answer holds no bytes/],
    [
      'too long an instruction',
      { emulate: true, instruction: '90'.repeat(17) },
      /instruction must be at most 16 bytes/,
    ],
    ['data without emulation', { readData: '00' }, /readData and instruction go with emulate/],
    ['data in the place of registers', { emulate: true, readData: '00', registers: {} }, /has room for one of/],
    ['data in the place of a skip', { emulate: true, instruction: '90', skip: 1 }, /has room for one of/],
    ['a fast step and a denial', { fastSinglestep: 1, deny: true }, /fastSinglestep goes neither/],
    ['a member of the event', {}, /events\[0\]\.mood is unknown/, { mood: 'good' }],
    ['a call’s result', {}, /answerCall\.out is unknown/, { answerCall: { rc: 0, out: {} } }],
  ];
  for (const [what, answer, message, more] of mistakes) {
    test(what, () => {
      const recording = recordingOf([...RESTRICTED, heard(guest('read', READ, {}), event(answer, {}, more))]);
      assert.throws(
        () => replay(recording),
        (error) => error instanceof RecordingError && message.test(error.message),
      );
    });
  }

  for (const [what, step, message] of [
    ['a control register', guest('write_cr', { index: 2, value: 0 }, {}), /args\.index must be 0 or 3 or 4, not 2/],
    ['half a switch', dom0('xc_monitor_cpuid'), /args\.enable is missing/],
    ['a switch of one kind for another', dom0('xc_monitor_inguest_pagefault', { enable: 1 }), /disable is missing/],
    ['an option', dom0('xc_monitor_enable', { sync: 1 }), /args\.sync is unknown/],
    ['a long index', dom0('xc_monitor_write_ctrlreg', { index: 256 }), /index must be an integer from 0 to 255/],
  ] as const) {
    test(what, () => {
      assert.throws(
        () => replay(recordingOf([...LISTENING, step])),
        (error) => error instanceof RecordingError && message.test(error.message),
      );
    });
  }

  test('an instruction in the place of one that was to reach memory', () => {
    const step = heard(guest('read', READ, {}), event({ emulate: true, instruction: '90' }));
    assert.throws(() => replay(recordingOf([...RESTRICTED, step])), /cannot be made: instruction is for software_br/);
  });

  test('an exception handed back that was none', () => {
    const step = heard(guest('read', READ, {}), event({ call: 'inject' }));
    assert.throws(() => replay(recordingOf([...RESTRICTED, step])), /cannot be made: a mem_access event is about no/);
  });
});
