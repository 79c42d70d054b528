/** Every hypercall of the calls of this package is told in their own words; others as raw words. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HVM_PARAM_ALTP2M, HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import { RELEASES, type Release } from '#dist/abi/release.js';
import { INVALID_GFN } from '#dist/abi/xen.js';
import type { Hypervisor } from '#dist/hypervisor/port.js';
import { ModelXen } from '#dist/model/index.js';
import { decorate } from '#dist/trace/decorate.js';
import { NO_COLOURS, TERMINAL_COLOURS } from '#dist/trace/format.js';
import { observe } from '#dist/trace/observe.js';
import { layoutsOf, Tracer } from '#dist/trace/tracer.js';
import * as altp2m from '#dist/xc/altp2m.js';
import * as multi from '#dist/xc/altp2m_multi.js';
import * as asynchronous from '#dist/xc/altp2m_multi_async.js';
import * as domain from '#dist/xc/domain.js';
import { xc_domain_create } from '#dist/xc/domain_create.js';
import * as info from '#dist/xc/domain_info.js';
import { xc_map_foreign_range } from '#dist/xc/foreign_memory.js';
import * as context from '#dist/xc/hvm_context.js';
import * as params from '#dist/xc/hvm_param.js';
import { type XcInterface, xc_interface_open } from '#dist/xc/interface.js';
import * as memory from '#dist/xc/memory.js';
import * as monitor from '#dist/xc/monitor.js';
import { xc_physinfo } from '#dist/xc/sysctl.js';
import * as version from '#dist/xc/version.js';
import { scratchFolder } from '../scratch.js';
import { accessOp, rawDomctl, withEnvironment } from './session.js';

const folder = scratchFolder();

/** A traced handle on a model with one guest, 1; `lines` grows. */
function traced(release: Release, colours = NO_COLOURS): { xen: ModelXen; xch: XcInterface; lines: string[] } {
  const xen = new ModelXen({ release });
  xen.createGuest({ vcpus: 2, memoryPages: 1024, altp2m: 'external' });
  const lines: string[] = [];
  const tracer = new Tracer(xen, (line) => lines.push(line), colours);
  const xch = xc_interface_open({ hypervisor: decorate(xen, tracer) });
  lines.length = 0;
  return { xen, xch, lines };
}

/** What was printed, without the times. */
function untimed(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/ {2}\d+\.\dus$/, ''));
}

type Call = readonly [make: (xch: XcInterface) => unknown, line: string];

