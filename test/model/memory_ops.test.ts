/** Frames of Xen's that domains see, grants, resources, processor trace and injected events, on the software Xen. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import { shared_info } from '#dist/abi/xen.js';
import * as xc from '#dist/index.js';
import { type Guest, type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';

function made(
  guest: GuestOptions = {},
  model: ModelOptions = {},
): { xen: ModelXen; xch: xc.XcInterface; guest: Guest; d: number } {
  const xen = new ModelXen(model);
  const one = xen.createGuest({ vcpus: 2, memoryPages: 64, ...guest });
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }), guest: one, d: one.domid };
}

const code = (run: () => unknown): string => {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
};

describe('physmap', () => {
  test('the shared info page shows the guest its event channels', () => {
    const { xch, guest, d } = made();
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_shared_info, 0, 0x100);
    const port = guest.domain.events.bindIpi(0);
    guest.domain.events.send(port);
    const { bytes } = guest.vcpus[0].read(0x100000 + shared_info.at.evtchn_pending, 1);
    assert.equal(bytes[0], 1 << port);
    // the guest acknowledges it
    guest.vcpus[0].write(0x100000 + shared_info.at.evtchn_pending, Uint8Array.of(0));
    assert.equal(guest.domain.events.isPending(port), false);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 64, 'it is none of the domain’s pages');
  });

  test('mapped elsewhere it leaves the frame that it was at; what was there is freed', () => {
    const { xch, guest, d } = made();
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_shared_info, 0, 5);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 63);
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_shared_info, 0, 6);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 62);
    assert.equal(guest.domain.p2m.lookup(5).present, false);
    xc.xc_domain_decrease_reservation_exact(xch, d, 0, [6]);
    assert.equal(guest.domain.p2m.lookup(6).present, false);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 62, 'unhooked, not freed');
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_shared_info, 0, 6);
  });

  test('a page moves to another frame, one by one and in a batch', () => {
    const { xch, guest, d } = made();
    guest.vcpus[0].write(0x3000, Uint8Array.of(7));
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_gmfn, 3, 0x200);
    assert.equal(guest.vcpus[0].read(0x200000, 1).bytes[0], 7);
    assert.equal(guest.domain.p2m.lookup(3).present, false);
    const errors = xc.xc_domain_add_to_physmap_batch(xch, d, 0, xc.XENMAPSPACE_gmfn, [0x200, 0x999, 4], [3, 8, 9]);
    assert.deepEqual([...errors], [0, -errno.EINVAL, 0]);
    assert.equal(guest.vcpus[0].read(0x3000, 1).bytes[0], 7);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 63, 'what was at 9 is freed, what was at 8 is not');
  });

  test('a page that is taken out of a frame stays the domain’s', () => {
    const { xch, guest, d } = made();
    xc.xc_domain_remove_from_physmap(xch, d, 3);
    assert.equal(guest.domain.p2m.lookup(3).present, false);
    assert.equal(xc.xc_domain_getinfo_single(xch, d).tot_pages, 64);
    assert.equal(
      code(() => xc.xc_domain_remove_from_physmap(xch, d, 3)),
      'ENOENT',
    );
  });

  const pv = made({ type: 'pv' });
  const hvm = made();
  const rows: readonly (readonly [string, () => unknown, string])[] = [
    ['a PV domain', () => xc.xc_domain_add_to_physmap(pv.xch, pv.d, 0, 0, 5), 'EACCES'],
    ['a batch for a PV domain', () => xc.xc_domain_add_to_physmap_batch(pv.xch, pv.d, 0, 0, [0], [5]), 'EACCES'],
    ['no domain', () => xc.xc_domain_add_to_physmap(hvm.xch, 99, 0, 0, 5), 'ESRCH'],
    ['another shared info page', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 0, 1, 5), 'EINVAL'],
    ['a grant frame beyond all', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 1, 64, 5), 'EINVAL'],
    ['a page that is not there', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 2, 999, 5), 'EINVAL'],
    ['a foreign page without whose', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 4, 1, 5), 'ENOSYS'],
    ['no space', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 9, 0, 5), 'EINVAL'],
    ['a frame that tables do not reach', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 0, 0, 2 ** 36), 'EINVAL'],
    ['no frame', () => xc.xc_domain_add_to_physmap(hvm.xch, hvm.d, 0, 0, xc.INVALID_GFN), 'EINVAL'],
    ['a batch with whose, of none', () => xc.xc_domain_add_to_physmap_batch(hvm.xch, hvm.d, 1, 2, [1], [2]), 'EINVAL'],
  ];
  for (const [what, run, expected] of rows) {
    test(`${what}: ${expected}`, () => {
      assert.equal(code(run), expected);
    });
  }

  test('a destroyed domain gives the frames of Xen’s back', () => {
    const { xen, xch } = made();
    const free = xen.memory.freePages;
    const domid = xen.createGuest({ memoryPages: 16 }).domid;
    xc.xc_domain_add_to_physmap(xch, domid, xc.XENMAPSPACE_shared_info, 0, 0x100);
    xc.xc_domain_add_to_physmap(xch, domid, xc.XENMAPSPACE_grant_table, 3, 0x101);
    xc.xc_domain_destroy(xch, domid);
    assert.equal(xen.memory.freePages, free);
  });
});

describe('grants', () => {
  /** Writes an entry of version 1 where the guest sees its table. */
  function grant(guest: Guest, ref: number, flags: number, domid: number, frame: number): void {
    const entry = new DataView(new ArrayBuffer(8));
    entry.setUint16(0, flags, true);
    entry.setUint16(2, domid, true);
    entry.setUint32(4, frame, true);
    guest.vcpus[0].write(0x100000 + ref * 8, new Uint8Array(entry.buffer));
  }
  function granting(): ReturnType<typeof made> {
    const all = made();
    xc.xc_domain_add_to_physmap(all.xch, all.d, xc.XENMAPSPACE_grant_table, 0, 0x100);
    return all;
  }

  test('dom0 maps what the guest granted it, and the guest sees that it does', () => {
    const { xen, guest, d } = granting();
    guest.vcpus[0].write(0x3000, Uint8Array.of(5));
    grant(guest, 9, 1, 0, 3);
    using table = xen.grantTable();
    const mapping = table.map(d, [9], xc.PROT_READ | xc.PROT_WRITE);
    assert.equal(mapping.bytes[0], 5);
    mapping.bytes[1] = 6;
    assert.equal(guest.vcpus[0].read(0x3001, 1).bytes[0], 6);
    assert.equal(guest.vcpus[0].read(0x100000 + 72, 1).bytes[0], 1 | 8 | 16);
    mapping.close();
    mapping.close();
    assert.equal(guest.vcpus[0].read(0x100000 + 72, 1).bytes[0], 1);
    assert.throws(() => mapping.bytes, TypeError);
  });

  test('what is not granted, not to dom0 or not for writing is refused', () => {
    const { xen, guest, d } = granting();
    grant(guest, 9, 1 | 4, 0, 3);
    grant(guest, 10, 1, 7, 3);
    grant(guest, 11, 1, 0, 0x999);
    using table = xen.connect().grantTable();
    table.map(d, [9], xc.PROT_READ).close();
    for (const [ref, prot] of [
      [9, 3],
      [10, 1],
      [11, 1],
      [12, 1],
      [100_000, 1],
    ] as const)
      assert.throws(() => table.map(d, [ref], prot), { code: 'EINVAL' }, `${ref}`);
    assert.throws(() => table.map(99, [9], 1), { code: 'EINVAL' });
    assert.throws(() => table.map(d, [], 1), RangeError);
  });

  test('dom0 shares pages of its own, until it takes them back', () => {
    const { xen, d } = granting();
    const table = xen.grantTable();
    const before = xen.dom0.totPages;
    const share = table.share(d, 2, true);
    assert.equal(share.bytes.length, 8192);
    assert.equal(new Set(share.refs).size, 2);
    share.bytes[4096] = 7;
    const [, second = 0] = share.refs;
    const granted = xen.dom0.grants.read(second);
    assert.deepEqual([granted?.domid, granted?.readonly], [d, false]);
    assert.equal(xen.dom0.page(granted?.frame ?? 0, false)?.[0], 7);
    table.close();
    assert.equal(xen.dom0.grants.read(second), null);
    assert.equal(xen.dom0.totPages, before);
    assert.throws(() => table.share(d, 1, true), TypeError);
  });

  test('tables are asked about', () => {
    const { xch, d } = granting();
    assert.deepEqual(xc.xc_gnttab_query_size(xch, d), { nr_frames: 1, max_nr_frames: 64 });
    xc.xc_domain_add_to_physmap(xch, d, xc.XENMAPSPACE_grant_table, 4, 0x101);
    assert.equal(xc.xc_gnttab_query_size(xch, d).nr_frames, 5);
    assert.equal(xc.xc_gnttab_get_version(xch, d), 1);
    assert.throws(() => xc.xc_gnttab_query_size(xch, 99), { code: 'ESRCH' });
    assert.throws(() => xc.xc_gnttab_get_version(xch, 99), { code: 'ESRCH' });
  });

  test('dom0 maps a guest’s table as a resource, as a toolstack does to grant for it', () => {
    const { xch, guest, d } = granting();
    grant(guest, 9, 1, 0, 3);
    const type = xc.XENMEM_resource_grant_table;
    using table = xc.xenforeignmemory_map_resource(xch, d, type, 0, 0, 2, xc.PROT_READ | xc.PROT_WRITE);
    assert.deepEqual([...table.bytes.subarray(72, 80)], [1, 0, 0, 0, 3, 0, 0, 0]);
    table.bytes[80] = 1;
    assert.equal(guest.vcpus[0].read(0x100000 + 80, 1).bytes[0], 1);
    assert.equal(xc.xenforeignmemory_resource_size(xch, d, type, 0), 64);
    assert.equal(
      code(() => xc.xenforeignmemory_map_resource(xch, d, type, 0, 64, 1, 1)),
      'EINVAL',
    );
    assert.equal(
      code(() => xc.xenforeignmemory_map_resource(xch, d, 9, 0, 0, 1, 1)),
      'EOPNOTSUPP',
    );
    assert.equal(
      code(() => xc.xenforeignmemory_map_resource(xch, 0, type, 0, 0, 1, 1)),
      'EPERM',
    );
    assert.equal(
      code(() => xc.xenforeignmemory_resource_size(xch, 99, type, 0)),
      'ESRCH',
    );
  });
});

