/**
 * The errno of every public call on every kind of domain. The tables were measured on Xen 4.17 with a PV dom0 and are
 * asked for again on each target. A new public call needs a row here.
 */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { ALTP2M_CALLS, DOMAIN_CALLS, ENDING, OTHER_CALLS } from './calls.js';
import { ABSENT_DOMID, bareDomain, hvmDomain, pvDomain, type TestDomain } from './domains.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

/**
 * Columns: no such domain (never there, and destroyed); ids that are reserved, but no domain's; DOMID_SELF, DOMID_IO,
 * DOMID_XEN; dom0 itself; a PV domain; an HVM domain as it is created, with vCPUs and memory, shut down, and destroyed
 * while a page of it is mapped. An errno in brackets is that of the page, `-` is not asked for.
 */
const TABLE = `
                                       gone   reserved self       io         xen     dom0       pv         bare   hvm     shut    dying
xc_domain_getinfo_single               ESRCH  EINVAL   EINVAL     EINVAL     EINVAL  ok         ok         ok     ok      ok      ok
xc_domain_getinfolist                  ok     ok       ok         ok         ok      ok         ok         ok     ok      ok      ok
xc_domain_create                       ok     ok       ok         ok         ok      ok         EEXIST     EEXIST EEXIST  EEXIST  EEXIST
xc_domain_sethandle                    ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_max_vcpus                    ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_domain_pause                        ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_domain_unpause                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_domain_set_access_required          ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      ok         ok     ok      ok      ok
xc_domain_setmaxmem                    ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_maximum_gpfn                 ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_populate_physmap             ok     ok       ok         ok         ok      ok         ok         ok     ok      ok      ok
xc_domain_populate_physmap_exact       EBUSY  EBUSY    EBUSY      EBUSY      EBUSY   EBUSY      EBUSY      EBUSY  EBUSY   EBUSY   EBUSY
xc_domain_populate_physmap_exact_async EBUSY  EBUSY    EBUSY      EBUSY      EBUSY   EBUSY      EBUSY      EBUSY  EBUSY   EBUSY   EBUSY
xc_domain_increase_reservation         ok     ok       ok         ok         ok      ok         ok         ok     ok      ok      ok
xc_domain_increase_reservation_exact   EBUSY  EBUSY    EBUSY      EBUSY      EBUSY   EBUSY      EBUSY      EBUSY  EBUSY   EBUSY   EBUSY
xc_domain_decrease_reservation         ok     ok       ok         ok         ok      ok         ok         ok     ok      ok      ok
xc_domain_decrease_reservation_exact   EBUSY  EBUSY    EBUSY      EBUSY      EBUSY   EBUSY      EBUSY      EBUSY  EBUSY   EBUSY   EBUSY
xc_get_paging_mempool_size             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EOPNOTSUPP EOPNOTSUPP ok     ok      ok      ok
xc_set_paging_mempool_size             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EOPNOTSUPP EOPNOTSUPP ok     ok      ok      ok
xc_hvm_param_get                       ESRCH  ESRCH    EINVAL     ESRCH      ESRCH   EINVAL     EINVAL     ok     ok      ok      ok
xc_hvm_param_set                       ESRCH  ESRCH    EINVAL     ESRCH      ESRCH   EINVAL     EINVAL     ok     ok      ok      ok
xc_domain_hvm_getcontext               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     -      ok      ok      EINVAL
xc_domain_hvm_setcontext               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     -      ENODATA ENODATA EINVAL
xc_map_foreign_bulk                    ESRCH  ESRCH    ok         ok         [EPERM] ESRCH      [EPERM]    [EINVAL] ok    ok      [EINVAL]
xc_map_foreign_pages                   ESRCH  ESRCH    ok         ok         EPERM   ESRCH      EPERM      EINVAL ok      ok      EINVAL
xc_map_foreign_range                   ESRCH  ESRCH    ok         ok         EPERM   ESRCH      EPERM      EINVAL ok      ok      EINVAL
xc_domain_shutdown                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   -          ok         ok     ok      ok      ok
xc_domain_destroy                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_domain_destroy_async                ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_set_mem_access                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EINVAL     -      -       -       EINVAL
xc_set_mem_access_multi                ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EINVAL     -      -       -       EINVAL
xc_get_mem_access                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EINVAL     -      -       -       EINVAL
xc_monitor_enable                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_monitor_disable                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  ok
xc_monitor_resume                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ENODEV     ENODEV ENODEV  ENODEV  ok
xc_monitor_get_capabilities            ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      ok         ok     ok      ok      ok
xc_monitor_write_ctrlreg               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EINVAL EINVAL  EINVAL  EINVAL
xc_monitor_mov_to_msr                  ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_singlestep                  ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP -      -       -       -
xc_monitor_software_breakpoint         ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_descriptor_access           ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP -      -       -       -
xc_monitor_guest_request               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_inguest_pagefault           ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_debug_exceptions            ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_cpuid                       ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_privileged_call             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_monitor_emul_unimplemented          ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_vmexit                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EOPNOTSUPP EEXIST EEXIST  EEXIST  EEXIST
xc_monitor_io                          EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_monitor_control_registers           ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      ok         ok     ok      ok      ok
xc_monitor_emulate_each_rep            ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_domain_nr_gpfns                     ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_add_to_physmap               ESRCH  ESRCH    EACCES     ESRCH      ESRCH   EACCES     EACCES     EINVAL EINVAL  EINVAL  EINVAL
xc_domain_add_to_physmap_batch         ESRCH  ESRCH    EACCES     ESRCH      ESRCH   EACCES     EACCES     ok     ok      ok      ok
xc_domain_remove_from_physmap          ESRCH  ESRCH    EACCES     ESRCH      ESRCH   EACCES     EACCES     ENOENT ENOENT  ENOENT  ENOENT
xc_domain_get_guest_width              ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_translate_foreign_address           ESRCH  EINVAL   EINVAL     EINVAL     EINVAL  EINVAL     EINVAL     ENOENT ENOENT  ENOENT  EINVAL
xc_hvm_inject_trap                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EPERM      EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_gnttab_query_size                   ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_gnttab_get_version                  ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_memshr_control                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ENOSYS     ENOSYS     ENOSYS ENOSYS  ENOSYS  ENOSYS
xc_memshr_fork                         ENOSYS ENOSYS   ENOSYS     ENOSYS     ENOSYS  ENOSYS     ENOSYS     ENOSYS ENOSYS  ENOSYS  ENOSYS
xc_memshr_fork_reset                   ENOSYS ENOSYS   ENOSYS     ENOSYS     ENOSYS  ENOSYS     ENOSYS     ENOSYS ENOSYS  ENOSYS  ENOSYS
xc_vmtrace_enable                      ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vmtrace_disable                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vmtrace_reset_and_enable            ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vmtrace_output_position             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vmtrace_get_option                  ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vmtrace_set_option                  ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_evtchn_alloc_unbound                ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      EINVAL
xc_evtchn_status                       ESRCH  ESRCH    ok         ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_evtchn_reset                        ESRCH  ESRCH    -          ESRCH      ESRCH   -          ok         ok     ok      ok      ok
xc_domain_set_virq_handler             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vcpu_getcontext                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   -          ENODATA    ENODATA ENODATA ENODATA ENODATA
xc_vcpu_setcontext                     ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_vcpu_getinfo                        ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_vcpu_get_extstate                   ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   -          ok         ok     ok      ok      ok
xc_domain_setdebugging                 ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     ok         ok     ok      ok      ok
xc_domain_debug_control                ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     ENOSYS ENOSYS  ENOSYS  ENOSYS
xc_domain_hvm_getcontext_partial       ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     ENODATA ENODATA ENODATA EINVAL
xc_domain_ioport_permission            ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_irq_permission               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_domain_gsi_permission               EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_domain_iomem_permission             ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   ok         ok         ok     ok      ok      ok
xc_domain_memory_mapping               ESRCH  EINVAL   EINVAL     EINVAL     EINVAL  ok         ok         EPERM  EPERM   EPERM   EPERM
xc_domain_ioport_mapping               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EOPNOTSUPP EOPNOTSUPP EINVAL EINVAL  EINVAL  EINVAL
xc_assign_device                       ESRCH  ESRCH    ESRCH      EOPNOTSUPP ESRCH   EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_test_assign_device                  ESRCH  -        ESRCH      ESRCH      ESRCH   EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_deassign_device                     ESRCH  ESRCH    ESRCH      EOPNOTSUPP ESRCH   EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_get_device_group                    ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP
xc_physdev_map_pirq                    ESRCH  ESRCH    EINVAL     ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_physdev_map_pirq_gsi                ESRCH  ESRCH    EINVAL     ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_physdev_map_pirq_msi                ESRCH  ESRCH    ENODEV     ESRCH      ESRCH   ENODEV     ENODEV     ENODEV ENODEV  ENODEV  ENODEV
xc_physdev_unmap_pirq                  ESRCH  ESRCH    EINVAL     ESRCH      ESRCH   EINVAL     EINVAL     EINVAL EINVAL  EINVAL  EINVAL
xc_domain_update_msi_irq               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
xc_domain_unbind_msi_irq               ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
xc_domain_bind_pt_irq                  ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
xc_domain_unbind_pt_irq                ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
xc_domain_bind_pt_pci_irq              ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
xc_domain_bind_pt_isa_irq              ESRCH  ESRCH    ESRCH      ESRCH      ESRCH   EINVAL     EINVAL     EPERM  EPERM   EPERM   EPERM
`;