const CALLS: readonly Call[] = [
  [(x) => altp2m.xc_altp2m_get_domain_state(x, 1), 'xc_altp2m_get_domain_state(domid=1) = 0 {state=0}'],
  [(x) => altp2m.xc_altp2m_set_domain_state(x, 1, true), 'xc_altp2m_set_domain_state(domid=1, state=1) = 0'],
  [(x) => altp2m.xc_altp2m_create_view(x, 1, 7), 'xc_altp2m_create_view(domid=1, default_access=rwx) = 0 {view=1}'],
  [
    (x) => altp2m.xc_altp2m_set_visibility(x, 1, 9, false),
    'xc_altp2m_set_visibility(domid=1, view=9, visible=0) = -EINVAL',
  ],
  [(x) => altp2m.xc_altp2m_switch_to_view(x, 1, 1), 'xc_altp2m_switch_to_view(domid=1, view=1) = 0'],
  [(x) => altp2m.xc_altp2m_get_vcpu_p2m_idx(x, 1, 0), 'xc_altp2m_get_vcpu_p2m_idx(domid=1, vcpu=0) = 0 {idx=1}'],
  [
    (x) => altp2m.xc_altp2m_set_mem_access(x, 1, 1, 0x43, 3),
    'xc_altp2m_set_mem_access(domid=1, view=1, gfn=0x43, access=rw) = 0',
  ],
  [
    (x) => altp2m.xc_altp2m_get_mem_access(x, 1, 1, 0x43),
    'xc_altp2m_get_mem_access(domid=1, view=1, gfn=0x43) = 0 {access=rw}',
  ],
  [
    (x) => multi.xc_altp2m_set_mem_access_multi(x, 1, 1, [1, 2], [3, INVALID_GFN]),
    'xc_altp2m_set_mem_access_multi(domid=1, view=1, nr=2, pfns=[0x3, INVALID], access=[r, w]) = 0',
  ],
  [
    (x) => altp2m.xc_altp2m_change_gfn(x, 1, 1, 0x40, INVALID_GFN),
    'xc_altp2m_change_gfn(domid=1, view=1, old_gfn=0x40, new_gfn=INVALID) = 0',
  ],
  [
    (x) => altp2m.xc_altp2m_set_suppress_ve(x, 1, 1, 0x40, false),
    'xc_altp2m_set_suppress_ve(domid=1, view=1, gfn=0x40, sve=0) = 0',
  ],
  [
    (x) => altp2m.xc_altp2m_get_suppress_ve(x, 1, 1, 0x40),
    'xc_altp2m_get_suppress_ve(domid=1, view=1, gfn=0x40) = 0 {sve=0}',
  ],
  [
    (x) => multi.xc_altp2m_set_supress_ve_multi(x, 1, 1, 0x40, 0x400, true),
    'xc_altp2m_set_supress_ve_multi(domid=1, view=1, first=0x40, last=0x400, sve=1) = 0 {error_gfn=0x400, error_code=-3}',
  ],
  [
    (x) => altp2m.xc_altp2m_set_vcpu_enable_notify(x, 1, 0, 0x50),
    'xc_altp2m_set_vcpu_enable_notify(domid=1, vcpu=0, gfn=0x50) = 0',
  ],
  [(x) => altp2m.xc_altp2m_set_vcpu_disable_notify(x, 1, 0), 'xc_altp2m_set_vcpu_disable_notify(domid=1, vcpu=0) = 0'],
  [(x) => altp2m.xc_altp2m_destroy_view(x, 1, 1), 'xc_altp2m_destroy_view(domid=1, view=1) = -EBUSY'],
  [(x) => params.xc_hvm_param_get(x, 1, HVM_PARAM_ALTP2M), 'xc_hvm_param_get(domid=1, param=ALTP2M) = 0 {value=2}'],
  [
    (x) => params.xc_hvm_param_set(x, 1, HVM_PARAM_MONITOR_RING_PFN, 5),
    'xc_hvm_param_set(domid=1, param=MONITOR_RING_PFN, value=5) = 0',
  ],
  [
    (x) => memory.xc_domain_populate_physmap_exact(x, 1, 0, 0, [0x400, 0x401, 9]),
    'xc_domain_populate_physmap(domid=1, order=0, flags=0, frames=[0x400 and 1 more, 0x9]) = 1',
  ],
  [
    (x) => memory.xc_domain_decrease_reservation_exact(x, 1, 0, [0x3ff]),
    'xc_domain_decrease_reservation(domid=1, order=0, frames=[0x3ff]) = 1',
  ],
  [
    (x) => memory.xc_domain_increase_reservation(x, 1, 1, 0, 0),
    'xc_domain_increase_reservation(domid=1, nr=1, order=0, flags=0) = 1',
  ],
  [(x) => memory.xc_domain_maximum_gpfn(x, 1), 'xc_domain_maximum_gpfn(domid=1) = 1043968'],
  [(x) => xc_map_foreign_range(x, 1, 5000, 1, 4).close(), 'mapForeign(domid=1, gfns=[0x4, 0x5], prot=r) = 0'],
  [(x) => xc_map_foreign_range(x, 9, 1, 3, 4), 'mapForeign(domid=9, gfns=[0x4], prot=rw) = -ESRCH'],
  [(x) => version.xc_version(x, 0), 'xc_version(cmd=version) = 4.17'],
  [(x) => version.xc_xenver_pagesize(x), 'xc_version(cmd=pagesize) = 4096'],
  [(x) => version.xc_xenver_changeset(x), 'xc_version(cmd=changeset) = 0'],
  [(x) => version.xc_xenver_get_features(x, 1), 'xc_version(cmd=get_features, submap=1) = -EINVAL'],
];