describe('processor trace', () => {
  const traced = (): ReturnType<typeof made> => made({ vmtraceSize: 8192 }, { cpu: { pt: true } });
  const CTL = 0x570;

  test('what the guest is traced to do is in the buffer, at the position told', () => {
    const { xch, guest, d } = traced();
    const { trace } = guest.vcpus[1] ?? guest.vcpus[0];
    assert.ok(trace);
    assert.equal(trace.record(Uint8Array.of(1)), false, 'tracing is off');
    xc.xc_vmtrace_set_option(xch, d, 1, CTL, 0x2008);
    xc.xc_vmtrace_enable(xch, d, 1);
    assert.equal(trace.record(Uint8Array.of(1, 2, 3)), true);
    assert.equal(xc.xc_vmtrace_output_position(xch, d, 1), 3n);
    assert.equal(xc.xc_vmtrace_get_option(xch, d, 1, CTL), 0x2009n);
    const size = xc.xenforeignmemory_resource_size(xch, d, xc.XENMEM_resource_vmtrace_buf, 1);
    assert.equal(size, 2);
    using buffer = xc.xenforeignmemory_map_resource(xch, d, xc.XENMEM_resource_vmtrace_buf, 1, 0, size, xc.PROT_READ);
    assert.deepEqual([...buffer.bytes.subarray(0, 4)], [1, 2, 3, 0]);
    trace.record(new Uint8Array(8190).fill(9));
    assert.deepEqual([...buffer.bytes.subarray(0, 3)], [9, 2, 3], 'it goes round');
    assert.equal(xc.xc_vmtrace_output_position(xch, d, 1), 1n);
    xc.xc_vmtrace_disable(xch, d, 1);
    assert.equal(trace.record(Uint8Array.of(1)), false);
    xc.xc_vmtrace_reset_and_enable(xch, d, 1);
    assert.equal(xc.xc_vmtrace_output_position(xch, d, 1), 0n);
  });

  test('its errors', () => {
    const { xch, d } = traced();
    const plain = made();
    const rows: readonly (readonly [() => unknown, string])[] = [
      [() => xc.xc_vmtrace_disable(xch, d, 0), 'EINVAL'],
      [() => xc.xc_vmtrace_enable(xch, d, 0), 'ok'],
      [() => xc.xc_vmtrace_enable(xch, d, 0), 'EINVAL'],
      [() => xc.xc_vmtrace_enable(xch, d, 2), 'ENOENT'],
      [() => xc.xc_vmtrace_enable(xch, 99, 0), 'ESRCH'],
      [() => xc.xc_vmtrace_get_option(xch, d, 0, 5), 'EINVAL'],
      [() => xc.xc_vmtrace_set_option(xch, d, 0, CTL, 0x100), 'EINVAL'],
      [() => xc.xc_vmtrace_set_option(xch, d, 0, 0x561, 8192n << 32n), 'EINVAL'],
      [() => xc.xc_vmtrace_set_option(xch, d, 0, 0x561, 8191n << 32n), 'ok'],
      [() => xc.xc_vmtrace_enable(plain.xch, plain.d, 0), 'EINVAL'],
      [() => xc.xenforeignmemory_resource_size(plain.xch, plain.d, 2, 0), 'EINVAL'],
      [() => made({ vmtraceSize: 4096 }), 'EINVAL'],
      [() => made({ vmtraceSize: 5000 }, { cpu: { pt: true } }), 'EINVAL'],
    ];
    for (const [run, expected] of rows) assert.equal(code(run), expected, String(run));
    assert.equal(xc.xc_physinfo(xch).capabilities.vmtrace, true);
    assert.equal(xc.xc_physinfo(plain.xch).capabilities.vmtrace, false);
  });

  test('a domain is created with a buffer of a power of 2, on a processor that has it', () => {
    const { xch } = traced();
    const create = (vmtrace_size: number): string =>
      code(() => xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1, vmtrace_size }));
    assert.deepEqual([4096, 5000, 2048, 2 ** 26, 2 ** 27].map(create), ['ok', 'EINVAL', 'EINVAL', 'ok', 'EINVAL']);
  });
});

