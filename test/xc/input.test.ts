/**
 * Bad input for every public call: a TypeError or a RangeError, and the hypervisor has seen nothing. Every `xc_` function
 * that the front door exports needs a row here.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as xc from '#dist/index.js';
import { decodeVcpuContext } from '#dist/xc/vcpu_context.js';
import { configBytes, msixBody } from '../abi/pci/bytes.js';
import { FakeXen, fakeMapping } from './fake.js';

type Bad = fc.Arbitrary<unknown>;

/** One argument: a value that is accepted, and values that must not be. */
interface Argument {
  readonly good: unknown;
  readonly bad: Bad;
}

const never = Symbol('no access type');
const noNumbers = fc.constantFrom<unknown>('1', '', null, {}, [], [1], () => 1, true, false, never, new Date(5));
const notWhole = fc.oneof(
  fc.constantFrom<unknown>(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5),
  fc.double({ noNaN: true, noInteger: true }),
  fc.integer({ max: -1 }),
);
const above = (most: number): Bad =>
  fc.oneof(
    fc.integer({ min: most + 1, max: Math.max(most + 1, 2 ** 53 - 1) }),
    fc.double({ min: most + 1, noNaN: true }),
  );

const missing = fc.constant(undefined);

const unsigned = (most: number, good: number): Argument => ({
  good,
  bad: fc.oneof(missing, noNumbers, notWhole, above(most), fc.bigInt()),
});
const u8 = unsigned(0xff, 3);
const u16 = unsigned(0xffff, 7);
const u32 = unsigned(0xffff_ffff, 2);
const domid = u16;
const badU64 = fc.oneof(
  noNumbers,
  notWhole,
  fc.constantFrom<unknown>(2 ** 53, 2 ** 60, 1e300),
  fc.bigInt({ max: -1n }),
  fc.bigInt({ min: 2n ** 64n, max: 2n ** 80n }),
);
const u64: Argument = { good: 5, bad: fc.oneof(missing, badU64) };
const flag: Argument = {
  good: true,
  bad: fc.oneof(missing, fc.constantFrom<unknown>(0, 1, 'true', null, {}, 1n, Number.NaN), fc.integer()),
};
const badAccess = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, 'rwx', {}, never, true, 7n),
  notWhole,
  above(0xffff),
);
const access: Argument = { good: xc.XENMEM_access.rx, bad: badAccess };
/** A list with one bad entry among good ones. */
const spoiled = (good: unknown, bad: Bad): Bad =>
  fc
    .tuple(fc.nat(5), bad, fc.nat(5))
    .map(([before, entry, after]) => [...Array(before).fill(good), entry, ...Array(after).fill(good)]);
const noLists = fc.constantFrom<unknown>(null, undefined, 5, 'ab', {}, 5n, Uint8Array.of(1), Float64Array.of(1));
const holes = fc.constantFrom<unknown>(new Array(3), Object.assign(new Array(3), { 0: 1, 2: 3 }));
const frames: Argument = { good: [1, 2n, 3], bad: fc.oneof(noLists, holes, spoiled(1, fc.oneof(missing, badU64))) };
const accessList: Argument = {
  good: [0, 7, xc.XENMEM_access.default],
  bad: fc.oneof(
    fc.constantFrom<unknown>(null, undefined, 5, 'abc', {}, [7], [7, 7, 7, 7], new Uint8Array(2), new Array(3)),
    fc.tuple(fc.constant(7), badAccess, fc.constant(7)),
  ),
};
const prot: Argument = {
  good: 3,
  bad: fc.oneof(missing, noNumbers, notWhole, fc.constantFrom<unknown>(0, 4, 5, 7, 1n), above(3)),
};
const uuid: Argument = {
  good: '00112233-4455-6677-8899-aabbccddeeff',
  bad: fc.oneof(
    fc.string(),
    fc.constantFrom<unknown>(undefined, null, 5, {}, '00112233445566778899aabbccddeeff', new Uint8Array(16)),
  ),
};
const stream: Argument = {
  good: new Uint8Array(8),
  bad: fc.constantFrom<unknown>(undefined, null, 'ab', [1, 2], {}, new ArrayBuffer(8), new Uint16Array(4), 5),
};
const size: Argument = {
  good: 4096,
  bad: fc.oneof(missing, noNumbers, notWhole, fc.constant(0), above(2 ** 36), fc.bigInt()),
};
const version: Argument = { good: xc.XENVER_pagesize, bad: fc.oneof(u32.bad, above(14)) };

