/** What is recorded of monitoring: the options and their errno, what guests do that is reported, and every kind of answer. */

import {
  A,
  type Answer,
  at,
  B,
  C,
  CODE,
  create,
  dom0,
  enter,
  guest,
  HOLE,
  type RawStep,
  read,
  VE,
  visible,
  vmfunc,
  vmfuncRead,
  write,
} from './steps.js';

/** The frame that is set aside for the ring. */
const RING = 0x7f;
/** Code that returns another number, for a view that shows it in the place of the guest's. */
const SHADOW = 0x46;
const SYSENTER_CS = 0x174;

const ringFrame = dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: RING });
const enable = dom0('xc_monitor_enable');
const disable = dom0('xc_monitor_disable');
const pool = dom0('xc_set_paging_mempool_size', { bytes: 8 << 20 });
const start = [dom0('xc_domain_unpause'), guest('nop')] as const;

const switched = (call: string, on: number, more: RawStep = {}, target: RawStep = {}): RawStep =>
  dom0(`xc_monitor_${call}`, { [call === 'inguest_pagefault' ? 'disable' : 'enable']: on, ...more }, target);
const requests = (on: number, sync: number): RawStep => switched('guest_request', on, { sync, allow_userspace: 0 });
/** `VM_EVENT_X86_*`. */
const CR_INDEX = { 0: 0, 3: 1, 4: 2 } as const;
const cr = (which: 0 | 3 | 4, on: number, { sync = 1, bitmask = 0, onchangeonly = 1 } = {}): RawStep =>
  switched('write_ctrlreg', on, { index: CR_INDEX[which], sync, bitmask, onchangeonly });
const msr = (register: number, on: number, onchangeonly = 0): RawStep =>
  switched('mov_to_msr', on, { msr: register, onchangeonly });
const debug = (on: number, sync = 1): RawStep => switched('debug_exceptions', on, { sync });

const GO_ON: Answer = {};
const EMULATE: Answer = { emulate: true };
const DENY: Answer = { deny: true };
/** Goes on behind an instruction. */
const skip = (bytes: number, registers?: RawStep): Answer => ({ skip: bytes, ...(registers && { registers }) });

/** Each option with what it takes beside `enable`. */
const OPTIONS: readonly (readonly [string, RawStep])[] = [
  ['write_ctrlreg', { index: 0, sync: 1, bitmask: 0, onchangeonly: 1 }],
  ['write_ctrlreg', { index: 3, sync: 0, bitmask: 0, onchangeonly: 0 }],
  ['write_ctrlreg', { index: 9, sync: 1, bitmask: 0, onchangeonly: 0 }],
  ['mov_to_msr', { msr: SYSENTER_CS, onchangeonly: 0 }],
  ['mov_to_msr', { msr: 0x1fff, onchangeonly: 1 }],
  ['mov_to_msr', { msr: 0x2000, onchangeonly: 0 }],
  ['mov_to_msr', { msr: 0xc000_1fff, onchangeonly: 0 }],
  ['mov_to_msr', { msr: 0xc000_2000, onchangeonly: 0 }],
  ['singlestep', {}],
  ['software_breakpoint', {}],
  ['descriptor_access', {}],
  ['guest_request', { sync: 1, allow_userspace: 1 }],
  ['inguest_pagefault', {}],
  ['debug_exceptions', { sync: 1 }],
  ['cpuid', {}],
  ['privileged_call', {}],
  ['emul_unimplemented', {}],
  ['vmexit', { sync: 1 }],
];
const everyOption = (on: number, target: RawStep = {}): readonly RawStep[] =>
  OPTIONS.map(([call, more]) => switched(call, on, more, target));

