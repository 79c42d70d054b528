/**
 * Makes sequences of altp2m and monitor calls and of what guests do, as recordings without expectations. Chosen so that real Xen
 * answers the same each time: nothing depends on what the guest does by itself, or on which free page Xen hands out.
 */

import fc from 'fast-check';
import {
  access,
  accessed,
  anyFrame,
  bit,
  type Choices,
  CODE,
  CODE_BYTES,
  FICKLE,
  one,
  STABLE,
  steps,
  usually,
  VE_PAGES,
  view,
} from './arbitraries.js';
import { answers, guestEvents, monitorCalls, startMonitor } from './generate_events.js';
import type { Engine } from './lab.js';
import { dom0, guest, type RawStep, read, vmfuncRead, write } from './steps.js';

/** A recording whose steps expect nothing yet. */
export interface Sequence {
  readonly format: 'xen-recording/1';
  readonly release: string;
  readonly bootedWithAltp2m: boolean;
  readonly cpu: Readonly<Record<string, unknown>>;
  readonly hypervisor: string;
  /** Names of devices. */
  readonly pci?: readonly string[];
  readonly steps: readonly RawStep[];
}

/** The lab's machines. */
const MACHINES = {
  bochs: {
    bootedWithAltp2m: true,
    cpu: { vendor: 'intel', count: 1, hap: true, vmfunc: true, ve: true, mtf: false, maxphysaddr: 40 },
  },
  qemu: {
    bootedWithAltp2m: false,
    cpu: { vendor: 'amd', count: 1, hap: true, vmfunc: false, ve: false, mtf: false, maxphysaddr: 40 },
  },
} as const;

const INVALID = 'INVALID';
/** Lets the guest run through its loop, so that what follows finds it in a known place. */
const SETTLE = guest('nop', {});

const raw = (name: 'dom0' | 'guest', cmd: number, union: readonly number[], header: RawStep = {}): RawStep => ({
  ...(name === 'dom0' ? { as: 'dom0' } : { as: 'guest', vcpu: 0 }),
  call: 'hvm_op altp2m',
  args: {
    version: 1,
    cmd,
    domain: name === 'dom0' ? 'guest' : 0x7ff0,
    pad1: 0,
    pad2: 0,
    u: Buffer.from([...union, ...new Array(64 - union.length).fill(0)]).toString('hex'),
    ...header,
  },
  expect: {},
});

/** dom0's calls on views and on the domain. */
const onViews: Choices = [
  { weight: 4, arbitrary: one(access.map((default_access) => dom0('xc_altp2m_create_view', { default_access }))) },
  { weight: 3, arbitrary: one(view.map((index) => dom0('xc_altp2m_destroy_view', { view: index }))) },
  { weight: 8, arbitrary: view.map((index) => steps(dom0('xc_altp2m_switch_to_view', { view: index }), SETTLE)) },
  {
    weight: 10,
    arbitrary: one(fc.tuple(view, bit).map(([v, visible]) => dom0('xc_altp2m_set_visibility', { view: v, visible }))),
  },
  {
    weight: 2,
    arbitrary: one(fc.constantFrom(0, 1, 2).map((vcpu) => dom0('xc_altp2m_get_vcpu_p2m_idx', { vcpu }))),
  },
  { weight: 1, arbitrary: one(fc.constant(dom0('xc_altp2m_get_domain_state', {}))) },
  {
    weight: 1,
    arbitrary: usually(1, fc.constant(0)).map((state) => steps(dom0('xc_altp2m_set_domain_state', { state }), SETTLE)),
  },
  { weight: 1, arbitrary: one(fc.constant(dom0('xc_hvm_param_get', { param: 'ALTP2M' }))) },
  {
    weight: 1,
    arbitrary: one(fc.integer({ min: 0, max: 4 }).map((value) => dom0('xc_hvm_param_set', { param: 'ALTP2M', value }))),
  },
  {
    weight: 2,
    arbitrary: one(
      usually(0, fc.constantFrom(1, 2)).map((vcpu) => dom0('xc_altp2m_set_vcpu_disable_notify', { vcpu })),
    ),
  },
];

/** Not where an agent listens: see `startMonitor`. */
const onVe: fc.WeightedArbitrary<readonly RawStep[]> = {
  weight: 4,
  arbitrary: one(
    fc
      .tuple(usually(0, fc.constantFrom(1, 2, 0xffff_ffff)), fc.oneof(fc.constantFrom<number>(...VE_PAGES), anyFrame))
      .map(([vcpu, gfn]) => dom0('xc_altp2m_set_vcpu_enable_notify', { vcpu, gfn })),
  ),
};