const good = { flags: 3, max_vcpus: 1 };
const setting = (name: string, bad: Bad): Bad => bad.map((value) => ({ ...good, [name]: value }));
const given = (argument: Argument): Bad => argument.bad.filter((value) => value !== undefined && value !== null);
const s32bad = fc.oneof(
  noNumbers.filter((value) => value !== null),
  fc.double({ noNaN: true, noInteger: true }),
  above(0x7fff_ffff),
  fc.integer({ max: -0x7fff_ffff }).map((value) => value - 2),
);
const config: Argument = {
  good,
  bad: fc.oneof(
    fc.constantFrom<unknown>(undefined, null, 5, 'hvm', [], {}, { flags: 3 }, { max_vcpus: 1 }),
    ...['flags', 'max_vcpus'].map((name) => setting(name, u32.bad)),
    ...['ssidref', 'iommu_opts', 'max_evtchn_port', 'grant_opts', 'vmtrace_size', 'cpupool_id'].map((name) =>
      setting(name, given(u32)),
    ),
    ...['max_grant_frames', 'max_maptrack_frames'].map((name) => setting(name, s32bad)),
    setting('handle', given(uuid)),
    setting('arch', fc.constantFrom<unknown>(5, 'x', [], null)),
    setting(
      'arch',
      given(u32).map((emulation_flags) => ({ emulation_flags })),
    ),
    setting(
      'arch',
      given(u32).map((misc_flags) => ({ misc_flags })),
    ),
    setting('altp2m', fc.constantFrom<unknown>(5, 'external', [], null, {})),
    setting(
      'altp2m',
      given(u16).map((opts) => ({ opts })),
    ),
    setting(
      'altp2m',
      given(u16).map((nr) => ({ opts: 2, nr })),
    ),
  ),
};
const options: Argument = {
  good: {},
  bad: fc.constantFrom<unknown>(null, 5, 'x', [], { signal: {} }, { signal: 5 }, { onProgress: 5 }, { onProgress: {} }),
};
const optional = (argument: Argument): Argument => ({
  good: argument.good,
  bad: argument.bad.filter((value) => value !== undefined),
});

const WITHOUT_ARGUMENTS: readonly Argument[] = [];

const s32: Argument = { good: -1, bad: fc.oneof(missing, fc.constant(null), s32bad) };
/** A frame number that must be a `number`. */
const count: Argument = { good: 5, bad: fc.oneof(missing, noNumbers, notWhole, fc.constant(2 ** 53), fc.bigInt()) };
const lineType: Argument = {
  good: xc.PT_IRQ_TYPE_PCI,
  bad: fc.oneof(missing, noNumbers, notWhole, fc.constant(xc.PT_IRQ_TYPE_MSI), above(3), fc.bigInt()),
};

/** As xc_vcpu_getcontext gives it. */
const goodContext = decodeVcpuContext(new Uint8Array(5168));
const context: Argument = {
  good: goodContext,
  bad: fc.oneof(
    fc.constantFrom<unknown>(undefined, 5, 'x', [], {}, { ...goodContext, raw: new Uint8Array(5167) }),
    fc.constantFrom<unknown>(
      { ...goodContext, user_regs: null },
      { ...goodContext, user_regs: {} },
      { ...goodContext, user_regs: { ...goodContext.user_regs, cs: 0x10000n } },
      { ...goodContext, ctrlreg: [] },
      { ...goodContext, debugreg: [0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n << 64n] },
    ),
    fc.oneof(noNumbers, fc.integer(), fc.bigInt({ max: -1n }), fc.bigInt({ min: 2n ** 64n })).map((rip) => ({
      ...goodContext,
      user_regs: { ...goodContext.user_regs, rip },
    })),
    fc.oneof(noNumbers, fc.integer(), fc.bigInt({ max: -1n })).map((flags) => ({ ...goodContext, flags })),
  ),
};

const keys: Argument = {
  good: 'hq',
  bad: fc.oneof(
    fc.constantFrom<unknown>(undefined, null, 5, {}, ['h'], '', 'é', 'x'.repeat(4097)),
    fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => [...text].some((char) => char > '\x7f')),
  ),
};

/** Calls that need no Xen, and so take no handle. test/xc/host.test.ts has their bad input. */
const WITHOUT_HANDLE: ReadonlySet<string> = new Set(['xc_cpumap_clearcpu', 'xc_cpumap_setcpu', 'xc_cpumap_testcpu']);

