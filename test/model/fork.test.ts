/** Forks: a child has its parent's state and memory, keeps what it changes to itself, and goes back when told. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RELEASES } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { type Guest, type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';

interface Forked {
  readonly xen: ModelXen;
  readonly xch: xc.XcInterface;
  readonly parent: Guest;
  readonly child: number;
}

/** A parent with some memory, and a domain that can be its fork. */
function made(model: ModelOptions = {}, guest: GuestOptions = {}): Forked {
  const xen = new ModelXen({ memSharing: true, ...model });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  const parent = xen.createGuest({ vcpus: 2, memoryPages: 1024, ...guest });
  const child = xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 2 });
  return { xen, xch, parent, child };
}

function forked(): Forked {
  const all = made();
  all.parent.vcpus[0].write(0x5000, Uint8Array.of(1, 2, 3));
  xc.xc_memshr_fork(all.xch, all.parent.domid, all.child);
  return all;
}

const bytesOf = (xch: xc.XcInterface, domid: number, gfn: number): number[] => {
  using page = xc.xc_map_foreign_pages(xch, domid, xc.PROT_READ, [gfn]);
  return [...page.bytes.subarray(0, 4)];
};

const code = (run: () => unknown): string => {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
};

describe('a fork', () => {
  test('has its parent’s registers, parameters and memory, page by page', () => {
    const { xch, parent, child } = made();
    parent.vcpus[0].write(0x5000, Uint8Array.of(1, 2, 3));
    const context = xc.xc_vcpu_getcontext(xch, parent.domid, 1);
    xc.xc_vcpu_setcontext(xch, parent.domid, 1, { ...context, user_regs: { ...context.user_regs, rax: 77n } });
    xc.xc_hvm_param_set(xch, parent.domid, xc.HVM_PARAM_STORE_PFN, 9);
    xc.xc_memshr_fork(xch, parent.domid, child);
    assert.equal(xc.xc_vcpu_getcontext(xch, child, 1).user_regs.rax, 77n);
    assert.equal(xc.xc_hvm_param_get(xch, child, xc.HVM_PARAM_STORE_PFN), 9n);
    assert.equal(xc.xc_domain_getinfo_single(xch, child).tot_pages, 1, 'the xenstore page alone');
    assert.deepEqual(bytesOf(xch, child, 5), [1, 2, 3, 0]);
    assert.equal(xc.xc_domain_getinfo_single(xch, child).tot_pages, 2);
    assert.equal(xc.xc_domain_maximum_gpfn(xch, child), xc.xc_domain_maximum_gpfn(xch, parent.domid));
    const { max_pages } = xc.xc_domain_getinfo_single(xch, parent.domid);
    assert.equal(xc.xc_domain_getinfo_single(xch, child).max_pages, max_pages);
  });

  test('runs on its own memory; the parent stays as it is, paused', () => {
    const { xen, xch, parent, child } = forked();
    xc.xc_domain_unpause(xch, child);
    const [cpu] = xen.guest(child)?.vcpus ?? [];
    assert.ok(cpu);
    assert.deepEqual([...cpu.read(0x5000, 3).bytes], [1, 2, 3]);
    assert.equal(cpu.write(0x5001, Uint8Array.of(9)).finished, true);
    assert.deepEqual(bytesOf(xch, child, 5), [1, 9, 3, 0]);
    assert.deepEqual(bytesOf(xch, parent.domid, 5), [1, 2, 3, 0]);
    assert.throws(() => parent.vcpus[0].read(0x5000, 1), /does not run/);
    xc.xc_domain_destroy(xch, child);
    assert.equal(parent.vcpus[0].read(0x5000, 1).finished, true, 'without forks it goes on');
  });

  test('of a fork finds what its grandparent has', () => {
    const { xch, child } = forked();
    const grandchild = xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 2 });
    xc.xc_memshr_fork(xch, child, grandchild);
    assert.deepEqual(bytesOf(xch, grandchild, 5), [1, 2, 3, 0]);
    assert.throws(() => bytesOf(xch, grandchild, 5000), { code: 'EINVAL' });
  });

  test('is taken back to its parent’s state and memory, together or apart', () => {
    const { xen, xch, child } = forked();
    const change = (): void => {
      const context = xc.xc_vcpu_getcontext(xch, child, 0);
      xc.xc_vcpu_setcontext(xch, child, 0, { ...context, user_regs: { ...context.user_regs, rbx: 5n } });
      using page = xc.xc_map_foreign_pages(xch, child, xc.PROT_READ | xc.PROT_WRITE, [5]);
      page.bytes[0] = 0x77;
    };
    const now = (): unknown[] => [xc.xc_vcpu_getcontext(xch, child, 0).user_regs.rbx, bytesOf(xch, child, 5)[0]];
    change();
    assert.deepEqual(now(), [5n, 0x77]);
    xc.xc_memshr_fork_reset(xch, child, true, false);
    assert.deepEqual(now(), [0n, 0x77]);
    change();
    xc.xc_memshr_fork_reset(xch, child, false, true);
    assert.deepEqual(now(), [5n, 1]);
    xc.xc_memshr_fork_reset(xch, child, true, true);
    assert.deepEqual(now(), [0n, 1]);
    assert.ok(xen.guest(child));
  });

  test('keeps a page that is mapped while it is reset', () => {
    const { xch, child } = forked();
    using page = xc.xc_map_foreign_pages(xch, child, xc.PROT_READ | xc.PROT_WRITE, [5]);
    page.bytes[0] = 0x77;
    xc.xc_memshr_fork_reset(xch, child, true, true);
    assert.deepEqual(bytesOf(xch, child, 5), [0x77, 2, 3, 0]);
  });

  test('a thousand times reset costs no memory', () => {
    const { xch, child } = forked();
    const free = (): number => xc.xc_physinfo(xch).free_pages;
    bytesOf(xch, child, 5);
    const before = free();
    for (let i = 0; i < 1000; i++) {
      xc.xc_memshr_fork_reset(xch, child, true, true);
      bytesOf(xch, child, 5);
    }
    assert.equal(free(), before);
  });

  test('before 4.17 a reset is of both', () => {
    for (const release of RELEASES) {
      const { xch, parent, child } = made({ release }, { altp2m: 'disabled' });
      xc.xc_memshr_fork(xch, parent.domid, child);
      xc.xc_memshr_fork_reset(xch, child, true, true);
    }
  });

  test('is saved and restored with its machine', () => {
    const { xen, child } = forked();
    const again = ModelXen.restore(JSON.parse(JSON.stringify(xen.save())));
    const xch = xc.xc_interface_open({ hypervisor: again });
    assert.deepEqual(bytesOf(xch, child, 5), [1, 2, 3, 0]);
  });
});

