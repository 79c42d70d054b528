/** Pages of other domains in this process: good, bad and missing frames, many of them, what ends a mapping and what does not. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { ABSENT_DOMID, FAR_HOLE, frames, HOLE, hvmDomain } from './domains.js';
import { load, store } from './hvm.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const RW = xc.PROT_READ | xc.PROT_WRITE;
const oneCopy = target.model ? 'the model can show a page in one mapping of several only' : false;

test('what one mapping writes another reads', () => {
  using domain = hvmDomain(target);
  using one = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 5);
  using other = xc.xc_map_foreign_range(xch, domain.domid, 4096, xc.PROT_READ, 5);
  one.bytes.set([1, 2, 3], 4093);
  assert.deepEqual([...other.bytes.subarray(4092)], [0, 1, 2, 3]);
  assert.deepEqual([...load(xch, domain.domid, 5, 4, 4092)], [0, 1, 2, 3]);
});

test('a mapping has its pages in the order of the list', () => {
  using domain = hvmDomain(target);
  for (const gfn of frames(8)) store(xch, domain.domid, gfn, new Uint8Array([gfn + 100]));
  const order = [7, 0, 3, 5];
  using pages = xc.xc_map_foreign_pages(xch, domain.domid, xc.PROT_READ, order);
  assert.equal(pages.bytes.length, order.length * 4096);
  assert.deepEqual([...pages.errors], [0, 0, 0, 0]);
  for (const [i, gfn] of order.entries()) assert.equal(pages.bytes[i * 4096], gfn + 100);
});

test('a range is rounded up to whole pages', () => {
  using domain = hvmDomain(target);
  using pages = xc.xc_map_foreign_range(xch, domain.domid, 4097, xc.PROT_READ, 10);
  assert.equal(pages.bytes.length, 8192);
});

test('a frame twice in one mapping is one page', { skip: oneCopy }, () => {
  using domain = hvmDomain(target);
  using pages = xc.xc_map_foreign_pages(xch, domain.domid, RW, [3, 4, 3]);
  pages.bytes[0] = 77;
  assert.equal(pages.bytes[8192], 77);
});

test('two mappings of several pages overlap', { skip: oneCopy }, () => {
  using domain = hvmDomain(target);
  using one = xc.xc_map_foreign_pages(xch, domain.domid, RW, frames(4));
  using other = xc.xc_map_foreign_pages(xch, domain.domid, RW, frames(4, 2));
  one.bytes[2 * 4096] = 42;
  assert.equal(other.bytes[0], 42);
});

describe('frames that are not there', () => {
  test('bulk tells each of them, and the others are mapped', () => {
    using domain = hvmDomain(target);
    const arr = [3, HOLE, 4, FAR_HOLE, 5, 256];
    using pages = xc.xc_map_foreign_bulk(xch, domain.domid, RW, arr);
    assert.deepEqual([...pages.errors], [0, -22, 0, -22, 0, -22]);
    pages.bytes[2 * 4096] = 9;
    assert.equal(load(xch, domain.domid, 4, 1)[0], 9);
  });

  test('bulk of nothing but holes is a mapping all the same', () => {
    using domain = hvmDomain(target);
    using pages = xc.xc_map_foreign_bulk(xch, domain.domid, xc.PROT_READ, [HOLE, HOLE + 1]);
    assert.deepEqual([...pages.errors], [-22, -22]);
  });

  test('numbers that no address has room for are EINVAL, not some other page', () => {
    using domain = hvmDomain(target);
    const arr = [2 ** 39, 2 ** 40, 2 ** 40 + 5, 2 ** 51, 2 ** 52, Number.MAX_SAFE_INTEGER];
    using pages = xc.xc_map_foreign_bulk(xch, domain.domid, xc.PROT_READ, arr);
    assert.deepEqual(
      [...pages.errors],
      arr.map(() => -22),
    );
  });

  test('pages and range are all or nothing', () => {
    using domain = hvmDomain(target);
    const { domid } = domain;
    assert.equal(
      outcome(() => xc.xc_map_foreign_pages(xch, domid, xc.PROT_READ, [3, HOLE])),
      'EINVAL',
    );
    assert.equal(
      outcome(() => xc.xc_map_foreign_range(xch, domid, 8192, xc.PROT_READ, 255)),
      'EINVAL',
    );
  });

  test('a frame given back cannot be mapped, and can again once it is populated', () => {
    using domain = hvmDomain(target);
    const map = (): string => outcome(() => xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 9).close());
    xc.xc_domain_decrease_reservation_exact(xch, domain.domid, 0, [9]);
    assert.equal(map(), 'EINVAL');
    xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, [9]);
    assert.equal(map(), 'ok');
  });

  test('no such domain is ESRCH', () => {
    for (const call of [
      () => xc.xc_map_foreign_bulk(xch, ABSENT_DOMID, xc.PROT_READ, [1, 2]),
      () => xc.xc_map_foreign_pages(xch, ABSENT_DOMID, xc.PROT_READ, [1]),
      () => xc.xc_map_foreign_range(xch, ABSENT_DOMID, 4096, xc.PROT_READ, 1),
    ]) {
      assert.equal(outcome(call), 'ESRCH');
    }
  });
});

test('4,000 pages in one mapping', () => {
  const count = 4000;
  using domain = hvmDomain(target, { pages: count });
  {
    using pages = xc.xc_map_foreign_pages(xch, domain.domid, RW, frames(count));
    assert.equal(pages.bytes.length, count * 4096);
    for (let i = 0; i < count; i++) pages.bytes[i * 4096] = i % 251;
  }
  using pages = xc.xc_map_foreign_pages(xch, domain.domid, xc.PROT_READ, frames(count).reverse());
  for (let i = 0; i < count; i++) assert.equal(pages.bytes[i * 4096], (count - 1 - i) % 251);
});

test('300 mappings at once', () => {
  using domain = hvmDomain(target, { pages: 300 });
  const all = frames(300).map((gfn) => xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, gfn));
  for (const [i, { bytes }] of all.entries()) new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, i, true);
  for (const i of [0, 1, 128, 299]) assert.equal(Buffer.from(load(xch, domain.domid, i, 4)).readUInt32LE(), i);
  for (const mapping of all) mapping.close();
  assert.equal(Buffer.from(load(xch, domain.domid, 299, 4)).readUInt32LE(), 299);
});

describe('the end of a mapping', () => {
  test('views taken before are empty then, and bytes is a TypeError', () => {
    using domain = hvmDomain(target);
    const page = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 5);
    const { bytes } = page;
    const part = new Uint32Array(bytes.buffer, bytes.byteOffset, 4);
    page.close();
    assert.equal(bytes.length, 0);
    assert.equal(part.length, 0);
    assert.throws(() => page.bytes, TypeError);
    bytes[0] = 1;
    assert.equal(load(xch, domain.domid, 5, 1)[0], 0);
  });

  test('closing twice is harmless, also when the place is taken again', () => {
    using domain = hvmDomain(target);
    const first = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 5);
    first.close();
    using second = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 6);
    first.close();
    first[Symbol.dispose]();
    second.bytes[0] = 3;
    assert.equal(load(xch, domain.domid, 6, 1)[0], 3);
  });

  test('closing the handle closes its mappings', () => {
    using domain = hvmDomain(target);
    const { hypervisor } = target.open();
    const page = hypervisor.mapForeign(domain.domid, [5], RW);
    const { bytes } = page;
    hypervisor.close();
    assert.equal(bytes.length, 0);
    assert.throws(() => page.bytes, TypeError);
    page.close();
  });
});

describe('a page that is given up while it is mapped', () => {
  test('is the domain’s until the mapping closes', () => {
    using domain = hvmDomain(target, { pages: 16 });
    const page = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 9);
    page.bytes[0] = 1;
    xc.xc_domain_decrease_reservation_exact(xch, domain.domid, 0, [9]);
    assert.equal(domain.info.tot_pages, 16);
    page.bytes[1] = 2;
    assert.deepEqual([...page.bytes.subarray(0, 2)], [1, 2]);
    page.close();
    assert.equal(domain.info.tot_pages, 15);
  });

  test('keeps a destroyed domain in being, dying, until the mapping closes', () => {
    using domain = hvmDomain(target, { pages: 16 });
    const one = xc.xc_map_foreign_pages(xch, domain.domid, RW, [3, 4]);
    const other = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 7);
    one.bytes[0] = 5;
    domain.destroy();
    const { dying, tot_pages } = domain.info;
    assert.deepEqual({ dying, tot_pages }, { dying: true, tot_pages: 3 });
    one.bytes[1] = 6;
    assert.deepEqual([...one.bytes.subarray(0, 2)], [5, 6]);
    one.close();
    assert.equal(domain.info.tot_pages, 1);
    other.close();
    assert.equal(
      outcome(() => domain.info),
      'ESRCH',
    );
  });

  test('a dying domain is in the list and its id is taken', () => {
    using domain = hvmDomain(target, { pages: 16 });
    using page = xc.xc_map_foreign_range(xch, domain.domid, 4096, RW, 7);
    domain.destroy();
    const [info] = xc.xc_domain_getinfolist(xch, domain.domid, 1);
    assert.deepEqual([info?.domain, info?.dying], [domain.domid, true]);
    assert.equal(
      outcome(() => xc.xc_domain_create(xch, domain.domid, { flags: 3, max_vcpus: 1 })),
      'EEXIST',
    );
    page.close();
    const again = xc.xc_domain_create(xch, domain.domid, { flags: 3, max_vcpus: 1 });
    assert.equal(again, domain.domid);
  });
});