/** The guest does not run. */
export const monitorOptions: readonly RawStep[] = [
  create(),
  pool,
  ...[disable, dom0('xc_monitor_resume'), dom0('xc_monitor_get_capabilities'), enable],
  ...[dom0('xc_monitor_emulate_each_rep', { enable: 1 }), dom0('xc_set_mem_access', { gfn: A, access: 1 })],
  dom0('xc_get_mem_access', { gfn: A }),
  ...everyOption(1),
  ...everyOption(0),
  dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: HOLE }),
  ...[enable, enable, dom0('xc_monitor_resume'), dom0('xc_monitor_get_capabilities'), disable, disable],
  ...[ringFrame, enable, dom0('xc_domain_populate_physmap_exact', { gfn: RING }), enable],
  ...everyOption(0),
  ...everyOption(1),
  ...everyOption(1),
  ...everyOption(0),
  dom0('xc_monitor_emulate_each_rep', { enable: 1 }),
  dom0('xc_monitor_control_registers'),
  ...everyOption(1),
  ...[disable, enable],
  ...everyOption(0), // the end of the ring has switched them off
  ...[0x7000, 0x7ff0, 0].flatMap((target) => everyOption(1, { target })),
  dom0('xc_monitor_disable', {}, { target: 0x7000 }),
  dom0('xc_monitor_get_capabilities', {}, { target: 0x7000 }),
  ...[dom0('xc_domain_destroy'), disable, ...everyOption(1).slice(0, 2)],
];

const CR4_PGE = 0x80;
const CR4_DE = 8;
const CR0 = 0x11;
const CR0_MP = 2;
const writeCr = (index: number, value: number, ...answers: Answer[]): readonly RawStep[] => [
  guest('write_cr', { index, value }, answers),
  guest('read_cr', { index }),
];
const writeMsr = (value: number, ...answers: Answer[]): readonly RawStep[] => [
  guest('wrmsr', { msr: SYSENTER_CS, value }, answers),
  guest('rdmsr', { msr: SYSENTER_CS }),
];

/** Requests, CPUID, control registers, MSRs, descriptor tables, debug exceptions. */
export const registerEvents: readonly RawStep[] = [
  ...[create(), pool, ringFrame, ...start],
  ...[guest('request'), enable, guest('request')],
  ...[requests(1, 1), guest('request', {}, [GO_ON]), guest('request', {}, [GO_ON]), requests(0, 0), guest('request')],
  ...[requests(1, 0), guest('request', {}, [GO_ON]), guest('nop'), guest('request', {}, [GO_ON]), requests(0, 0)],

  ...[switched('cpuid', 1), guest('cpuid', { leaf: 0x4000_0000 }, [skip(2)])],
  guest('cpuid', { leaf: 0x4000_0001 }, [skip(2, { rax: 0x1234 })]),
  guest('cpuid', { leaf: 0x4000_0000 }, [GO_ON, GO_ON, skip(2, { rax: 7 })]),
  ...[switched('cpuid', 0), guest('cpuid', { leaf: 0x4000_0000 })],

  // without the answers' leave the registers are written first
  ...[cr(4, 1), ...writeCr(4, CR4_PGE, GO_ON), ...writeCr(4, CR4_PGE, GO_ON), ...writeCr(4, CR4_DE, DENY)],
  dom0('xc_monitor_control_registers'),
  ...[...writeCr(4, CR4_PGE, DENY), ...writeCr(4, CR4_PGE | CR4_DE, GO_ON), ...writeCr(4, 0, GO_ON), cr(4, 0)],
  ...[cr(4, 1, { bitmask: CR4_PGE }), ...writeCr(4, CR4_PGE, GO_ON), ...writeCr(4, CR4_DE, GO_ON), cr(4, 0)],
  ...[cr(4, 1, { sync: 0 }), ...writeCr(4, CR4_PGE, GO_ON), ...writeCr(4, 0, DENY), cr(4, 0)],
  ...writeCr(4, 0x8000_0000),
  ...[cr(0, 1), ...writeCr(0, CR0 | CR0_MP, GO_ON), ...writeCr(0, CR0, DENY), ...writeCr(0, CR0, GO_ON)],
  ...[...writeCr(0, CR0 | 0x100, GO_ON), cr(0, 0)],
  ...[cr(3, 1), ...writeCr(3, 0x5000, GO_ON), ...writeCr(3, 0x5000, GO_ON), ...writeCr(3, 0x6007, DENY)],
  ...[cr(3, 0), cr(3, 1, { onchangeonly: 0 }), ...writeCr(3, 0x5000, GO_ON), ...writeCr(3, 0, GO_ON), cr(3, 0)],

  ...[msr(SYSENTER_CS, 1), ...writeMsr(8, GO_ON), ...writeMsr(8, GO_ON), ...writeMsr(16, DENY), msr(SYSENTER_CS, 0)],
  ...[msr(SYSENTER_CS, 1, 1), ...writeMsr(8, GO_ON), ...writeMsr(24, GO_ON), msr(SYSENTER_CS, 0), ...writeMsr(0)],
  ...[guest('wrmsr', { msr: 0x1ff0, value: 1 }), guest('rdmsr', { msr: 0x1ff0 })],

  ...[switched('descriptor_access', 1), guest('sgdt', {}, [EMULATE]), guest('lgdt', {}, [EMULATE])],
  ...[guest('sgdt', {}, [GO_ON, GO_ON, EMULATE]), guest('lgdt', {}, [skip(7)])],
  ...[switched('descriptor_access', 0), guest('sgdt'), guest('lgdt')],

  ...[
    guest('trap'),
    debug(1),
    guest('trap', {}, [{ registers: { rflags: 2 } }]),
    guest('trap', {}, [{ call: 'inject' }]),
  ],
  guest('trap', {}, [{ call: 'inject', nextInterrupt: true }, GO_ON]),
  ...[debug(0), debug(1, 0), guest('trap', {}, [GO_ON]), debug(0), guest('trap')],

  ...[disable, guest('request'), guest('cpuid', { leaf: 0x4000_0000 })],
  // watched, and nobody listens: it goes no further until it is no longer watched
  ...[switched('descriptor_access', 1), guest('sgdt'), guest('nop'), switched('descriptor_access', 0), guest('nop')],
  ...[guest('sgdt'), enable],
  // nobody answers: the guest waits until somebody does, also when the ring has gone
  ...[requests(1, 1), guest('request'), guest('nop'), disable, guest('nop'), dom0('xc_domain_destroy')],

  // "not write-through" without "cache disable": processors differ
  ...[create(), pool, ringFrame, ...start, enable, cr(0, 1), ...writeCr(0, CR0 | 0x2000_0000, GO_ON)],
  ...[dom0('xc_domain_getinfo_single'), dom0('xc_domain_destroy')],
];