describe('injected events', () => {
  test('are taken before the next instruction, one at a time', () => {
    const { xch, guest, d } = made();
    xc.xc_hvm_inject_trap(xch, d, 0, 3, xc.XEN_DMOP_EVENT_sw_exc, 0xffff_ffff, 1, 0);
    assert.equal(
      code(() => xc.xc_hvm_inject_trap(xch, d, 0, 3, 6, 0xffff_ffff, 1, 0)),
      'EBUSY',
    );
    assert.equal(guest.vcpus[0].read(0x3000, 1).exception, 3);
    assert.equal(guest.vcpus[0].read(0x3000, 1).exception, null);
    xc.xc_hvm_inject_trap(xch, d, 0, 14, xc.XEN_DMOP_EVENT_hw_exc, 6, 0, 0x1234n);
  });

  test('their errors, and those of other operations', () => {
    const { xen, xch, d } = made();
    const pv = xen.createGuest({ type: 'pv' }).domid;
    const inject = (domid: number, vcpu: number): string =>
      code(() => xc.xc_hvm_inject_trap(xch, domid, vcpu, 3, 6, 0, 1, 0));
    assert.deepEqual(
      [inject(99, 0), inject(0, 0), inject(pv, 0), inject(d, 2)],
      ['ESRCH', 'EPERM', 'EINVAL', 'EINVAL'],
    );
    const op = (number: number): Uint8Array => new Uint8Array(Uint32Array.of(number, 0, 0, 0, 0, 0, 0, 0).buffer);
    assert.equal(xen.dmOp(d, [op(1)]), -errno.EOPNOTSUPP);
    assert.equal(xen.dmOp(d, [op(13).subarray(0, 16)]), -errno.EFAULT);
    assert.equal(xen.dmOp(d, []), -errno.EFAULT);
    assert.equal(xen.dmOp(d, [op(13), op(0), op(0)]), -errno.E2BIG);
    const padded = op(13);
    padded[4] = 1;
    assert.equal(xen.dmOp(d, [padded]), -errno.EINVAL);
  });

  test('a restricted handle serves its domain alone', () => {
    const { xen, d } = made();
    using handle = xen.connect();
    handle.restrict(d);
    assert.equal(handle.dmOp(d, [new Uint8Array(8)]), -errno.EOPNOTSUPP);
    assert.equal(handle.dmOp(99, [new Uint8Array(8)]), -errno.EPERM);
    assert.equal(handle.resourceSize(99, 1, 0), -errno.EPERM);
    assert.equal(handle.resourceSize(d, 1, 0), 64);
    assert.throws(() => handle.mapResource(99, 1, 0, 0, 1, 1), { code: 'EPERM' });
  });
});

