/** A domain's memory: limits, reservations by order, holes, what pages hold, the paging pool. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { xenAtLeast } from '#dist/xc/interface.js';
import { bareDomain, FAR_HOLE, frames, HOLE, hvmDomain, type TestDomain } from './domains.js';
import { load, store } from './hvm.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const PAGE_KB = 4;

/** An HVM domain without memory that may have `pages`. */
function emptyDomain(pages: number): TestDomain {
  const domain = hvmDomain(target, { pages: 0 });
  xc.xc_domain_setmaxmem(xch, domain.domid, pages * PAGE_KB);
  return domain;
}

function populate(domain: TestDomain, gfns: xc.FrameList, order = 0): number {
  return xc.xc_domain_populate_physmap(xch, domain.domid, order, 0, gfns);
}

function decrease(domain: TestDomain, gfns: xc.FrameList, order = 0): number {
  return xc.xc_domain_decrease_reservation(xch, domain.domid, order, gfns);
}

/** Whether a frame can be mapped. */
function present(domain: TestDomain, gfn: number): boolean {
  return outcome(() => xc.xc_map_foreign_range(xch, domain.domid, 4096, xc.PROT_READ, gfn).close()) === 'ok';
}

test('setmaxmem counts whole pages, rounded down, and at most 2^32 - 1', () => {
  using domain = bareDomain(target);
  for (const [kb, pages] of [
    [0, 0],
    [3, 0],
    [7, 1],
    [16, 4],
    [4096, 1024],
    [(2 ** 32 - 1) * PAGE_KB, 2 ** 32 - 1],
    [2 ** 45, 2 ** 32 - 1],
  ] as const) {
    xc.xc_domain_setmaxmem(xch, domain.domid, kb);
    assert.equal(domain.info.max_pages, pages, `${kb} KiB`);
  }
});

test('a limit below what the domain has takes nothing away', () => {
  using domain = hvmDomain(target, { pages: 64 });
  xc.xc_domain_setmaxmem(xch, domain.domid, 16 * PAGE_KB);
  assert.equal(domain.info.tot_pages, 64);
  assert.equal(populate(domain, [HOLE]), 0);
  assert.equal(decrease(domain, frames(8)), 8);
  assert.equal(domain.info.tot_pages, 56);
});