/** dom0's calls on frames of views. */
const onFrames: Choices = [
  {
    weight: 10,
    arbitrary: one(
      fc
        .tuple(view, accessed, access)
        .map(([v, gfn, a]) => dom0('xc_altp2m_set_mem_access', { view: v, gfn, access: a })),
    ),
  },
  {
    weight: 6,
    arbitrary: one(fc.tuple(view, accessed).map(([v, gfn]) => dom0('xc_altp2m_get_mem_access', { view: v, gfn }))),
  },
  {
    weight: 2,
    arbitrary: one(
      fc.tuple(view, fc.array(fc.tuple(accessed, access), { maxLength: 6 })).map(([v, entries]) =>
        dom0('xc_altp2m_set_mem_access_multi', {
          view: v,
          nr: entries.length,
          pfns: entries.map(([gfn]) => gfn),
          access: entries.map(([, a]) => a),
        }),
      ),
    ),
  },
  {
    weight: 8,
    arbitrary: one(
      fc
        .tuple(
          view,
          anyFrame,
          fc.oneof({ weight: 4, arbitrary: anyFrame }, { weight: 1, arbitrary: fc.constant(INVALID) }),
        )
        .map(([v, old_gfn, new_gfn]) => dom0('xc_altp2m_change_gfn', { view: v, old_gfn, new_gfn })),
    ),
  },
  {
    weight: 6,
    arbitrary: one(
      fc.tuple(view, accessed, bit).map(([v, gfn, sve]) => dom0('xc_altp2m_set_suppress_ve', { view: v, gfn, sve })),
    ),
  },
  {
    weight: 2,
    arbitrary: one(fc.tuple(view, accessed).map(([v, gfn]) => dom0('xc_altp2m_get_suppress_ve', { view: v, gfn }))),
  },
  {
    weight: 2,
    arbitrary: one(
      fc
        .tuple(view, fc.integer({ min: 0x40, max: 0x46 }), fc.integer({ min: -1, max: 3 }), bit)
        .map(([v, first, more, sve]) =>
          dom0('xc_altp2m_set_supress_ve_multi', { view: v, first, last: first + more, sve }),
        ),
    ),
  },
  {
    weight: 3,
    // it may empty the view that the guest is in
    arbitrary: fc
      .constantFrom<number>(...FICKLE)
      .map((gfn) => steps(dom0('xc_domain_decrease_reservation_exact', { gfn }), SETTLE)),
  },
  {
    // which page Xen hands out, and what it held, is chance: it is zeroed
    weight: 3,
    arbitrary: fc
      .constantFrom<number>(...FICKLE)
      .map((gfn) => steps(dom0('xc_domain_populate_physmap_exact', { gfn }), { do: 'zero', gfn })),
  },
  {
    weight: 2,
    arbitrary: one(
      fc
        .tuple(fc.constantFrom<number>(...STABLE), fc.nat(0xffff))
        .map(([gfn, value]) => ({ do: 'store', gfn, bytes: value.toString(16).padStart(8, '0') })),
    ),
  },
  {
    weight: 2,
    arbitrary: one(fc.constantFrom<number>(...STABLE).map((gfn) => ({ do: 'checkMemory', expect: { [gfn]: 0 } }))),
  },
];

const header = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<RawStep>({ version: 0 }, { version: 2 }, { pad1: 1 }, { pad2: 1 }, { domain: 0x7000 }),
  },
);
const ENABLE_NOTIFY = 3;
/** Command numbers whose unions may hold anything: no lists, no ranges. */
const rawCommand = fc.constantFrom(0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 0xffff_ffff);
const smallUnion = fc.tuple(
  fc.integer({ min: 0, max: 4 }),
  fc.constant(0),
  fc.integer({ min: 0, max: 10 }),
  usually(0, fc.constantFrom(1, 255)),
  usually(0, fc.constant(1)),
  fc.constant(0),
  fc.constant(0),
  fc.constant(0),
  fc.constantFrom<number>(...STABLE, ...VE_PAGES),
);

const encoded = (command: fc.Arbitrary<number>): Choices => [
  {
    weight: 4,
    arbitrary: fc
      .tuple(command, smallUnion, header)
      .map(([cmd, union, odd]) => steps(raw('dom0', cmd, union, odd), SETTLE)),
  },
  {
    weight: 6,
    arbitrary: one(fc.tuple(command, smallUnion).map(([cmd, union]) => raw('guest', cmd, union))),
  },
];

const index = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(9, 10, 511, 512, 0xffff_ffff) },
);

const byGuest: Choices = [
  { weight: 10, arbitrary: one(fc.tuple(anyFrame, answers.read).map(([gfn, given]) => read(gfn, ...given))) },
  {
    weight: 8,
    arbitrary: one(
      fc.tuple(anyFrame, fc.nat(0xffff), answers.write).map(([gfn, value, given]) => write(gfn, value, ...given)),
    ),
  },
  { weight: 4, arbitrary: one(answers.call.map((given) => guest('call', { gpa: CODE * 4096 }, given))) },
  {
    weight: 12,
    arbitrary: one(
      fc.tuple(usually(0, fc.constantFrom(1, 63)), index).map(([leaf, i]) => guest('vmfunc', { leaf, index: i })),
    ),
  },
  {
    weight: 2,
    arbitrary: one(fc.tuple(index, anyFrame, answers.memory).map(([i, gfn, given]) => vmfuncRead(i, gfn, ...given))),
  },
  { weight: 1, arbitrary: one(fc.constant(guest('ud2', {}))) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom<number>(...VE_PAGES)
      .map((gfn) => steps({ do: 'checkVeInfo', gfn, expect: {} }, { do: 'zero', gfn })),
  },
];

