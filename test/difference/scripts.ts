/** What the project records on real Xen: step lists without expectations, each a golden file. */

import { HVM_PARAM_NAMES } from '#dist/trace/names.js';
import { breakpoints, memoryEvents, monitorOptions, registerEvents, viewEvents } from './event_scripts.js';
import type { Engine } from './lab.js';
import { msix } from './pci_scripts.js';
import {
  A,
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
  write,
} from './steps.js';

/** One call of each kind on view 1, whatever state altp2m is in. */
const EVERY_CALL: readonly RawStep[] = [
  dom0('xc_altp2m_get_domain_state'),
  dom0('xc_altp2m_create_view', { default_access: 7 }),
  dom0('xc_altp2m_switch_to_view', { view: 7 }),
  dom0('xc_altp2m_get_vcpu_p2m_idx', { vcpu: 0 }),
  dom0('xc_altp2m_set_mem_access', { view: 1, gfn: C, access: 3 }),
  dom0('xc_altp2m_get_mem_access', { view: 1, gfn: C }),
  dom0('xc_altp2m_set_mem_access_multi', { view: 1, nr: 2, pfns: [C, HOLE], access: [7, 1] }),
  dom0('xc_altp2m_change_gfn', { view: 1, old_gfn: C, new_gfn: HOLE }),
  dom0('xc_altp2m_set_suppress_ve', { view: 1, gfn: C, sve: 1 }),
  dom0('xc_altp2m_get_suppress_ve', { view: 1, gfn: C }),
  dom0('xc_altp2m_set_supress_ve_multi', { view: 1, first: 0x7e, last: 0x81, sve: 1 }),
  dom0('xc_altp2m_set_vcpu_enable_notify', { vcpu: 1, gfn: VE }),
  dom0('xc_altp2m_set_vcpu_disable_notify', { vcpu: 1 }),
  visible(1, 0),
  visible(1, 1),
  dom0('xc_altp2m_destroy_view', { view: 5 }),
];

/** The guest makes each operation on itself. */
const OWN_CALLS: readonly RawStep[] = Array.from({ length: 18 }, (_, cmd) => ({
  as: 'guest',
  vcpu: 0,
  call: 'hvm_op altp2m',
  // two operations with arguments of their own: a view's number, and a #VE page that is not to be had
  args: {
    version: 1,
    cmd,
    domain: 0x7ff0,
    pad1: 0,
    pad2: 0,
    u: (cmd === 16 ? '01000100' : cmd === 2 ? '01' : cmd === 4 ? '00000700' : '').padEnd(128, '0'),
  },
  expect: {},
}));

function altp2m(mode: number): readonly RawStep[] {
  const start = [create(), dom0('xc_set_paging_mempool_size', { bytes: 8 << 20 }), dom0('xc_domain_unpause')];
  const param = (value: number): RawStep => dom0('xc_hvm_param_set', { param: 'ALTP2M', value });
  if (mode === 0) {
    return [...start, ...EVERY_CALL, dom0('xc_altp2m_set_domain_state', { state: 1 }), vmfunc(0), ...OWN_CALLS];
  }
  return [
    ...start,
    ...[param(4), param(mode), param((mode % 3) + 1), dom0('xc_hvm_param_get', { param: 'ALTP2M' })],
    ...EVERY_CALL,
    dom0('xc_altp2m_set_domain_state', { state: 1 }),
    guest('nop'),
    vmfunc(0),
    dom0('xc_altp2m_set_vcpu_enable_notify', { vcpu: 0, gfn: VE }),
    ...EVERY_CALL,
    ...enter(1),
    ...enter(0),
    dom0('xc_altp2m_change_gfn', { view: 1, old_gfn: A, new_gfn: B }),
    ...[vmfunc(1), read(A), visible(1, 0), read(A), vmfunc(1), vmfunc(0), vmfunc(1)],
    ...[dom0('xc_altp2m_switch_to_view', { view: 1 }), visible(1, 1), vmfunc(1), read(A), vmfunc(0)],
    ...[vmfunc(0, 1), vmfunc(3), vmfunc(511), vmfunc(512), guest('call', { gpa: at(CODE) }), guest('ud2')],
    dom0('xc_altp2m_set_mem_access', { view: 1, gfn: C, access: 1 }),
    dom0('xc_altp2m_set_suppress_ve', { view: 1, gfn: C, sve: 0 }),
    ...[vmfunc(1), { do: 'zero', gfn: VE }, write(C, 7), { do: 'checkVeInfo', gfn: VE, expect: {} }],
    ...[write(C, 8), dom0('xc_altp2m_get_mem_access', { view: 1, gfn: C }), read(C), vmfunc(0)],
    ...OWN_CALLS,
    dom0('xc_domain_decrease_reservation_exact', { gfn: B }),
    guest('nop'),
    dom0('xc_altp2m_get_mem_access', { view: 1, gfn: A }),
    dom0('xc_altp2m_set_domain_state', { state: 0 }),
    ...[vmfunc(0), read(A), dom0('xc_altp2m_get_domain_state')],
    dom0('xc_altp2m_set_domain_state', { state: 1 }),
    dom0('xc_altp2m_switch_to_view', { view: 1 }),
    dom0('xc_domain_destroy'),
    ...EVERY_CALL.slice(0, 3),
  ];
}