describe('populate', () => {
  test('nothing without a limit', () => {
    using domain = bareDomain(target);
    assert.equal(populate(domain, [0]), 0);
  });

  test('up to the limit, and not beyond it', () => {
    using domain = emptyDomain(16);
    assert.equal(populate(domain, frames(20)), 16);
    assert.equal(domain.info.tot_pages, 16);
    assert.equal(present(domain, 15), true);
    assert.equal(present(domain, 16), false);
    assert.equal(populate(domain, [100]), 0);
    assert.equal(
      outcome(() => xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, [100])),
      'EBUSY',
    );
  });

  test('the exact form leaves what was done before it stopped', () => {
    using domain = emptyDomain(16);
    const exact = (): void => xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, frames(20));
    assert.throws(exact, /16 of 20 extents/);
    assert.equal(domain.info.tot_pages, 16);
  });

  test('an empty list is nothing to do', () => {
    using domain = emptyDomain(16);
    assert.equal(populate(domain, []), 0);
    xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, []);
  });

  test('extents of 2^order pages, where they start does not matter', () => {
    using domain = emptyDomain(4096);
    let pages = 0;
    for (const [order, gfn] of [
      [1, 0x100],
      [3, 0x203],
      [9, 0x400],
      [9, 0x1003],
      [10, 0x2000],
    ] as const) {
      assert.equal(populate(domain, [gfn], order), 1, `order ${order}`);
      pages += 2 ** order;
      assert.equal(domain.info.tot_pages, pages);
      assert.equal(present(domain, gfn), true);
      assert.equal(present(domain, gfn + 2 ** order - 1), true);
      assert.equal(present(domain, gfn + 2 ** order), false);
      assert.equal(present(domain, gfn - 1), false);
    }
  });

  test('an extent that does not fit into the limit is not begun', () => {
    using domain = emptyDomain(1000);
    assert.equal(populate(domain, [0x400, 0x600], 9), 1);
    assert.equal(domain.info.tot_pages, 512);
    assert.equal(present(domain, 0x600), false);
  });

  test('orders above the largest, and above the memory of the host, give nothing', () => {
    using domain = emptyDomain(2 ** 20);
    for (const order of [19, 20, 63, 64, 255]) assert.equal(populate(domain, [0], order), 0, `order ${order}`);
    assert.equal(domain.info.tot_pages, 0);
  });

  test('frames up to 48 bits of address', () => {
    using domain = emptyDomain(16);
    for (const gfn of [2 ** 20, 2 ** 27, FAR_HOLE - 1]) {
      assert.equal(populate(domain, [gfn]), 1, gfn.toString(16));
      assert.equal(present(domain, gfn), true, gfn.toString(16));
    }
    for (const gfn of [FAR_HOLE, 2 ** 40, 2 ** 44]) {
      assert.equal(populate(domain, [gfn]), 0, gfn.toString(16));
    }
    // those pages the domain has all the same, at no frame
    assert.equal(domain.info.tot_pages, 6);
  });

  test('over a page: the frame shows a new one, the old one is the domain’s all the same', () => {
    using domain = emptyDomain(16);
    populate(domain, [5]);
    store(xch, domain.domid, 5, new Uint8Array([1, 2, 3]));
    assert.equal(populate(domain, [5]), 1);
    assert.equal(domain.info.tot_pages, 2);
    assert.deepEqual([...load(xch, domain.domid, 5, 3)], [0, 0, 0]);
  });

  test('a list longer than one hypercall takes', () => {
    using domain = emptyDomain(5000);
    assert.equal(populate(domain, BigUint64Array.from(frames(4999), BigInt)), 4999);
    assert.equal(domain.info.tot_pages, 4999);
  });

  test('off the main thread, with progress', async () => {
    using domain = emptyDomain(5000);
    const told: number[] = [];
    await xc.xc_domain_populate_physmap_exact_async(xch, domain.domid, 0, 0, frames(5000), {
      onProgress: (done) => told.push(done),
    });
    assert.deepEqual(told, [4096, 5000]);
    assert.equal(domain.info.tot_pages, 5000);
    await assert.rejects(xc.xc_domain_populate_physmap_exact_async(xch, domain.domid, 0, 0, [9999]), { code: 'EBUSY' });
  });
});

describe('decrease', () => {
  test('takes pages away and stops at the first hole', () => {
    using domain = hvmDomain(target, { pages: 16 });
    assert.equal(decrease(domain, [HOLE]), 0);
    assert.equal(decrease(domain, [3]), 1);
    assert.equal(present(domain, 3), false);
    assert.equal(decrease(domain, [3]), 0);
    assert.equal(decrease(domain, [4, 3, 5]), 1);
    assert.equal(present(domain, 5), true);
    assert.equal(domain.info.tot_pages, 14);
    assert.equal(
      outcome(() => xc.xc_domain_decrease_reservation_exact(xch, domain.domid, 0, [5, 3])),
      'EBUSY',
    );
    assert.equal(domain.info.tot_pages, 13);
  });

  test('extents, whole superpages, and parts of them', () => {
    using domain = emptyDomain(4096);
    populate(domain, [0x400, 0x600], 9);
    assert.equal(decrease(domain, [0x400], 9), 1);
    assert.equal(domain.info.tot_pages, 512);
    assert.equal(decrease(domain, [0x610], 2), 1);
    assert.equal(domain.info.tot_pages, 508);
    assert.equal(present(domain, 0x60f), true);
    assert.equal(present(domain, 0x610), false);
    assert.equal(present(domain, 0x614), true);
  });

  test('an extent that begins well and runs into a hole loses what came before the hole', () => {
    using domain = hvmDomain(target, { pages: 16 });
    decrease(domain, [9]);
    assert.equal(decrease(domain, [8], 1), 0);
    assert.equal(present(domain, 8), false);
    assert.equal(domain.info.tot_pages, 14);
  });

  test('frames that no domain can have', () => {
    using domain = hvmDomain(target, { pages: 16 });
    for (const gfn of [FAR_HOLE, 2 ** 40, xc.INVALID_GFN]) assert.equal(decrease(domain, [gfn]), 0);
    assert.equal(decrease(domain, [0], 20), 0);
    assert.equal(domain.info.tot_pages, 16);
  });

  test('makes room under the limit', () => {
    using domain = emptyDomain(16);
    populate(domain, frames(16));
    assert.equal(populate(domain, [100]), 0);
    decrease(domain, [7]);
    assert.equal(populate(domain, [100]), 1);
    assert.equal(domain.info.tot_pages, 16);
  });
});