/** QEMU's processor cannot report these. */
export const breakpoints: readonly RawStep[] = [
  ...[create(), pool, ringFrame, ...start, guest('int3'), enable, guest('int3')],
  ...[switched('software_breakpoint', 1), guest('int3', {}, [skip(1)]), guest('int3', {}, [{ call: 'inject' }])],
  guest('int3', {}, [{ emulate: true, instruction: '90' }]),
  guest('int3', {}, [{ call: 'inject', nextInterrupt: true }, GO_ON]),
  ...[switched('software_breakpoint', 0), guest('int3')],
];

const call = (...answers: Answer[]): RawStep => guest('call', { gpa: at(CODE) }, answers);
const restrict = (gfn: number, access: number): readonly RawStep[] => [
  dom0('xc_set_mem_access', { gfn, access }),
  dom0('xc_get_mem_access', { gfn }),
];
const look = (gfn: number): RawStep => ({ do: 'checkMemory', expect: { [gfn]: 0 } });
/** Each instruction of the called code is an event of its own. */
const EACH: readonly Answer[] = [EMULATE, EMULATE, EMULATE];

/** Access to the host's p2m. Every type but w and wx, which EPT cannot express. */
export const memoryEvents: readonly RawStep[] = [
  ...[create(), pool, ringFrame, ...start, ...restrict(A, 1), enable, read(A)],
  ...[0, 1, 3, 4, 5, 7, 8, 9, 10].flatMap((access) => [
    ...restrict(A, access),
    ...[read(A, EMULATE), write(A, 0x100 + access, EMULATE), look(A)],
    ...restrict(CODE, access),
    ...[call(...EACH), dom0('xc_get_mem_access', { gfn: A }), dom0('xc_get_mem_access', { gfn: CODE })],
  ]),
  ...restrict(CODE, 7),
  ...restrict(A, 1),
  ...[write(A, 1, GO_ON, GO_ON, { call: 'allow in host' }), look(A), write(A, 2)],
  ...restrict(A, 1),
  ...[write(A, 3, { emulate: 'nowrite' }), look(A), write(A, 4, skip(2)), look(A)],
  ...restrict(A, 0),
  ...[read(A, { emulate: true, readData: 'efbeadde' }), read(A, { emulate: true, readData: 'aa' })],
  ...[write(A, 5, { emulate: true, readData: 'efbeadde' }), look(A), read(A, skip(2, { rax: 0x77 }))],
  ...restrict(CODE, 3),
  ...[call(EMULATE, EMULATE), call({ call: 'allow in view' }, EMULATE, EMULATE)],
  ...[call({ call: 'allow in host' }), call()],
  ...[
    read(A, { emulate: true, view: 3 }),
    read(A, { view: 3 }, EMULATE),
    read(A, { emulate: true, toggleSinglestep: true }),
  ],
  ...[read(A, { toggleSinglestep: true }, EMULATE), write(A, 6, { deny: true }, EMULATE), look(A)],
  dom0('xc_set_mem_access', { gfn: 'INVALID', access: 1, nr: 0 }),
  dom0('xc_get_mem_access', { gfn: 'INVALID' }),
  dom0('xc_domain_populate_physmap_exact', { gfn: 0x90 }),
  ...[dom0('xc_get_mem_access', { gfn: 0x90 }), { do: 'zero', gfn: 0x90 }, write(0x90, 1, EMULATE), look(0x90)],
  dom0('xc_set_mem_access_multi', { nr: 2, pfns: [A, B], access: [1, 3] }),
  ...[write(A, 7, EMULATE), write(B, 8), dom0('xc_set_mem_access', { gfn: A, access: 4, nr: 2 }), read(B, EMULATE)],
  ...[dom0('xc_get_mem_access', { gfn: HOLE }), dom0('xc_set_mem_access', { gfn: A, access: 200 })],
  ...[dom0('xc_set_mem_access', { gfn: HOLE, access: 1 }), dom0('xc_set_mem_access', { gfn: 0x100000, access: 1 })],
  // the restriction outlives the listener, and ends the domain if there must be one
  ...[...restrict(A, 1), dom0('xc_domain_set_access_required', { required: 0 }), disable],
  ...[write(A, 9), look(A), enable, dom0('xc_get_mem_access', { gfn: A }), ...restrict(A, 1)],
  ...[dom0('xc_domain_set_access_required', { required: 1 }), disable, write(A, 10), dom0('xc_domain_getinfo_single')],
];