const info = dom0('xc_domain_getinfo_single');

const lifeCycle: readonly RawStep[] = [
  create(2),
  info,
  dom0('xc_domain_maximum_gpfn'),
  dom0('xc_domain_max_vcpus', { max: 3 }),
  dom0('xc_domain_populate_physmap_exact', { gfn: 0x100 }),
  dom0('xc_domain_maximum_gpfn'),
  dom0('xc_domain_decrease_reservation_exact', { gfn: 0x100 }),
  dom0('xc_domain_decrease_reservation_exact', { gfn: 0x100 }),
  dom0('xc_domain_setmaxmem', { max_memkb: 256 }),
  dom0('xc_domain_populate_physmap_exact', { gfn: 0x101 }),
  dom0('xc_domain_setmaxmem', { max_memkb: 16384 }),
  ...[dom0('xc_domain_unpause'), guest('nop'), write(A, 0x1234), read(A), guest('call', { gpa: at(CODE) })],
  { do: 'checkMemory', expect: { [A]: 0 } },
  ...[dom0('xc_domain_pause'), info, dom0('xc_domain_pause'), dom0('xc_domain_unpause'), dom0('xc_domain_unpause')],
  ...[dom0('xc_domain_unpause'), guest('nop'), dom0('xc_domain_shutdown', { reason: 'reboot' }), info],
  ...[dom0('xc_domain_destroy'), info, dom0('xc_domain_destroy'), dom0('xc_domain_pause')],
];

/** Parameters whose value acts at once when it is set. */
const SIDE_EFFECTS: ReadonlySet<string> = new Set([
  'CALLBACK_IRQ',
  'IDENT_PT',
  'VIRIDIAN',
  'ACPI_S_STATE',
  'VM86_TSS',
  'VM86_TSS_SIZED',
]);

const hvmParams: readonly RawStep[] = [
  create(1),
  ...HVM_PARAM_NAMES.flatMap((param) => [
    dom0('xc_hvm_param_get', { param }),
    ...(SIDE_EFFECTS.has(param) ? [] : [dom0('xc_hvm_param_set', { param, value: 0 })]),
  ]),
  dom0('xc_hvm_param_set', { param: 'MONITOR_RING_PFN', value: 0x3f }),
  dom0('xc_hvm_param_get', { param: 'MONITOR_RING_PFN' }),
  dom0('xc_domain_destroy'),
  dom0('xc_hvm_param_get', { param: 'ALTP2M' }),
];

/** Calls on domains that are none, on special ids, and on dom0, which is PV. Nothing here could do harm if it worked. */
const errors: readonly RawStep[] = [create(1)].concat(
  [0x7000, 0x7ff0, 0x7ff1, 0x7ff4, 0].flatMap((target) => [
    dom0('xc_altp2m_get_domain_state', {}, { target }),
    dom0('xc_altp2m_set_visibility', { view: 0, visible: 1 }, { target }),
    dom0('xc_hvm_param_get', { param: 'ALTP2M' }, { target }),
    ...(target === 0 || target === 0x7ff0
      ? []
      : [
          dom0('xc_domain_maximum_gpfn', {}, { target }),
          dom0('xc_domain_pause', {}, { target }),
          dom0('xc_domain_unpause', {}, { target }),
          dom0('xc_domain_destroy', {}, { target }),
          dom0('xc_domain_setmaxmem', { max_memkb: 16384 }, { target }),
        ]),
  ]),
);

/** What is recorded, and where. */
export interface Script {
  readonly engine: Engine;
  /** Devices that the machine has besides its own. */
  readonly pci?: readonly string[];
  readonly steps: readonly RawStep[];
}

/** By the name of the golden file. */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  'altp2m-disabled': { engine: 'bochs', steps: altp2m(0) },
  'altp2m-mixed': { engine: 'bochs', steps: altp2m(1) },
  'altp2m-external': { engine: 'bochs', steps: altp2m(2) },
  'altp2m-limited': { engine: 'bochs', steps: altp2m(3) },
  'hvm-life-cycle': { engine: 'bochs', steps: lifeCycle },
  'hvm-params': { engine: 'bochs', steps: hvmParams },
  errors: { engine: 'bochs', steps: errors },
  'events-options': { engine: 'bochs', steps: monitorOptions },
  'events-options-amd': { engine: 'qemu', steps: monitorOptions },
  'events-registers': { engine: 'bochs', steps: [...registerEvents, ...breakpoints] },
  'events-registers-amd': { engine: 'qemu', steps: registerEvents },
  'events-memory': { engine: 'bochs', steps: memoryEvents },
  'msix-amd': { engine: 'qemu', pci: ['e1000e', 'nvme'], steps: msix },
  'events-views': { engine: 'bochs', steps: viewEvents },
};
