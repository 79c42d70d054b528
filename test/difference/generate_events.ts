/**
 * The monitor's part of generated sequences: options, restricted frames, what guests do that is reported, and answers.
 * The last answers of each list let the guest go on: one that waits for good takes a second and a half a step.
 */

import fc from 'fast-check';
import { access, accessed, bit, type Choices, CODE, one, STABLE, steps, usually, view } from './arbitraries.js';
import { type Answer, dom0, guest, type RawStep, read, write } from './steps.js';

/** The frame that is set aside for the ring. */
const RING = 0x7f;
const SYSENTER_CS = 0x174;
const CR0 = 0x11;
const INVALID = 'INVALID';

const GO_ON: Answer = {};
const EMULATE: Answer = { emulate: true };
/** More than an instruction of the guest's can cause. */
const EMULATE_ALL: readonly Answer[] = [EMULATE, EMULATE, EMULATE, EMULATE];

/** Answers to a reported access that fit any instruction. */
const toAccess: fc.Arbitrary<Answer> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(EMULATE) },
  { weight: 2, arbitrary: fc.constant(GO_ON) },
  { weight: 4, arbitrary: view.map((v) => ({ view: v })) },
  { weight: 2, arbitrary: view.map((v) => ({ emulate: true, view: v })) },
  { weight: 2, arbitrary: fc.constantFrom<Answer>({ call: 'allow in view' }, { call: 'allow in host' }) },
  { weight: 1, arbitrary: view.map((v) => ({ view: v, toggleSinglestep: true })) },
  { weight: 1, arbitrary: fc.tuple(view, view).map(([v, to]) => ({ view: v, fastSinglestep: to })) },
  { weight: 1, arbitrary: fc.constant({ deny: true }) },
);

/** Answers, and then those that let the guest go on. */
const then = (answer: fc.Arbitrary<Answer>, last: readonly Answer[]): fc.Arbitrary<readonly Answer[]> =>
  fc.array(answer, { maxLength: 2 }).map((first) => [...first, ...last]);

const eax = fc.nat(0xffff).map((rax) => ({ rax }));
const readData = fc
  .constantFrom('11', '22334455', '0102030405060708')
  .map((data) => ({ emulate: true, readData: data }));
const noWrite: fc.Arbitrary<Answer> = fc.constant({ emulate: 'nowrite' });

/** Lists of answers, by what the guest does. */
export const answers = {
  memory: then(toAccess, EMULATE_ALL),
  read: then(
    fc.oneof(
      toAccess,
      toAccess,
      readData,
      noWrite,
      eax.map((registers) => ({ skip: 2, registers })),
    ),
    EMULATE_ALL,
  ),
  write: then(fc.oneof(toAccess, toAccess, readData, noWrite, fc.constant({ skip: 2 })), EMULATE_ALL),
  call: then(toAccess, EMULATE_ALL),
} as const;

const switched = (call: string, more: fc.Arbitrary<RawStep> = fc.constant({})): fc.Arbitrary<readonly RawStep[]> =>
  one(
    fc
      .tuple(usually(1, fc.constant(0)), more)
      .map(([enable, others]) => dom0(`xc_monitor_${call}`, { enable, ...others })),
  );
const sync = usually(1, fc.constant(0));

/** What can be reported beside memory. */
const options: readonly fc.Arbitrary<readonly RawStep[]>[] = [
  switched(
    'guest_request',
    sync.map((s) => ({ sync: s, allow_userspace: 0 })),
  ),
  // without waiting, when an exception that is handed back arrives is chance
  switched('debug_exceptions', fc.constant({ sync: 1 })),
  switched(
    'write_ctrlreg',
    fc
      .tuple(usually(2, fc.constantFrom(0, 1, 3, 4)), sync, fc.constantFrom(0, 0, 0x80, 0x88), bit)
      .map(([index, s, bitmask, onchangeonly]) => ({ index, sync: s, bitmask, onchangeonly })),
  ),
  switched(
    'mov_to_msr',
    fc
      .tuple(usually(SYSENTER_CS, fc.constantFrom(0x2000, 0xc000_0080)), bit)
      .map(([msr, onchangeonly]) => ({ msr, onchangeonly })),
  ),
  switched('cpuid'),
  switched('software_breakpoint'),
  switched('descriptor_access'),
];

/** What a sequence with an agent begins with. */
export const startMonitor: fc.Arbitrary<readonly RawStep[]> = fc
  .tuple(
    fc.subarray([...options]).chain((some) => fc.tuple(...some)),
    fc.boolean(),
  )
  .map(([on, defers]) => [
    // where an answer puts the vCPU into a view that holds nothing yet, the model does not fetch the instruction anew
    dom0('xc_altp2m_set_vcpu_disable_notify', { vcpu: 0 }),
    dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: RING }),
    dom0('xc_monitor_enable'),
    ...(defers ? [dom0('xc_monitor_control_registers')] : []),
    ...on.flat(),
  ]);