/** The arguments of each call, after the handle. */
const CALLS: Readonly<Record<string, readonly Argument[]>> = {
  diagnoseAltp2m: [optional(domid)],
  readHvmCpu: [domid, u16],
  xc_altp2m_change_gfn: [domid, u16, u64, u64],
  xc_altp2m_create_view: [domid, access],
  xc_altp2m_destroy_view: [domid, u16],
  xc_altp2m_get_domain_state: [domid],
  xc_altp2m_get_mem_access: [domid, u16, u64],
  xc_altp2m_get_suppress_ve: [domid, u16, u64],
  xc_altp2m_get_vcpu_p2m_idx: [domid, u32],
  xc_altp2m_set_domain_state: [domid, flag],
  xc_altp2m_set_mem_access: [domid, u16, u64, access],
  xc_altp2m_set_mem_access_multi: [domid, u16, accessList, frames],
  xc_altp2m_set_mem_access_multi_async: [domid, u16, accessList, frames, optional(options)],
  xc_altp2m_set_suppress_ve: [domid, u16, u64, flag],
  xc_altp2m_set_suppress_ve_multi: [domid, u16, u64, u64, flag],
  xc_altp2m_set_supress_ve_multi: [domid, u16, u64, u64, flag],
  xc_altp2m_set_vcpu_disable_notify: [domid, u32],
  xc_altp2m_set_vcpu_enable_notify: [domid, u32, u64],
  xc_altp2m_set_visibility: [domid, u16, flag],
  xc_altp2m_switch_to_view: [domid, u16],
  xc_cpumap_alloc: WITHOUT_ARGUMENTS,
  xc_cputopoinfo: WITHOUT_ARGUMENTS,
  xc_domain_add_to_physmap: [domid, u32, u64, u64],
  xc_domain_add_to_physmap_batch: [domid, u16, u16, frames, frames],
  xc_domain_create: [domid, config],
  xc_domain_debug_control: [domid, u32, u32],
  xc_domain_decrease_reservation: [domid, u8, frames],
  xc_domain_decrease_reservation_exact: [domid, u8, frames],
  xc_domain_destroy: [domid],
  xc_domain_destroy_async: [domid, optional(options)],
  xc_domain_get_guest_width: [domid],
  xc_domain_getinfo_single: [domid],
  xc_domain_getinfolist: [u16, u32],
  xc_domain_hvm_getcontext: [domid],
  xc_domain_hvm_getcontext_partial: [domid, u16, u16],
  xc_domain_hvm_setcontext: [domid, stream],
  xc_domain_increase_reservation: [domid, u32, u8, u32],
  xc_domain_increase_reservation_exact: [domid, u32, u8, u32],
  xc_domain_max_vcpus: [domid, u32],
  xc_domain_maximum_gpfn: [domid],
  xc_domain_nr_gpfns: [domid],
  xc_domain_pause: [domid],
  xc_domain_populate_physmap: [domid, u8, u32, frames],
  xc_domain_populate_physmap_exact: [domid, u8, u32, frames],
  xc_domain_populate_physmap_exact_async: [domid, u8, u32, frames, optional(options)],
  xc_domain_remove_from_physmap: [domid, u64],
  xc_domain_set_access_required: [domid, flag],
  xc_domain_set_virq_handler: [domid, u32],
  xc_domain_sethandle: [domid, uuid],
  xc_domain_setdebugging: [domid, flag],
  xc_domain_setmaxmem: [domid, u64],
  xc_domain_shutdown: [domid, u32],
  xc_domain_unpause: [domid],
  xc_evtchn_alloc_unbound: [domid, u16],
  xc_evtchn_reset: [domid],
  xc_evtchn_status: [domid, u32],
  xc_get_cpumap_size: WITHOUT_ARGUMENTS,
  xc_get_max_cpus: WITHOUT_ARGUMENTS,
  xc_get_max_nodes: WITHOUT_ARGUMENTS,
  xc_get_nodemap_size: WITHOUT_ARGUMENTS,
  xc_get_online_cpus: WITHOUT_ARGUMENTS,
  xc_get_paging_mempool_size: [domid],
  xc_getcpuinfo: [u32],
  xc_get_mem_access: [domid, u64],
  xc_gnttab_get_version: [domid],
  xc_gnttab_query_size: [domid],
  xc_hvm_inject_trap: [domid, u32, u8, u8, u32, u8, u64],
  xc_hvm_param_get: [domid, u32],
  xc_hvm_param_set: [domid, u32, u64],
  xc_map_foreign_bulk: [
    domid,
    prot,
    { ...frames, bad: fc.oneof(frames.bad, fc.constantFrom([], [2 ** 53], [2n ** 60n])) },
  ],
  xc_map_foreign_pages: [domid, prot, { ...frames, bad: fc.oneof(frames.bad, fc.constant([])) }],
  xc_map_foreign_range: [
    domid,
    size,
    prot,
    { ...u64, bad: fc.oneof(u64.bad, fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n })) },
  ],
  xc_monitor_cpuid: [domid, flag],
  xc_monitor_debug_exceptions: [domid, flag, flag],
  xc_monitor_descriptor_access: [domid, flag],
  xc_monitor_disable: [domid],
  xc_monitor_emul_unimplemented: [domid, flag],
  xc_monitor_control_registers: [domid],
  xc_monitor_emulate_each_rep: [domid, flag],
  xc_monitor_enable: [domid],
  xc_monitor_get_capabilities: [domid],
  xc_monitor_guest_request: [domid, flag, flag, flag],
  xc_monitor_inguest_pagefault: [domid, flag],
  xc_monitor_io: [domid, flag],
  xc_monitor_mov_to_msr: [domid, u32, flag, flag],
  xc_monitor_privileged_call: [domid, flag],
  xc_monitor_resume: [domid],
  xc_monitor_singlestep: [domid, flag],
  xc_monitor_software_breakpoint: [domid, flag],
  xc_monitor_vmexit: [domid, flag, flag],
  xc_monitor_write_ctrlreg: [domid, u8, flag, flag, u64, flag],
  xc_memshr_control: [domid, flag],
  xc_memshr_fork: [domid, u16, optional(flag), optional(flag)],
  xc_memshr_fork_reset: [domid, flag, flag],
  xc_nodemap_alloc: WITHOUT_ARGUMENTS,
  xc_numainfo: WITHOUT_ARGUMENTS,
  xc_physinfo: WITHOUT_ARGUMENTS,
  xc_readconsolering: [u32, optional(flag), optional(flag), optional(u32)],
  xc_send_debug_keys: [keys],
  xc_set_mem_access: [domid, access, u64, u32],
  xc_set_mem_access_multi: [domid, accessList, frames],
  xc_set_paging_mempool_size: [domid, u64],
  xc_translate_foreign_address: [domid, u16, u64],
  xc_vcpu_get_extstate: [domid, u32],
  xc_vcpu_getcontext: [domid, u32],
  xc_vcpu_getinfo: [domid, u32],
  xc_vcpu_setcontext: [domid, u32, context],
  xc_version: [version],
  xc_vm_event_get_version: WITHOUT_ARGUMENTS,
  xc_vmtrace_disable: [domid, u32],
  xc_vmtrace_enable: [domid, u32],
  xc_vmtrace_get_option: [domid, u32, u64],
  xc_vmtrace_output_position: [domid, u32],
  xc_vmtrace_reset_and_enable: [domid, u32],
  xc_vmtrace_set_option: [domid, u32, u64, u64],
  xc_xenver_buildid: WITHOUT_ARGUMENTS,
  xc_xenver_capabilities: WITHOUT_ARGUMENTS,
  xc_xenver_changeset: WITHOUT_ARGUMENTS,
  xc_xenver_commandline: WITHOUT_ARGUMENTS,
  xc_xenver_compile_info: WITHOUT_ARGUMENTS,
  xc_xenver_extraversion: WITHOUT_ARGUMENTS,
  xc_xenver_get_features: [optional(u32)],
  xc_xenver_guest_handle: WITHOUT_ARGUMENTS,
  xc_xenver_pagesize: WITHOUT_ARGUMENTS,
  xc_xenver_platform_parameters: WITHOUT_ARGUMENTS,
  xenforeignmemory_map_resource: [
    domid,
    u16,
    u32,
    { good: 0, bad: fc.oneof(missing, noNumbers, notWhole, fc.bigInt()) },
    { ...u32, bad: fc.oneof(u32.bad, fc.constant(0), fc.constant(2 ** 24 + 1)) },
    prot,
  ],
  xenforeignmemory_resource_size: [domid, u16, u32],
  xc_assign_device: [domid, u32, u32],
  xc_deassign_device: [domid, u32],
  xc_test_assign_device: [domid, u32],
  xc_get_device_group: [domid, u32, { ...u32, bad: fc.oneof(u32.bad, fc.constant(65537)) }],
  xc_domain_ioport_mapping: [domid, u32, u32, u32, flag],
  xc_domain_memory_mapping: [domid, count, count, count, flag],
  xc_domain_gsi_permission: [domid, u32, u32],
  xc_domain_iomem_permission: [domid, u64, u64, flag],
  xc_domain_ioport_permission: [domid, u32, u32, flag],
  xc_domain_irq_permission: [domid, u32, flag],
  xc_physdev_prepare_msix: [u32],
  xc_physdev_release_msix: [u32],
  xc_physdev_map_pirq: [domid, s32, s32],
  xc_physdev_map_pirq_gsi: [domid, s32, s32],
  xc_physdev_map_pirq_msi: [domid, s32, s32, u8, s32, s32, u64],
  xc_physdev_unmap_pirq: [domid, s32],
  xc_domain_bind_pt_irq: [domid, u8, lineType, u8, u8, u8, u8],
  xc_domain_unbind_pt_irq: [domid, u8, lineType, u8, u8, u8, u8],
  xc_domain_bind_pt_isa_irq: [domid, u8],
  xc_domain_bind_pt_pci_irq: [domid, u8, u8, u8, u8],
  xc_domain_unbind_msi_irq: [domid, u8, u32, u32],
  xc_domain_update_msi_irq: [domid, u8, u32, u32, u64],
};