/** Calls whose structures the release decides: the first word of each line is enough. */
const PRIVILEGED: readonly Call[] = [
  [(x) => domain.xc_domain_pause(x, 1), 'xc_domain_pause(domid=1) = 0'],
  [(x) => domain.xc_domain_unpause(x, 1), 'xc_domain_unpause(domid=1) = 0'],
  [(x) => memory.xc_domain_setmaxmem(x, 1, 8192), 'xc_domain_setmaxmem(domid=1, max_memkb=8192) = 0'],
  [(x) => domain.xc_domain_max_vcpus(x, 1, 2), 'xc_domain_max_vcpus(domid=1, max=2) = 0'],
  [
    (x) => domain.xc_domain_sethandle(x, 1, '00112233-4455-6677-8899-aabbccddeeff'),
    'xc_domain_sethandle(domid=1, handle=00112233-4455-6677-8899-aabbccddeeff) = 0',
  ],
  [(x) => domain.xc_domain_set_access_required(x, 1, true), 'xc_domain_set_access_required(domid=1, required=1) = 0'],
  [(x) => domain.xc_domain_shutdown(x, 1, 3), 'xc_domain_shutdown(domid=1, reason=3) = 0'],
  [(x) => xc_physinfo(x), 'xc_physinfo() = 0'],
  [
    (x) => info.xc_domain_getinfolist(x, 0, 5),
    'xc_domain_getinfolist(first_domain=0, max_domains=5) = 0 {num_domains=2}',
  ],
  [(x) => domain.xc_domain_destroy(x, 1), 'xc_domain_destroy(domid=1) = 0'],
  [(x) => domain.xc_domain_destroy(x, 1), 'xc_domain_destroy(domid=1) = -ESRCH'],
];

function attempt(call: () => unknown): void {
  try {
    call();
  } catch {
    // refusals are printed, too
  }
}