describe('translation', () => {
  /** Tables at frame 16 and up, as words written by the guest. */
  function paged(cr0: bigint, cr4: bigint, efer: bigint, entries: readonly (readonly [number, bigint, 4 | 8])[]) {
    const all = made({ memoryPages: 1024 });
    const { xch, guest, d } = all;
    for (const [address, value, width] of entries) {
      const bytes = new Uint8Array(BigUint64Array.of(value).buffer).subarray(0, width);
      guest.vcpus[0].write(address, bytes);
    }
    const stream = xc.xc_domain_hvm_getcontext(xch, d);
    const view = new DataView(stream.buffer);
    for (const [at, value] of [
      [656, cr0],
      [672, 0x10000n],
      [680, cr4],
      [992, efer],
    ] as const)
      view.setBigUint64(40 + at, value, true);
    xc.xc_domain_hvm_setcontext(xch, d, stream);
    return (virt: bigint): number | string => {
      try {
        return xc.xc_translate_foreign_address(xch, d, 0, virt);
      } catch (error) {
        if (error instanceof xc.XenError) return error.code;
        throw error;
      }
    };
  }
  const PG = 0x8000_0001n;

  test('paging off: physical addresses', () => {
    assert.equal(paged(1n, 0n, 0n, [])(0x1234_5678n), 0x12345);
  });

  test('32-bit tables: small and 4 MiB pages', () => {
    const at = paged(PG, 0x10n, 0n, [
      [0x10000, 0x11001n, 4],
      [0x10000 + 3 * 4, 0x0040_0081n, 4],
      [0x11000 + 5 * 4, 0x77001n, 4],
    ]);
    assert.equal(at(0x5123n), 0x77);
    assert.equal(at(0x00c0_2000n), 0x402);
    assert.equal(at(0x6000n), 'EADDRNOTAVAIL');
    assert.equal(at(0x0080_0000n), 'EADDRNOTAVAIL');
  });

  test('PAE tables', () => {
    const at = paged(PG, 0x20n, 0n, [
      [0x10000 + 8, 0x11001n, 8],
      [0x11000, 0x12001n, 8],
      [0x11000 + 8, 0x20_0081n, 8],
      [0x12000 + 7 * 8, 0x8000_0000_0007_8001n, 8],
    ]);
    assert.equal(at(0x4000_7000n), 0x78);
    assert.equal(at(0x4020_3000n), 0x203);
    assert.equal(at(0x7000n), 'EADDRNOTAVAIL');
  });

  test('4-level and 5-level tables, with 2 MiB and 1 GiB pages', () => {
    const tables = [
      [0x10000 + 0x100 * 8, 0x11001n, 8],
      [0x11000, 0x12001n, 8],
      [0x11000 + 8, 0x4000_0081n, 8],
      [0x12000, 0x13001n, 8],
      [0x12000 + 8, 0x20_0081n, 8],
      [0x13000 + 9 * 8, 0x79001n, 8],
    ] as const;
    const four = paged(PG, 0x20n, 0x400n, tables);
    assert.equal(four(0xffff_8000_0000_9000n), 0x79);
    assert.equal(four(0xffff_8000_0020_1000n), 0x201);
    assert.equal(four(0xffff_8000_4000_3000n), 0x40003);
    assert.equal(four(0x9000n), 'EADDRNOTAVAIL');
    // one more level above: its entry 0x1ff leads back to the same table's entry 0x100
    const five = paged(PG, 0x1020n, 0x400n, [...tables, [0x10000 + 0x1ff * 8, 0x10001n, 8]]);
    assert.equal(five(0xffff_8000_0000_9000n), 0x79);
  });

  test('a table where there is no memory is EINVAL, a vCPU that is none ENOENT, no domain ESRCH', () => {
    const at = paged(PG, 0x20n, 0x400n, [[0x10000, 0x7000_0000_0001n, 8]]);
    assert.equal(at(0n), 'EINVAL');
    const { xch, d } = made();
    assert.equal(
      code(() => xc.xc_translate_foreign_address(xch, d, 9, 0)),
      'ENOENT',
    );
    assert.equal(
      code(() => xc.xc_translate_foreign_address(xch, 99, 0, 0)),
      'ESRCH',
    );
  });

  test('pointer width is a PV domain’s', () => {
    const { xen, xch, d } = made();
    assert.equal(xc.xc_domain_get_guest_width(xch, xen.createGuest({ type: 'pv' }).domid), 8);
    assert.equal(
      code(() => xc.xc_domain_get_guest_width(xch, d)),
      'EOPNOTSUPP',
    );
    assert.equal(xc.xc_domain_nr_gpfns(xch, d), xc.xc_domain_maximum_gpfn(xch, d) + 1);
  });
});