describe('forking is refused', () => {
  const rows: readonly (readonly [string, () => unknown, string])[] = [
    [
      'by a Xen without memory sharing',
      () => {
        const { xch, parent, child } = made({ memSharing: false });
        xc.xc_memshr_fork(xch, parent.domid, child);
      },
      'ENOSYS',
    ],
    [
      'control by a Xen without memory sharing',
      () => {
        const { xch, parent } = made({ memSharing: false });
        xc.xc_memshr_control(xch, parent.domid, true);
      },
      'ENOSYS',
    ],
    [
      'with another number of vCPUs',
      () => {
        const { xch, parent, child } = made({}, { vcpus: 1 });
        xc.xc_memshr_fork(xch, parent.domid, child);
      },
      'EINVAL',
    ],
    [
      'of a running child',
      () => {
        const { xch, parent, child } = made();
        xc.xc_domain_unpause(xch, child);
        xc.xc_memshr_fork(xch, parent.domid, child);
      },
      'EBUSY',
    ],
    [
      'of no parent',
      () => {
        const { xch, child } = made();
        xc.xc_memshr_fork(xch, 99, child);
      },
      'ESRCH',
    ],
    [
      'of dom0',
      () => {
        const { xch, child } = made();
        xc.xc_memshr_fork(xch, 0, child);
      },
      'EPERM',
    ],
    [
      'resetting what is no fork',
      () => {
        const { xch, child } = made();
        xc.xc_memshr_fork_reset(xch, child, true, true);
      },
      'ENOSYS',
    ],
    [
      'resetting nothing',
      () => {
        const { xch, child } = forked();
        xc.xc_memshr_fork_reset(xch, child, false, false);
      },
      'EINVAL',
    ],
    [
      'sharing of a PV domain',
      () => {
        const { xen, xch } = made();
        xc.xc_memshr_control(xch, xen.createGuest({ type: 'pv' }).domid, true);
      },
      'EOPNOTSUPP',
    ],
  ];
  for (const [what, run, expected] of rows) {
    test(`${what}: ${expected}`, () => {
      assert.equal(code(run), expected);
    });
  }
});
