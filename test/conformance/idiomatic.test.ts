/** The idiomatic layer over the calls: the same on every target. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Altp2mModeName, type Domain, Xen } from '#dist/index.js';
import { openTarget } from './target.js';

const target = openTarget();
const xen = Xen.open({ hypervisor: target.xch.hypervisor });
after(() => target.xch.close());

const noAltp2m = target.noAltp2m ?? false;

/** A domain of 1 MiB that ends with the scope. */
function scoped(altp2m: Altp2mModeName = 'disabled'): { domain: Domain } & Disposable {
  const domain = xen.createDomain({ vcpus: 2, maxMemory: 16384, altp2m });
  domain.populate(Array.from({ length: 256 }, (_, gfn) => gfn));
  return {
    domain,
    [Symbol.dispose]: () => {
      if (domain.alive) domain.destroy();
    },
  };
}

test('a domain by id and by UUID, and what it is told', () => {
  using made = scoped();
  const { domain } = made;
  assert.equal(xen.domain(domain.domid).uuid, domain.uuid);
  assert.equal(xen.domain(domain.uuid.toUpperCase()).domid, domain.domid);
  assert.ok(xen.domains().some(({ uuid }) => uuid === domain.uuid));
  const info = domain.info();
  assert.deepEqual([info.hvm_guest, info.paused, info.tot_pages, info.max_vcpu_id], [true, true, 256, 1]);
  assert.equal(domain.maximumGfn, 255);
});

test('pause, memory, mapping', () => {
  using made = scoped();
  const { domain } = made;
  domain.unpause();
  {
    using _paused = domain.pause();
    assert.equal(domain.info().paused, true);
  }
  assert.equal(domain.info().paused, false);
  {
    using pages = domain.map([7, 9], { write: true });
    pages.bytes.set([1, 2], 0);
    pages.bytes.set([3, 4], 4096);
  }
  using pages = domain.map([9]);
  assert.deepEqual([...pages.bytes.subarray(0, 2)], [3, 4]);
  domain.depopulate([100]);
  assert.equal(domain.info().tot_pages, 255);
});

test('a recycled id is refused, and the other domain is untouched', async () => {
  using made = scoped();
  const { domain } = made;
  await domain.destroyAsync();
  const other = xen.createDomain({ domid: domain.domid });
  try {
    assert.throws(() => domain.destroy(), { code: 'ESRCH', hint: new RegExp(other.uuid) });
    assert.equal(domain.alive, false);
    assert.equal(other.alive, true);
  } finally {
    other.destroy();
  }
});

test('views: made, hidden, shown, entered, evicted, ended with their scope', { skip: noAltp2m }, () => {
  using made = scoped('external');
  const { altp2m } = made.domain;
  assert.equal(altp2m.mode, 'external');
  altp2m.enable();
  {
    using view = altp2m.createView({ defaultAccess: 'rx' });
    assert.deepEqual([view.index, view.visible, view.defaultAccess], [1, true, 'rx']);
    view.hide();
    assert.throws(() => view.switchTo(), { code: 'EINVAL' });
    view.show();
    view.switchTo();
    assert.deepEqual(altp2m.viewOfEach(), [1, 1]);
    assert.throws(() => view.destroy(), { code: 'EBUSY' });
  }
  assert.deepEqual(altp2m.viewOfEach(), [0, 0]);
  assert.deepEqual(
    altp2m.views().map(({ index }) => index),
    [0],
  );
});

test('views: access, remaps, suppress-#VE', { skip: noAltp2m }, () => {
  using made = scoped('external');
  const { altp2m } = made.domain;
  altp2m.enable();
  using view = altp2m.createView();
  view.setAccess(0x40, 'r');
  view.setAccessOf([0x41, 0x42], ['x', 'rw']);
  assert.deepEqual(
    [0x40, 0x41, 0x42, 0x9999].map((gfn) => view.getAccess(gfn)),
    ['r', 'x', 'rw', null],
  );
  view.remap(0x40, 0x41);
  view.unremap(0x40);
  view.setSuppressVe(5, false);
  assert.equal(view.getSuppressVe(5), false);
  assert.throws(() => view.remap(0x40, 0x9999), { code: 'ESRCH' });
});