describe('a trace', () => {
  test('tells every call that any release knows', () => {
    const { xch, lines } = traced('4.17');
    for (const [make] of CALLS) attempt(() => make(xch));
    assert.deepEqual(
      untimed(lines),
      CALLS.map(([, line]) => line),
    );
  });

  for (const release of RELEASES) {
    test(`tells the calls whose structures Xen ${release} decides`, () => {
      const { xch, lines } = traced(release);
      attempt(() => info.xc_domain_getinfo_single(xch, 1)); // and the numbers are confirmed
      attempt(() => xc_physinfo(xch));
      assert.match(lines.join('\n'), /xc_domain_getinfo_single\(domid=1\) = 0 {domain=1, dying=0, paused=0,/);
      lines.length = 0;
      for (const [make] of PRIVILEGED) attempt(() => make(xch));
      assert.deepEqual(
        untimed(lines),
        PRIVILEGED.map(([, line]) => line),
      );
      lines.length = 0;
      const domid = xc_domain_create(xch, 7, { flags: 3, max_vcpus: 1 });
      domain.xc_domain_max_vcpus(xch, domid, 1);
      context.xc_domain_hvm_setcontext(xch, domid, context.xc_domain_hvm_getcontext(xch, domid));
      attempt(() => memory.xc_get_paging_mempool_size(xch, domid));
      attempt(() => memory.xc_set_paging_mempool_size(xch, domid, 4096));
      const [created = '', ...others] = untimed(lines);
      assert.match(created, /^xc_domain_create\(domid=7, .*flags=3, .*max_vcpus=1, .*\) = 0 {domid=7}$/);
      assert.match(others.join('\n'), /hvm_setcontext\(domid=7, context=[0-9a-f]{48}\.\.\.\) = 0/);
      assert.doesNotMatch(lines.join('\n'), /domctl|sysctl|hypercall/);
    });
  }

  test('tells awaitable calls when they are done', async () => {
    const { xch, lines } = traced('4.20');
    altp2m.xc_altp2m_set_domain_state(xch, 1, true);
    const done = asynchronous.xc_altp2m_set_mem_access_multi_async(xch, 1, 0, [11, 10], [1, 2]);
    assert.equal(lines.length, 1);
    await done;
    assert.deepEqual(
      untimed(lines)[1],
      ['xc_altp2m_set_mem_access_multi(domid=1, view=0, nr=2, pfns=[0x1, 0x2], access=[default, r_pw]) = 0'][0],
    );
  });

  test('tells what is not known as words, and what libxc would not send as it is', () => {
    const { xch, lines } = traced('4.17');
    const { hypervisor } = xch;
    hypervisor.hypercall(41, 1, 0xffff);
    hypervisor.hypercall64(77);
    hypervisor.hypercall(34, 25, 16);
    hypervisor.hypercall(34, 99, 16);
    hypervisor.hypercall(36, 16);
    using operand = hypervisor.arena.alloc(144);
    hypervisor.arena.view.setUint32(operand.offset, 4242, true);
    hypervisor.hypercall(36, operand.address);
    hypervisor.hypercall(35, operand.address);
    operand.bytes.fill(0);
    operand.bytes.set([1, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0]);
    hypervisor.hypercall(34, 25, operand.address);
    const address = `0x${operand.address.toString(16)}`;
    assert.deepEqual(untimed(lines), [
      'hypercall(41, 0x1, 0xffff, 0x0, 0x0, 0x0) = -ENOSYS',
      'hypercall(77, 0x0, 0x0, 0x0, 0x0, 0x0) = -ENOSYS',
      'hvm_op altp2m(pointer=0x10) = -EFAULT',
      'hypercall(34, 0x63, 0x10, 0x0, 0x0, 0x0) = -ENOSYS',
      'hypercall(36, 0x10, 0x0, 0x0, 0x0, 0x0) = -EFAULT',
      'domctl(domid=0, cmd=4242, interface_version=0x0) = -EACCES',
      'sysctl(cmd=4242, interface_version=0x0) = -EACCES',
      `hvm_op altp2m(domid=1, version=1, cmd=16, domain=1, pad1=0, pad2=0, u=${'01000200'.padEnd(48, '0')}...) = -EOPNOTSUPP`,
    ]);
    assert.ok(!lines.join().includes(address));
  });

  test('a call that is not known and succeeds has put out nothing', () => {
    const xen = new ModelXen({ argo: true });
    const lines: string[] = [];
    const tracer = new Tracer(xen, (line) => lines.push(line), NO_COLOURS);
    decorate(xen, tracer).hypercall(39, 4);
    assert.deepEqual(untimed(lines), ['hypercall(39, 0x4, 0x0, 0x0, 0x0, 0x0) = 0']);
  });

  test('tells calls that others make: memory access of the host, the monitor, rings', () => {
    const { xch, lines } = traced('4.17');
    accessOp(xch, 0, 1, { gfn: 0x43n, access: 5 });
    accessOp(xch, 1, 1, { gfn: INVALID_GFN });
    accessOp(xch, 4, 1, { nr: 2, gfns: [1n, 2n], codes: [7, 1] });
    accessOp(xch, 4, 1, { nr: 2 });
    accessOp(xch, 9, 1);
    rawDomctl(xch, xch.abi, 77, 1, [0, 2]);
    rawDomctl(xch, xch.abi, 77, 1, [2, 0]);
    rawDomctl(xch, xch.abi, 56, 1, [0, 2]);
    const told = untimed(lines).map((line) => line.replace(/ = -E\w+$/, '').replace(/0x7f\w+/, 'ADDRESS'));
    assert.deepEqual(told, [
      'xc_set_mem_access(domid=1, gfn=0x43, access=rx, nr=1)',
      'xc_get_mem_access(domid=1, gfn=INVALID)',
      'xc_set_mem_access_multi(domid=1, nr=2, pfns=[0x1, 0x2], access=[rwx, r])',
      'xc_set_mem_access_multi(domid=1, nr=2)',
      'hypercall(12, 0x15, ADDRESS, 0x0, 0x0, 0x0)',
      'xc_monitor_singlestep(domid=1, enable=1) = 0',
      'xc_monitor_get_capabilities(domid=1) = 0 {capabilities=0x1f7f}',
      'xc_vm_event_control(domid=1, op=0, mode=2)',
    ]);
  });

  test('tells each switch of the monitor by its name', () => {
    const { xch, lines } = traced('4.17');
    monitor.xc_monitor_write_ctrlreg(xch, 1, 2, true, true, 0x80, false);
    attempt(() => monitor.xc_monitor_mov_to_msr(xch, 1, 0x174, true, true));
    monitor.xc_monitor_guest_request(xch, 1, true, false, true);
    monitor.xc_monitor_debug_exceptions(xch, 1, true, true);
    monitor.xc_monitor_vmexit(xch, 1, true, false);
    for (const on of [true, false]) monitor.xc_monitor_cpuid(xch, 1, on);
    monitor.xc_monitor_inguest_pagefault(xch, 1, true);
    attempt(() => monitor.xc_monitor_privileged_call(xch, 1, true));
    attempt(() => monitor.xc_monitor_emulate_each_rep(xch, 1, true));
    monitor.xc_monitor_control_registers(xch, 1);
    rawDomctl(xch, xch.abi, 77, 1, [0, 31]);
    assert.deepEqual(untimed(lines).slice(1), [
      'xc_monitor_write_ctrlreg(domid=1, enable=1, index=2, sync=1, bitmask=0x80, onchangeonly=0) = 0',
      'xc_monitor_mov_to_msr(domid=1, enable=1, msr=0x174, onchangeonly=1) = -ENXIO',
      'xc_monitor_guest_request(domid=1, enable=1, sync=0, allow_userspace=1) = 0',
      'xc_monitor_debug_exceptions(domid=1, enable=1, sync=1) = 0',
      'xc_monitor_vmexit(domid=1, enable=1, sync=0) = 0',
      'xc_monitor_cpuid(domid=1, enable=1) = 0',
      'xc_monitor_cpuid(domid=1, enable=0) = 0',
      'xc_monitor_inguest_pagefault(domid=1, disable=1) = 0',
      'xc_monitor_privileged_call(domid=1, enable=1) = -EOPNOTSUPP',
      'xc_monitor_emulate_each_rep(domid=1, enable=1) = -EINVAL',
      'xc_monitor_control_registers(domid=1) = 0',
      'xc_monitor(domid=1, op=0, event=31) = -EOPNOTSUPP',
    ]);
  });

  test('prints times, and colours where they are wanted', () => {
    const { xch, lines } = traced('4.17', TERMINAL_COLOURS);
    version.xc_version(xch, 0);
    attempt(() => altp2m.xc_altp2m_destroy_view(xch, 1, 1));
    const esc = '\u001b';
    assert.match(
      lines[0] ?? '',
      new RegExp(`^${esc}\\[1mxc_version${esc}\\[0m\\(cmd=version\\) = 4\\.17 {2}${esc}\\[2m\\d+\\.\\dus${esc}\\[0m$`),
    );
    assert.ok(lines[1]?.includes(`${esc}[31m-EOPNOTSUPP${esc}[0m`));
  });

  test('takes a newer Xen for the newest known, and an older one for none', () => {
    assert.equal(layoutsOf((4 << 16) | 99), RELEASES.at(-1));
    assert.equal(layoutsOf(5 << 16), RELEASES.at(-1));
    assert.equal(layoutsOf((4 << 16) | 13), null);
    assert.equal(layoutsOf((4 << 16) | 14), '4.14');
  });
});

describe('the environment', () => {
  const none = { XENCTRL_TRACE: undefined, XENCTRL_RECORD: undefined };

  test('asks for nothing: there is nothing in between', () => {
    const xen = new ModelXen();
    assert.equal(
      withEnvironment(none, () => observe(xen)),
      xen,
    );
    assert.equal(
      withEnvironment({ ...none, XENCTRL_TRACE: '0' }, () => observe(xen)),
      xen,
    );
    assert.equal(
      withEnvironment({ ...none, XENCTRL_TRACE: '' }, () => observe(xen)),
      xen,
    );
  });

  test('asks for a trace in a file: lines are appended', () => {
    const path = join(folder, 'trace.txt');
    for (let i = 0; i < 2; i++) {
      withEnvironment({ ...none, XENCTRL_TRACE: path }, () =>
        xc_interface_open({ hypervisor: new ModelXen() }).close(),
      );
    }
    assert.deepEqual(
      untimed(readFileSync(path, 'utf8').trimEnd().split('\n')),
      Array(2).fill('xc_version(cmd=version) = 4.17'),
    );
  });

  test('names a file that cannot be written', () => {
    for (const name of ['XENCTRL_TRACE', 'XENCTRL_RECORD']) {
      const path = join(folder, 'none', 'file');
      withEnvironment({ ...none, [name]: path }, () => {
        assert.throws(() => xc_interface_open({ hypervisor: new ModelXen() }), new RegExp(`^Error: ${name}=.*ENOENT`));
      });
    }
  });

  test('a traced hypervisor is the same in everything else', () => {
    const xen = new ModelXen();
    const path = join(folder, 'same.txt');
    const watched: Hypervisor = withEnvironment({ ...none, XENCTRL_TRACE: path }, () => observe(xen));
    assert.equal(watched.kind, 'model');
    assert.equal(watched.arena, xen.arena);
    assert.ok(watched instanceof ModelXen);
    assert.equal((watched as ModelXen).createGuest().domid, 1);
    watched.restrict(1);
    watched[Symbol.dispose]();
    assert.throws(() => xen.hypercall(17), /closed/);
    assert.throws(() => watched.hypercall(17), /closed/);
  });
});