/** What chance alone rarely brings together: a restricted frame, its suppress-#VE bit, a vCPU in the view, the access. */
const violations: Choices = [
  {
    weight: 10,
    arbitrary: fc
      .tuple(
        fc.constantFrom(1, 2),
        fc.constantFrom<number>(...STABLE),
        fc.constantFrom(0, 1, 3, 4, 5, 8, 9),
        bit,
        bit,
        fc.oneof(fc.tuple(fc.constant(true), answers.write), fc.tuple(fc.constant(false), answers.read)),
      )
      .map(([v, gfn, a, sve, byVmfunc, [writes, given]]) =>
        steps(
          dom0('xc_altp2m_set_mem_access', { view: v, gfn, access: a }),
          dom0('xc_altp2m_set_suppress_ve', { view: v, gfn, sve }),
          byVmfunc ? guest('vmfunc', { leaf: 0, index: v }) : dom0('xc_altp2m_switch_to_view', { view: v }),
          SETTLE,
          { do: 'zero', gfn: VE_PAGES[0] },
          writes ? write(gfn, 0x1111, ...given) : read(gfn, ...given),
          { do: 'checkVeInfo', gfn: VE_PAGES[0], expect: {} },
          dom0('xc_altp2m_get_mem_access', { view: v, gfn }),
        ),
      ),
  },
  {
    // EPT cannot express these: the access ends the domain
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(1, 2), fc.constantFrom(2, 6))
      .map(([v, a]) =>
        steps(
          dom0('xc_altp2m_set_mem_access', { view: v, gfn: STABLE[0], access: a }),
          dom0('xc_altp2m_switch_to_view', { view: v }),
          guest('read', { gpa: STABLE[0] * 4096, bytes: 4 }),
          dom0('xc_altp2m_get_vcpu_p2m_idx', { vcpu: 0 }),
        ),
      ),
  },
];

const anyStep = fc.oneof(...onViews, onVe, ...onFrames, ...encoded(rawCommand), ...byGuest, ...violations);
/** Where an agent listens. */
const anyWatchedStep = fc.oneof(
  ...[...onViews, ...onFrames, ...byGuest, ...violations],
  ...encoded(rawCommand.filter((command) => command !== ENABLE_NOTIFY)),
  ...[...monitorCalls, ...guestEvents],
);

const MODES = ['mixed', 'external', 'limited', 'disabled'] as const;

/** A guest with altp2m on and two views, as most sequences want it. */
function prelude(mode: number): RawStep[] {
  const memory: Record<string, string> = { [CODE]: CODE_BYTES };
  for (const gfn of [...STABLE, ...FICKLE]) memory[gfn] = `0${gfn.toString(16).slice(-1)}00aaaa`;
  const made: RawStep[] = [
    {
      do: 'createGuest',
      guest: 1,
      type: 'hvm',
      hap: true,
      vcpus: 2,
      nestedVirt: false,
      altp2mModeAtCreate: 'disabled',
      maxmemKiB: 16384,
      populate: { first: 0, count: 128 },
      memory,
      expect: {},
    },
    dom0('xc_set_paging_mempool_size', { bytes: 2 << 20 }),
  ];
  if (mode > 0) made.push(dom0('xc_hvm_param_set', { param: 'ALTP2M', value: mode }));
  made.push(
    dom0('xc_domain_unpause', {}),
    dom0('xc_altp2m_set_domain_state', { state: 1 }),
    SETTLE,
    dom0('xc_altp2m_set_vcpu_enable_notify', { vcpu: 0, gfn: VE_PAGES[0] }),
    dom0('xc_altp2m_create_view', { default_access: 7 }),
    dom0('xc_altp2m_create_view', { default_access: 7 }),
  );
  return made;
}

/** The same seed makes the same sequences. `length` counts the steps after the prelude. */
export function generate(seed: number, count: number, length: number): Sequence[] {
  const sequence = fc
    .tuple(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 2, 3) }, { weight: 1, arbitrary: fc.constant(0) }),
      fc.oneof(
        { weight: 2, arbitrary: fc.array(anyStep, { minLength: length, maxLength: length }) },
        {
          weight: 3,
          arbitrary: fc
            .tuple(startMonitor, fc.array(anyWatchedStep, { minLength: length, maxLength: length }))
            .map(([begin, body]) => [begin, ...body]),
        },
      ),
    )
    .map(([mode, body]) =>
      withSteps([...prelude(mode), ...body.flat().slice(0, length)], MODES[mode === 0 ? 3 : mode - 1]),
    );
  return fc.sample(sequence, { numRuns: count, seed });
}

export function withSteps(
  steps: readonly RawStep[],
  hypervisor = 'generated',
  engine: Engine = 'bochs',
  pci: readonly string[] = [],
): Sequence {
  const machine = { ...MACHINES[engine], ...(pci.length > 0 && { pci }) };
  return { format: 'xen-recording/1', release: '4.17', ...machine, hypervisor, steps };
}
