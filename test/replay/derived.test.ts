/**
 * What real Xen answers in cases that no recording here holds, derived from those that are here and from how releases
 * and processors differ.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { replay } from '#dist/replay/replay.js';
import { dom0, GUEST, golden, guest, type Recording, type Row, recordingOf } from './golden.js';

function matches(recording: Recording): void {
  assert.deepEqual(replay(recording).mismatches, []);
}

function answered(step: Row, answer: Row['args'] | string | undefined): Row {
  return { ...step, expect: dom0('', {}, answer).expect ?? {} };
}

/** Since 4.19 the mode is given at creation: the parameter tells it at once, cannot be set, and the domain's state can. */
function modeAtCreation(step: Row, mode: string, number: number): Row {
  const { phase, call } = step;
  if (step['do'] === 'createGuest') return { ...step, altp2mModeAtCreate: mode };
  if (call === 'xc_hvm_param_set' && step.args?.['param'] === 'ALTP2M') return answered(step, 'EEXIST');
  if (call === 'xc_hvm_param_get' && step.args?.['param'] === 'ALTP2M') return answered(step, { value: number });
  if (number === 0 || phase !== 'param-unset') return step;
  return answered(step, call === 'xc_altp2m_get_domain_state' ? { state: 0 } : undefined);
}

/** Since 4.20 access 10 is r_pw and 11 the default; the recorder tries every number up to one too many. */
function accessNumbers(step: Row): Row[] {
  const { phase, call } = step;
  if (phase === 'create-views' && call === 'xc_altp2m_create_view' && step.args?.['default_access'] === 11) {
    const created: Row = { ...step, ...dom0('xc_altp2m_create_view', { default_access: 11 }, { view: 3 }) };
    const destroyed: Row = { ...step, ...dom0('xc_altp2m_destroy_view', { view: 3 }) };
    return [created, destroyed, { ...step, args: { default_access: 12 } }];
  }
  if (phase !== 'mem_access' || call !== 'xc_altp2m_set_mem_access') return [step];
  if (step.args?.['access'] === 10) return [step, { ...step, ...getAccess(10) }];
  if (step.args?.['access'] !== 11) return [step];
  return [answered(step, undefined), { ...step, ...getAccess(7) }, { ...step, args: { ...step.args, access: 12 } }];
}

function getAccess(access: number): Row {
  return dom0('xc_altp2m_get_mem_access', { view: 1, gfn: 67 }, { access });
}

function since420(name: string, mode: string, number: number): Recording {
  const recording = golden(name);
  let current = { mode: 'disabled', number: 0 };
  let guests = recording.steps.filter((step) => step['do'] === 'createGuest').length;
  let tenWasSet = false;
  const steps = recording.steps.flatMap((step) => {
    // the last guest of each recording is the one of its mode, those before it have none
    if (step['do'] === 'createGuest' && --guests === 0) current = { mode, number };
    const [first = step, ...rest] = accessNumbers(modeAtCreation(step, current.mode, current.number));
    // the recorder's own look at access 10 comes next, and is replaced
    const replaced = tenWasSet;
    tenWasSet = rest.length === 1 && first.args?.['access'] === 10;
    return replaced ? [] : [first, ...rest];
  });
  return { ...recording, release: '4.20', xen: '4.20.0', steps };
}

