/** Many calls, mappings and handles, and nothing is left behind: memory, descriptors, mappings, the host's own memory. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { ABSENT_DOMID, frames, hvmDomain } from './domains.js';
import { leakOf } from './resources.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const RW = xc.PROT_READ | xc.PROT_WRITE;

test('24,000 hypercalls', async () => {
  using domain = hvmDomain(target, { pages: 16 });
  const { domid } = domain;
  const round = (): void => {
    xc.xc_version(xch, xc.XENVER_version);
    xc.xc_physinfo(xch);
    xc.xc_domain_getinfo_single(xch, domid);
    xc.xc_hvm_param_get(xch, domid, xc.HVM_PARAM_STORE_PFN);
    xc.xc_domain_maximum_gpfn(xch, domid);
    xc.xc_domain_pause(xch, domid);
    xc.xc_domain_unpause(xch, domid);
    outcome(() => xc.xc_domain_pause(xch, ABSENT_DOMID));
  };
  round();
  const leak = await leakOf(() => {
    for (let i = 0; i < 3000; i++) round();
  });
  assert.deepEqual(leak, {});
});

test('2,000 hypercalls with lists, and as many off the main thread', async () => {
  using domain = hvmDomain(target, { pages: 0 });
  const { domid } = domain;
  const list = BigUint64Array.from(frames(64), BigInt);
  const round = async (): Promise<void> => {
    assert.equal(xc.xc_domain_populate_physmap(xch, domid, 0, 0, list), 64);
    assert.equal(xc.xc_domain_decrease_reservation(xch, domid, 0, list), 64);
    await xc.xc_domain_populate_physmap_exact_async(xch, domid, 0, 0, list);
    assert.equal(xc.xc_domain_decrease_reservation(xch, domid, 0, list), 64);
  };
  await round();
  const { largestFree } = xch.hypervisor.arena;
  const leak = await leakOf(async () => {
    for (let i = 0; i < 500; i++) await round();
  });
  assert.deepEqual(leak, {});
  assert.equal(xch.hypervisor.arena.largestFree, largestFree, 'the hypercall arena');
});

test('2,000 mappings of one page and 200 of 64', async () => {
  using domain = hvmDomain(target, { pages: 256 });
  const { domid } = domain;
  const map = (count: number, first: number): void => {
    using pages = xc.xc_map_foreign_pages(xch, domid, RW, frames(count, first));
    pages.bytes[0] = (pages.bytes[0] ?? 0) + 1;
  };
  map(1, 0);
  const leak = await leakOf(() => {
    for (let i = 0; i < 2000; i++) map(1, i % 256);
    for (let i = 0; i < 200; i++) map(64, i % 64);
  });
  assert.deepEqual(leak, {});
  domain.destroy();
  assert.equal(
    outcome(() => domain.info),
    'ESRCH',
    'no page is held',
  );
});

test('300 mappings that fail', async () => {
  using domain = hvmDomain(target, { pages: 16 });
  const fail = (): void => {
    assert.equal(
      outcome(() => xc.xc_map_foreign_pages(xch, domain.domid, RW, [1, 0x5000])),
      'EINVAL',
    );
    assert.equal(
      outcome(() => xc.xc_map_foreign_pages(xch, ABSENT_DOMID, RW, [1])),
      'ESRCH',
    );
  };
  fail();
  const leak = await leakOf(() => {
    for (let i = 0; i < 150; i++) fail();
  });
  assert.deepEqual(leak, {});
});

test('200 handles opened and closed, one after the other', async () => {
  const round = (): void => {
    const own = target.open();
    xc.xc_physinfo(own);
    own.hypervisor.close();
    xc.xc_interface_close(own);
  };
  round();
  const leak = await leakOf(() => {
    for (let i = 0; i < 200; i++) round();
  });
  assert.deepEqual(leak, {});
});

test('100 domains made and destroyed: the host has its memory back', () => {
  const round = (): void => {
    using domain = hvmDomain(target, { pages: 64 });
    xc.xc_domain_unpause(xch, domain.domid);
  };
  for (let i = 0; i < 5; i++) round();
  const before = xc.xc_physinfo(xch).free_pages;
  for (let i = 0; i < 100; i++) round();
  // Xen's own heap may keep a page here and there, but not one a domain
  assert.ok(before - xc.xc_physinfo(xch).free_pages < 100, `${before - xc.xc_physinfo(xch).free_pages} pages`);
});