/** Where the host has altp2m; elsewhere all are EOPNOTSUPP, before the domain is looked for. The domains have no mode. */
const ALTP2M_STATE = 'ESRCH ESRCH EOPNOTSUPP ESRCH ESRCH EOPNOTSUPP EOPNOTSUPP EINVAL EINVAL EINVAL -';
const ALTP2M_OFF = 'ESRCH ESRCH EOPNOTSUPP ESRCH ESRCH EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP EOPNOTSUPP -';
const STATE_CALLS: readonly string[] = ['xc_altp2m_get_domain_state', 'xc_altp2m_set_domain_state'];

/** A domain of one kind; made anew when a call has ended it. */
interface Subject {
  readonly domid: number;
  dispose(): void;
}

function fixed(domid: number): () => Subject {
  return () => ({ domid, dispose: () => {} });
}

function made(make: () => TestDomain): () => Subject {
  return () => {
    const domain = make();
    return { domid: domain.domid, dispose: () => domain[Symbol.dispose]() };
  };
}

function destroyed(): Subject {
  const { domid, destroy } = ((domain) => ({ domid: domain.domid, destroy: () => domain.destroy() }))(
    hvmDomain(target),
  );
  destroy();
  return { domid, dispose: () => {} };
}

function dying(): Subject {
  const domain = hvmDomain(target);
  const page = xc.xc_map_foreign_range(xch, domain.domid, 4096, xc.PROT_READ, 0x20);
  domain.destroy();
  return { domid: domain.domid, dispose: () => page.close() };
}