describe('Xen 4.20', () => {
  for (const [mode, number] of [
    ['mixed', 1],
    ['external', 2],
    ['limited', 3],
  ] as const) {
    test(`${mode}: as 4.17, but for the mode and the access numbers`, () => matches(since420(mode, mode, number)));
  }

  test('extra: a view takes frames over with its own default access', () => {
    const recording = golden('extra');
    const steps = recording.steps.map((step) => modeAtCreation(step, 'external', 2));
    matches({ ...recording, release: '4.20', steps });
  });

  test('special: nested is refused with a mode, without shadow paging too', () => {
    const [first, second, third] = golden('special').steps.filter((step) => step['do'] === 'createGuest');
    assert.ok(first && second && third);
    const refused = { rc: -1, errno: 'EINVAL' };
    const external = { altp2mModeAtCreate: 'external' };
    const steps: Row[] = [
      dom0('xc_altp2m_get_domain_state', {}, 'EOPNOTSUPP'),
      { ...first, ...external, expect: refused },
      { ...second, ...external },
      dom0('xc_hvm_param_set', { param: 'ALTP2M', value: 2 }, 'EEXIST'),
      dom0('xc_altp2m_set_domain_state', { state: 1 }),
      dom0('xc_altp2m_get_domain_state', {}, { state: 1 }),
      dom0('xc_altp2m_create_view', { default_access: 7 }, { view: 1 }),
      { ...third, ...external, expect: refused },
      third,
    ];
    const [onDom0] = steps;
    if (onDom0) onDom0['target'] = 0;
    matches(recordingOf(steps, { release: '4.20' }));
  });

  for (const [name, changes] of [
    ['a Xen without altp2m=1', { bootedWithAltp2m: false }],
    ['an AMD machine', { bootedWithAltp2m: true, cpu: golden('amd').cpu }],
  ] as const) {
    test(`${name} makes a domain with a mode, which is of no use`, () => {
      const steps = [
        { ...GUEST, altp2mModeAtCreate: 'limited' },
        dom0('xc_hvm_param_get', { param: 'ALTP2M' }, { value: 3 }),
        dom0('xc_altp2m_get_domain_state', {}, 'EOPNOTSUPP'),
        dom0('xc_altp2m_set_domain_state', { state: 1 }, 'EOPNOTSUPP'),
      ];
      matches(recordingOf(steps, { release: '4.20', ...changes }));
      const made = { ...steps[0], expect: { rc: -1, errno: 'EINVAL' } };
      matches(recordingOf([made], { release: '4.21', ...changes }));
    });
  }
});

describe('other releases', () => {
  test('the recordings of 4.17 hold from 4.14 to 4.18, but for the size of the paging pool', () => {
    for (const release of ['4.14', '4.15', '4.16', '4.18']) {
      for (const name of ['mixed', 'external', 'limited', 'extra', 'special', 'noaltp2m', 'amd']) {
        const recording = golden(name);
        const steps = recording.steps.filter(({ call }) => call !== 'xc_set_paging_mempool_size');
        matches({ ...recording, release, steps });
      }
    }
  });

  test('4.21 and 4.22: as many views as the domain was created with', () => {
    for (const release of ['4.21', '4.22']) {
      const steps = [
        { ...GUEST, altp2mModeAtCreate: 'external', nrAltp2m: 3 },
        dom0('xc_altp2m_set_domain_state', { state: 1 }),
        dom0('xc_altp2m_create_view', { default_access: 11 }, { view: 1 }),
        dom0('xc_altp2m_create_view', { default_access: 10 }, { view: 2 }),
        dom0('xc_altp2m_create_view', { default_access: 7 }, 'EINVAL'),
        { ...GUEST, nrAltp2m: 3, expect: { rc: -1, errno: 'EINVAL' } },
      ];
      matches(recordingOf(steps, { release }));
    }
  });
});

/** An event of an access to memory in view 1, as an agent sees it. */
function accessEvent(gfn: number, offset: number, flags: number, answer: string, answerView: number): Row {
  const gla = gfn * 4096 + offset;
  const expect = { reason: 1, flags: 129, vcpu: 0, altp2m_idx: 1, gfn, offset, gla, ma_flags: flags };
  return { expect, answer, answerView, answerCall: null };
}

function stepEvent(answerView: number): Row {
  const expect = { reason: 7, flags: 129, vcpu: 0, altp2m_idx: 0 };
  return { expect, answer: 'back_to_view+toggle_singlestep', answerView, answerCall: null };
}