const view = (v: number, gfn: number, access: number): RawStep =>
  dom0('xc_altp2m_set_mem_access', { view: v, gfn, access });
const change = (v: number, old_gfn: number, new_gfn: number | string): RawStep =>
  dom0('xc_altp2m_change_gfn', { view: v, old_gfn, new_gfn });
const accessOf = (v: number, gfn: number): RawStep => dom0('xc_altp2m_get_mem_access', { view: v, gfn });

/** Views of altp2m, entered by dom0, by answers and by VMFUNC. */
export const viewEvents: readonly RawStep[] = [
  ...[create(), pool, ringFrame, dom0('xc_hvm_param_set', { param: 'ALTP2M', value: 1 }), ...start],
  dom0('xc_altp2m_set_domain_state', { state: 1 }),
  ...[guest('nop'), dom0('xc_altp2m_set_vcpu_enable_notify', { vcpu: 0, gfn: VE })],
  ...[enable, requests(1, 1), guest('request', {}, [GO_ON])],
  ...[1, 2].map(() => dom0('xc_altp2m_create_view', { default_access: 7 })),
  ...[view(1, A, 1), view(2, A, 0), ...enter(1), read(A), write(A, 1, EMULATE), look(A)],
  ...[write(A, 2, { view: 0 }), ...enter(1), write(A, 3, { view: 2 }, { view: 0 }), look(A)],
  ...[...enter(1), write(A, 4, { view: 9 }, { view: 3 }, { call: 'allow in view' }), accessOf(1, A), write(A, 5)],
  ...[view(1, A, 1), write(A, 6, { emulate: true, view: 0 }), look(A), guest('request', {}, [{ view: 1 }])],
  ...[guest('nop'), write(A, 7, { emulate: 'nowrite', view: 2 }), look(A), read(A, { view: 1 }), read(A)],

  // hidden views: answers enter them, nobody else does
  ...[visible(2, 0), ...enter(2), read(A, { view: 2 }), write(A, 8, { view: 2 }, { emulate: true }), vmfunc(0)],
  ...[vmfunc(2), guest('request', {}, [{ view: 2 }]), guest('nop'), read(A, { view: 0 }), visible(2, 1)],

  // #VE in the place of an event
  ...[
    vmfunc(1),
    { do: 'zero', gfn: VE },
    write(A, 9, EMULATE),
    dom0('xc_altp2m_set_suppress_ve', { view: 1, gfn: A, sve: 0 }),
  ],
  ...[
    write(A, 10, EMULATE),
    { do: 'checkVeInfo', gfn: VE, expect: {} },
    write(A, 11, EMULATE),
    { do: 'zero', gfn: VE },
  ],
  ...[write(A, 12, { view: 0 }), vmfunc(0), look(A), vmfunc(2), read(A, EMULATE), vmfunc(0)],
  dom0('xc_altp2m_set_suppress_ve', { view: 2, gfn: A, sve: 1 }),
  vmfuncRead(2, A, EMULATE),
  vmfuncRead(2, A, { view: 0 }),
  vmfuncRead(2, A, { emulate: true, readData: '01020304' }),

  // a hook nobody sees: executed from another page in the view, read and written by the emulator
  ...[{ do: 'store', gfn: SHADOW, bytes: 'b821436507c3' }, change(1, CODE, SHADOW), view(1, CODE, 4), ...enter(1)],
  ...[
    call(),
    read(CODE, EMULATE),
    read(CODE, { emulate: true, readData: 'b8785634' }),
    write(CODE, 0x345678b8, EMULATE),
  ],
  ...[look(CODE), look(SHADOW), accessOf(1, CODE), view(1, CODE, 1), call(...EACH), call({ view: 0 }), ...enter(1)],
  ...[view(1, CODE, 0), call(EMULATE, EMULATE), read(CODE, { call: 'allow in view' })],
  ...[change(1, CODE, 'INVALID'), accessOf(1, CODE), call()],

  // the host's restrictions in views, and the other way round
  ...[
    ...enter(0),
    dom0('xc_set_mem_access', { gfn: B, access: 1 }),
    write(B, 1, EMULATE),
    ...enter(1),
    write(B, 2, EMULATE),
  ],
  ...[accessOf(1, B), view(1, B, 7), write(B, 3), dom0('xc_set_mem_access', { gfn: B, access: 0 }), accessOf(1, B)],
  ...[read(B, { call: 'allow in view' }), read(B), ...enter(0), read(B, { call: 'allow in host' }), accessOf(1, B)],
  ...[8, 9, 10].flatMap((access) => [view(2, C, access), ...enter(2), read(C, EMULATE), write(C, access, EMULATE)]),
  ...[
    accessOf(2, C),
    ...enter(0),
    dom0('xc_altp2m_destroy_view', { view: 2 }),
    read(A),
    guest('request', {}, [{ view: 2 }]),
  ],
  ...[
    vmfunc(1),
    write(A, 13, { fastSinglestep: 2, view: 0 }),
    vmfunc(1),
    write(A, 14, { toggleSinglestep: true, view: 0 }),
  ],

  // without a listener restrictions are lifted
  ...[...enter(1), disable, view(1, A, 1), write(A, 15), accessOf(1, A), look(A)],
  ...[dom0('xc_altp2m_set_domain_state', { state: 0 }), enable, read(A), dom0('xc_domain_destroy')],
];