test('a page given back keeps its contents for the domain that takes it again', () => {
  using domain = hvmDomain(target, { pages: 16 });
  store(xch, domain.domid, 4, new Uint8Array([1, 2, 3]));
  xc.xc_domain_decrease_reservation_exact(xch, domain.domid, 0, [4]);
  assert.equal(present(domain, 4), false);
  xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, [4]);
  assert.deepEqual([...load(xch, domain.domid, 4, 3)], [1, 2, 3]);
});

test('a new domain does not see what a destroyed one wrote', () => {
  const secret = new Uint8Array(4096).fill(0x5a);
  {
    using domain = hvmDomain(target, { pages: 64 });
    for (const gfn of frames(64)) store(xch, domain.domid, gfn, secret);
  }
  using domain = hvmDomain(target, { pages: 64 });
  for (const gfn of frames(64)) {
    assert.ok(
      load(xch, domain.domid, gfn, 4096).every((byte) => byte === 0),
      String(gfn),
    );
  }
});

describe('maximum_gpfn', () => {
  test('is the highest frame that the domain has, or had', () => {
    using domain = emptyDomain(64);
    const highest = (): number => xc.xc_domain_maximum_gpfn(xch, domain.domid);
    assert.equal(highest(), 0);
    populate(domain, [9]);
    assert.equal(highest(), 9);
    populate(domain, [3]);
    assert.equal(highest(), 9);
    populate(domain, [0x100], 4);
    assert.equal(highest(), 0x10f);
    decrease(domain, [0x100], 4);
    assert.equal(highest(), 0x10f);
    populate(domain, [2 ** 30]);
    assert.equal(highest(), 2 ** 30);
  });
});

test('increase_reservation gives pages without a place', () => {
  using domain = emptyDomain(1024);
  assert.equal(xc.xc_domain_increase_reservation(xch, domain.domid, 3, 0, 0), 3);
  assert.equal(xc.xc_domain_increase_reservation(xch, domain.domid, 1, 9, 0), 1);
  assert.equal(domain.info.tot_pages, 515);
  assert.equal(xc.xc_domain_increase_reservation(xch, domain.domid, 600, 0, 0), 509);
  assert.equal(
    outcome(() => xc.xc_domain_increase_reservation_exact(xch, domain.domid, 1, 0, 0)),
    'EBUSY',
  );
  assert.equal(domain.info.tot_pages, 1024);
});

const noPool = xenAtLeast(xch, '4.17') ? false : 'this Xen has no call for the paging pool';

describe('the paging pool', { skip: noPool }, () => {
  const size = (domain: TestDomain): number => xc.xc_get_paging_mempool_size(xch, domain.domid);
  const resize = (domain: TestDomain, bytes: number): string =>
    outcome(() => xc.xc_set_paging_mempool_size(xch, domain.domid, bytes));

  test('has a megabyte to begin with', () => {
    using domain = bareDomain(target);
    xc.xc_domain_max_vcpus(xch, domain.domid, 1);
    assert.equal(size(domain), 1 << 20);
  });

  test('grows and shrinks by whole pages', () => {
    using domain = bareDomain(target);
    xc.xc_domain_max_vcpus(xch, domain.domid, 1);
    for (const bytes of [8 << 20, 100 * 4096, 4 << 20]) {
      assert.equal(resize(domain, bytes), 'ok');
      assert.equal(size(domain), bytes);
    }
    assert.equal(resize(domain, (4 << 20) + 1), 'EINVAL');
    assert.equal(size(domain), 4 << 20);
  });

  test('does not shrink below what is in use, nor grow beyond the memory of the host', () => {
    using domain = hvmDomain(target);
    assert.equal(resize(domain, 4096), 'ENOMEM');
    assert.ok(size(domain) > 4096 && size(domain) < 1 << 20);
    assert.equal(resize(domain, 1 << 20), 'ok');
    assert.equal(resize(domain, 2 ** 53 - 4096), 'EINVAL');
    assert.equal(size(domain), 1 << 20);
  });
});