type Callable = (...args: unknown[]) => unknown;

function fresh(): { xen: FakeXen; xch: xc.XcInterface; seen: () => number } {
  const xen = new FakeXen({ version: '4.22' });
  xen.mapping = (_, gfns) => fakeMapping(gfns.length);
  xen.pciConfig = () => configBytes({ capabilities: [{ id: 0x11, offset: 0x40, body: msixBody(0, 0, 8) }] });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  let made = 0;
  const { hypercall } = xen;
  xen.hypercall = (...args) => {
    made++;
    return hypercall.apply(xen, args);
  };
  return {
    xen,
    xch,
    seen: () => made + xen.calls.length + xen.mapped.length + xen.resources.length + xen.dmOps.length,
  };
}

function isRefusal(error: unknown): boolean {
  return (error instanceof TypeError || error instanceof RangeError) && error.message.length > 0;
}

/** Runs a call to its end; gives what it threw, or undefined. */
async function thrownBy(call: Callable, args: readonly unknown[]): Promise<unknown> {
  try {
    await call(...args);
    return undefined;
  } catch (error) {
    return error;
  }
}

const exported = Object.entries(xc).filter(
  (entry): entry is [string, Callable] =>
    typeof entry[1] === 'function' && /^(xc_|xenforeignmemory_|readHvmCpu$|diagnoseAltp2m$)/.test(entry[0]),
);
const calls = exported.filter(([name]) => !name.startsWith('xc_interface_') && !WITHOUT_HANDLE.has(name));