/** dom0's calls. */
export const monitorCalls: Choices = [
  { weight: 1, arbitrary: fc.constantFrom('enable', 'disable', 'resume').map((c) => steps(dom0(`xc_monitor_${c}`))) },
  { weight: 1, arbitrary: one(fc.constant(dom0('xc_monitor_get_capabilities'))) },
  { weight: 1, arbitrary: one(fc.constant(dom0('xc_monitor_control_registers'))) },
  { weight: 1, arbitrary: one(bit.map((required) => dom0('xc_domain_set_access_required', { required }))) },
  ...options.map((arbitrary) => ({ weight: 2, arbitrary })),
  {
    weight: 1,
    arbitrary: fc.constantFrom('singlestep', 'emul_unimplemented', 'emulate_each_rep').chain((c) => switched(c)),
  },
  {
    weight: 8,
    arbitrary: one(fc.tuple(accessed, access).map(([gfn, a]) => dom0('xc_set_mem_access', { gfn, access: a }))),
  },
  { weight: 3, arbitrary: one(accessed.map((gfn) => dom0('xc_get_mem_access', { gfn }))) },
  {
    weight: 1,
    arbitrary: one(
      fc.array(fc.tuple(accessed, access), { minLength: 1, maxLength: 4 }).map((entries) =>
        dom0('xc_set_mem_access_multi', {
          nr: entries.length,
          pfns: entries.map(([gfn]) => gfn),
          access: entries.map(([, a]) => a),
        }),
      ),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(1, 5, 7, 7, 7)
      .map((a) =>
        steps(
          dom0('xc_set_mem_access', { gfn: INVALID, access: a, nr: 0 }),
          dom0('xc_get_mem_access', { gfn: INVALID }),
        ),
      ),
  },
];

const cr = (index: 0 | 3 | 4, value: fc.Arbitrary<number>): fc.Arbitrary<readonly RawStep[]> =>
  fc
    .tuple(value, fc.constantFrom<Answer>(GO_ON, GO_ON, { deny: true }))
    .map(([v, answer]) => steps(guest('write_cr', { index, value: v }, [answer]), guest('read_cr', { index })));

const injected: readonly Answer[] = [{ call: 'inject' }];
const reported: readonly Answer[] = [{ call: 'inject', nextInterrupt: true }, GO_ON];

/** What the guest does that may be reported. */
export const guestEvents: Choices = [
  {
    weight: 9,
    // the answer may have the guest enter a view that holds nothing yet
    arbitrary: fc
      .oneof(
        fc.constant(GO_ON),
        view.map((v) => ({ view: v })),
      )
      .map((answer) => steps(guest('request', {}, [answer]), guest('nop'))),
  },
  {
    weight: 7,
    arbitrary: one(
      fc
        .tuple(
          fc.constantFrom(0x4000_0000, 0x4000_0001),
          fc.array(fc.constant(GO_ON), { maxLength: 1 }),
          fc.oneof(
            fc.constant({ skip: 2 }),
            eax.map((registers) => ({ skip: 2, registers })),
          ),
        )
        .map(([leaf, first, last]) => guest('cpuid', { leaf }, [...first, last])),
    ),
  },
  { weight: 3, arbitrary: cr(0, fc.constantFrom(CR0, CR0 | 2, CR0 | 0x20, CR0 | 0x1_0000)) },
  { weight: 3, arbitrary: cr(3, fc.constantFrom(0, 0x5000, 0x6000)) },
  { weight: 7, arbitrary: cr(4, fc.constantFrom(0, 8, 0x80, 0x88, 0x10)) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom(0, 8, 16), fc.constantFrom<Answer>(GO_ON, { deny: true }))
      .map(([value, answer]) =>
        steps(guest('wrmsr', { msr: SYSENTER_CS, value }, [answer]), guest('rdmsr', { msr: SYSENTER_CS })),
      ),
  },
  {
    weight: 5,
    arbitrary: one(
      fc
        .constantFrom<readonly Answer[]>([{ registers: { rflags: 2 } }], injected, reported)
        .map((given) => guest('trap', {}, given)),
    ),
  },
  {
    // a breakpoint that is handed back comes again when its delivery has to wait for a frame of the view: ud2 fetches them
    weight: 5,
    arbitrary: fc
      .constantFrom<readonly Answer[]>([{ skip: 1 }], injected, reported, [{ emulate: true, instruction: '90' }])
      .map((given) => steps(guest('ud2'), guest('int3', {}, given))),
  },
  {
    weight: 5,
    arbitrary: one(
      fc
        .tuple(fc.constantFrom(['sgdt', 5], ['lgdt', 7] as const), bit, bit)
        .map(([[call, length], again, skips]) =>
          guest(`${call}`, {}, [...(again ? [GO_ON] : []), skips ? { skip: length } : EMULATE]),
        ),
    ),
  },
  // what chance alone rarely brings together: a frame of the host's that is restricted, the access, what became of it
  {
    weight: 24,
    arbitrary: fc
      .tuple(
        fc.constantFrom<number>(...STABLE, CODE),
        fc.constantFrom(0, 1, 3, 4, 5, 8, 9),
        fc.oneof(
          answers.read.map((given) => (gfn: number) => read(gfn, ...given)),
          answers.write.map((given) => (gfn: number) => write(gfn, 0x2222, ...given)),
        ),
        answers.call,
      )
      .map(([gfn, a, access_, given]) =>
        steps(
          dom0('xc_set_mem_access', { gfn, access: a }),
          gfn === CODE ? guest('call', { gpa: CODE * 4096 }, given) : access_(gfn),
          dom0('xc_get_mem_access', { gfn }),
        ),
      ),
  },
];