function shutDown(): TestDomain {
  const domain = hvmDomain(target);
  xc.xc_domain_shutdown(xch, domain.domid, xc.SHUTDOWN_poweroff);
  return domain;
}

const SUBJECTS: Readonly<Record<string, readonly (() => Subject)[]>> = {
  gone: [fixed(ABSENT_DOMID), destroyed],
  // DOMID_COW, DOMID_INVALID, one without a name, DOMID_IDLE, beyond all
  reserved: [0x7ff3, 0x7ff4, 0x7ff5, 0x7fff, 0x8000, 0xffff].map(fixed),
  self: [fixed(xc.DOMID_SELF)],
  io: [fixed(0x7ff1)],
  xen: [fixed(0x7ff2)],
  dom0: [fixed(0)],
  pv: [made(() => pvDomain(target))],
  bare: [made(() => bareDomain(target))],
  hvm: [made(() => hvmDomain(target))],
  shut: [made(shutDown)],
  dying: [dying],
};

const [header = '', ...lines] = TABLE.trim().split('\n');
const KINDS = header.trim().split(/\s+/);
const ROWS = new Map(lines.map((line) => line.trim().split(/\s+/)).map(([name = '', ...cells]) => [name, cells]));

async function asked(call: () => unknown): Promise<string> {
  try {
    const answer = await call();
    return typeof answer === 'string' ? answer : 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
}

/** Why the tables do not hold here, or false. */
function otherXen(): string | false {
  if (xch.abi.release !== '4.17') return `the tables were measured on Xen 4.17, this is ${xch.abi.release}`;
  const { hvm_guest } = xc.xc_domain_getinfo_single(xch, 0);
  return hvm_guest ? 'the tables were measured with a PV dom0, this one is PVH' : false;
}

const skip = otherXen();

test('every public call is in a table, or names no domain', () => {
  const tables = [...Object.keys(DOMAIN_CALLS), ...Object.keys(ALTP2M_CALLS), ...OTHER_CALLS];
  const calls = Object.keys(xc).filter((name) => name.startsWith('xc_'));
  assert.deepEqual(calls.toSorted(), tables.toSorted());
  assert.deepEqual([...ROWS.keys()].toSorted(), Object.keys(DOMAIN_CALLS).toSorted());
  assert.deepEqual(KINDS, Object.keys(SUBJECTS));
});

/** What calls give on a domain of one kind, one after the other; a domain that a call has ended is made anew. */
async function answers(make: () => Subject, calls: readonly Row[]): Promise<Record<string, string>> {
  const got: Record<string, string> = {};
  let subject = make();
  try {
    for (const { name, call } of calls) {
      const answer = await asked(() => call(xch, subject.domid));
      got[name] = answer;
      if (!ENDING.has(name) || answer !== 'ok') continue;
      subject.dispose();
      subject = make();
    }
  } finally {
    subject.dispose();
  }
  return got;
}

interface Row {
  readonly name: string;
  readonly call: (xch: xc.XcInterface, domid: number) => unknown;
  readonly expected: string;
}

function rows(calls: typeof DOMAIN_CALLS, cell: (name: string) => string | undefined): Row[] {
  return Object.entries(calls)
    .map(([name, call]) => ({ name, call, expected: cell(name) ?? '-' }))
    .filter(({ expected }) => expected !== '-');
}

for (const [column, kind] of KINDS.entries()) {
  const ofDomains = rows(DOMAIN_CALLS, (name) => ROWS.get(name)?.[column]);
  const ofAltp2m = rows(ALTP2M_CALLS, (name) =>
    target.noAltp2m === null
      ? (STATE_CALLS.includes(name) ? ALTP2M_STATE : ALTP2M_OFF).split(' ')[column]
      : 'EOPNOTSUPP',
  );
  for (const [variant, make] of (SUBJECTS[kind] ?? []).entries()) {
    const of = variant > 0 ? `${kind} (${variant + 1})` : kind;
    for (const [family, calls] of Object.entries({ 'the altp2m calls': ofAltp2m, 'all other calls': ofDomains })) {
      test(`${family} on ${of}`, { skip: calls.length === 0 ? 'not measured' : skip }, async () => {
        const expected = Object.fromEntries(calls.map((row) => [row.name, row.expected]));
        assert.deepEqual(await answers(make, calls), expected);
      });
    }
  }
}

const noHostEnd = target.model ? false : 'on a real Xen this ends the whole host';

test('dom0 can shut itself down', { skip: noHostEnd }, () => {
  const own = target.open();
  assert.equal(
    outcome(() => xc.xc_domain_shutdown(own, 0, xc.SHUTDOWN_reboot)),
    'ok',
  );
  assert.equal(xc.xc_domain_getinfo_single(own, 0).shutdown_reason, xc.SHUTDOWN_reboot);
});