test('every exported call has its arguments described here', () => {
  assert.deepEqual(
    calls.map(([name]) => name).filter((name) => CALLS[name] === undefined),
    [],
  );
});

for (const [name, call] of calls) {
  const description = CALLS[name];
  if (!description) continue;

  test(`${name} accepts good arguments`, async () => {
    const { xch, seen, xen } = fresh();
    xen.answer = ({ op, args }) => (op === 12 && args[0] !== 14 ? 3 : 0);
    const error = await thrownBy(call, [xch, ...description.map((one) => one.good)]);
    const expected = error === undefined || (error instanceof xc.XenError && error.errno < 0);
    assert.ok(expected, `${error}`);
    assert.ok(seen() > 0, 'the hypervisor was asked');
  });

  test(`${name} refuses bad arguments before anything is sent`, async () => {
    for (const [index, argument] of description.entries()) {
      await fc.assert(
        fc.asyncProperty(argument.bad, async (bad) => {
          const { xch, seen } = fresh();
          const args: unknown[] = description.map((one) => one.good);
          args[index] = bad;
          const error = await thrownBy(call, [xch, ...args]);
          assert.ok(isRefusal(error), `argument ${index + 1}: ${String(error)}`);
          assert.equal(seen(), 0, 'the hypervisor saw a call');
        }),
        { numRuns: 60 },
      );
    }
  });

  test(`${name} refuses what is no open handle`, async () => {
    const args = description.map((one) => one.good);
    const { xch, seen } = fresh();
    xc.xc_interface_close(xch);
    for (const handle of [xch, undefined, null, {}, 5, 'xch']) {
      const error = await thrownBy(call, [handle, ...args]);
      assert.ok(error instanceof TypeError, `${String(handle)}: ${String(error)}`);
    }
    assert.equal(seen(), 0);
  });
}

test('xc_interface_open refuses bad options', () => {
  const hypervisor = new FakeXen();
  assert.throws(() => xc.xc_interface_open({ hypervisor, backend: 'model' }), TypeError);
  assert.throws(() => xc.xc_interface_open({ backend: 'hyper-v' as 'model' }), TypeError);
});