describe('a processor with a monitor trap flag', () => {
  const D = 0x44;
  const X = 0x42;
  const write = (value: number, events: Row[]): Row => ({
    ...guest(
      'write',
      { gpa: D * 4096, value, bytes: 4 },
      { finished: true, exception: null, viewBefore: 1, viewAfter: 1, vmEvents: events.length, shutdown: -1 },
    ),
    events,
  });
  const prepared = [
    GUEST,
    dom0('xc_hvm_param_set', { param: 'ALTP2M', value: 2 }),
    dom0('xc_altp2m_set_domain_state', { state: 1 }),
    dom0('xc_domain_unpause'),
    dom0('xc_altp2m_create_view', { default_access: 7 }, { view: 1 }),
    dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN' }),
    dom0('xc_monitor_enable'),
    dom0('xc_monitor_singlestep', { enable: 1 }),
    dom0('xc_monitor_singlestep', { enable: 1 }, 'EEXIST'),
    dom0('xc_altp2m_set_mem_access', { view: 1, gfn: X, access: 3 }),
    dom0('xc_altp2m_set_mem_access', { view: 1, gfn: D, access: 1 }),
    dom0('xc_altp2m_switch_to_view', { view: 1 }, { vcpu0IdxAfter: 1 }),
  ];

  for (const told of [1, -1]) {
    test(`steps once through view 0 and comes back${told < 0 ? ', though the answers do not name the view' : ''}`, () => {
      const stepped = (gfn: number, offset: number, flags: number): Row[] => [
        accessEvent(gfn, offset, flags, 'view0+toggle_singlestep', told),
        stepEvent(told),
      ];
      matches(
        recordingOf([
          ...prepared,
          write(0xdddd1001, stepped(D, 0, 27)),
          // two instructions, mov and ret, and each of them is a step of its own
          {
            ...guest(
              'call',
              { gpa: X * 4096 },
              { finished: true, exception: null, value: 0x12345678, viewBefore: 1, viewAfter: 1, vmEvents: 4 },
            ),
            events: [...stepped(X, 0, 28), ...stepped(X, 5, 28)],
          },
          dom0('xc_altp2m_set_visibility', { view: 1, visible: 0 }),
          write(0xdddd1002, stepped(D, 0, 27)),
          dom0('xc_altp2m_set_visibility', { view: 1, visible: 1 }),
          { do: 'checkMemory', expect: { [D]: '0xdddd1002' } },
        ]),
      );
    });
  }

  test('steps fast: the view comes back without another event, hidden or not', () => {
    const fast = [accessEvent(D, 0, 27, 'view0+fast_singlestep', 1)];
    matches(
      recordingOf([
        ...prepared,
        write(0xdddd1003, fast),
        dom0('xc_altp2m_set_visibility', { view: 1, visible: 0 }),
        write(0xdddd1004, fast),
        dom0('xc_altp2m_set_visibility', { view: 1, visible: 1 }),
        // 0xbbbb0002 is what view 1 shows at A, and the step is made in view 0
        dom0('xc_altp2m_change_gfn', { view: 1, old_gfn: 0x40, new_gfn: 0x41 }),
        dom0('xc_altp2m_set_mem_access', { view: 1, gfn: 0x40, access: 4 }),
        {
          ...guest(
            'read',
            { gpa: 0x40000, bytes: 4 },
            { finished: true, value: 0xaaaa0001, viewAfter: 1, vmEvents: 1 },
          ),
          events: [accessEvent(0x40, 0, 25, 'view0+fast_singlestep', 1)],
        },
        dom0('xc_monitor_singlestep', { enable: 0 }),
        dom0('xc_monitor_disable'),
      ]),
    );
  });
});

describe('shutting down', () => {
  test('a guest that has halted is powered off already, whatever the reason given', () => {
    matches(
      recordingOf([GUEST, dom0('xc_domain_unpause'), dom0('xc_domain_shutdown', { reason: 'crash' }, { now: 0 })]),
    );
  });

  test('a paused one does not get to halt, and another program than the recordings’ is left alone', () => {
    matches(recordingOf([GUEST, dom0('xc_domain_shutdown', { reason: 'crash' }, { now: 3 })]));
    const own = { ...GUEST, driven: false };
    matches(recordingOf([own, dom0('xc_domain_unpause'), dom0('xc_domain_shutdown', { reason: 5 }, { now: 5 })]));
  });
});
