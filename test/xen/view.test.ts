import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { INVALID_GFN, XENMEM_access } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { Xen } from '#dist/xen/xen.js';
import { setting } from './watched.js';

test('altp2m: its mode, on and off; off destroys every view', () => {
  const { domain } = setting();
  const { altp2m } = domain;
  assert.equal(altp2m.mode, 'mixed');
  assert.equal(altp2m.enabled, true);
  const view = altp2m.createView();
  altp2m.disable();
  assert.equal(altp2m.enabled, false);
  assert.equal(view.destroyed, true);
  assert.equal(view.visible, null);
  assert.throws(() => view.hide(), { name: 'TypeError', message: /view 1 of domain 1 is destroyed/ });
  altp2m.enable();
  assert.deepEqual(
    altp2m.views().map(({ index }) => index),
    [0],
  );
});

test('altp2m: a domain without a mode, and a PV domain, say why', () => {
  const { domain } = setting({}, { altp2m: 'disabled' });
  assert.throws(() => domain.altp2m.enable(), { code: 'EINVAL', hint: /altp2m mode/ });
  const { xen } = setting();
  const pv = xen.createDomain({ type: 'pv' });
  assert.throws(() => pv.altp2m.enabled, { code: 'EOPNOTSUPP', hint: /PV/ });
});

test('view: hide and show, and what is known of it', () => {
  const { domain, model } = setting();
  const view = domain.altp2m.createView();
  assert.equal(view.visible, true);
  view.hide();
  assert.equal(view.visible, false);
  assert.throws(() => view.switchTo(), { code: 'EINVAL' });
  view.hide();
  view.show();
  view.switchTo();
  assert.deepEqual(domain.altp2m.viewOfEach(), [1, 1]);
  assert.equal(domain.altp2m.viewOf(1), 1);
  assert.throws(() => domain.altp2m.viewOf(2), { code: 'EINVAL' });
  model.injectFault({ op: 34, errno: 12 });
  assert.throws(() => view.hide(), { code: 'ENOMEM' });
  assert.equal(view.visible, true, 'what failed is not remembered');
});

test('view: looked up, it is the same object; one of somebody else is not known to be visible', () => {
  const { domain, xen } = setting();
  const own = domain.altp2m.createView();
  assert.equal(domain.altp2m.view(own.index), own);
  const elsewhere = xen.domain(domain.domid).altp2m;
  const found = elsewhere.view(own.index);
  assert.equal(found.visible, null);
  assert.equal(found.owned, false);
  found.hide();
  assert.equal(found.visible, false);
  assert.throws(() => elsewhere.view(5), { code: 'EINVAL' });
  assert.throws(() => elsewhere.view(-1), RangeError);
});

test('views: all that exist, with holes, however many the release allows', () => {
  for (const [release, most] of [
    ['4.14', 10],
    ['4.20', 10],
    ['4.22', 40],
  ] as const) {
    const { domain } = setting({ release }, { nrAltp2m: most });
    const made = Array.from({ length: most - 1 }, () => domain.altp2m.createView());
    assert.throws(() => domain.altp2m.createView(), { code: 'EINVAL' });
    made[2]?.destroy();
    const indexes = domain.altp2m.views().map(({ index }) => index);
    assert.deepEqual(
      indexes,
      Array.from({ length: most }, (_, i) => i).filter((i) => i !== 3),
      release,
    );
    assert.equal(domain.altp2m.createView().index, 3, 'the lowest that is free');
    assert.equal(made[2]?.destroyed, true, 'the number was given away, the old object stays destroyed');
  }
});

test('views: one that somebody else destroyed is noticed', () => {
  const { domain, xen } = setting();
  const view = domain.altp2m.createView();
  xen.domain(domain.domid).altp2m.view(view.index).destroy();
  domain.altp2m.views();
  assert.equal(view.destroyed, true);
});

test('createView: hidden from the start, or not at all', () => {
  const { domain, model } = setting();
  assert.equal(domain.altp2m.createView({ visible: false }).visible, false);
  let count = 0;
  const real = model.hypercall.bind(model);
  // the third HVM operation: create, then hide, which fails
  model.hypercall = (op, ...args) => (op === 34 && ++count === 2 ? -12 : real(op, ...args));
  assert.throws(() => domain.altp2m.createView({ visible: false }), { code: 'ENOMEM' });
  assert.equal(domain.altp2m.views().length, 2);
});

test('destroy: refused while a vCPU runs in it; twice is harmless', () => {
  const { domain } = setting();
  const view = domain.altp2m.createView();
  view.switchTo();
  assert.throws(() => view.destroy(), { code: 'EBUSY' });
  assert.equal(view.destroyed, false);
  view.destroy({ evict: true });
  view.destroy();
  assert.deepEqual(domain.altp2m.viewOfEach(), [0, 0]);
  assert.throws(() => domain.altp2m.view(0).destroy(), { code: 'EBUSY' });
  assert.throws(() => domain.altp2m.view(0).destroy({ evict: true }), { code: 'EBUSY' });
});

test('destroy with evict: when view 0 is hidden there is nowhere to go, and all is as before', () => {
  const { domain } = setting();
  const view = domain.altp2m.createView();
  view.switchTo();
  domain.altp2m.view(0).hide();
  assert.throws(() => view.destroy({ evict: true }), { code: 'EINVAL' });
  assert.equal(view.destroyed, false);
  assert.equal(view.visible, true);
  assert.deepEqual(domain.altp2m.viewOfEach(), [1, 1]);
  view.switchTo();
});

test('destroy with evict: a view that somebody else destroyed is gone, too', () => {
  const { domain, xen } = setting();
  const view = domain.altp2m.createView();
  xen.domain(domain.domid).altp2m.view(view.index).destroy();
  view.destroy({ evict: true });
  assert.equal(view.destroyed, true);
});

test("using: a view of one's own ends with its scope, also when vCPUs run in it", () => {
  const { domain } = setting();
  {
    using view = domain.altp2m.createView();
    view.switchTo();
  }
  assert.equal(domain.altp2m.views().length, 1);
  assert.deepEqual(domain.altp2m.viewOfEach(), [0, 0]);
});

test('using: a view that was looked up stays, and so does view 0', () => {
  const { domain, xen } = setting();
  domain.altp2m.createView();
  {
    using _view = xen.domain(domain.domid).altp2m.view(1);
    using _zero = domain.altp2m.view(0);
  }
  assert.equal(domain.altp2m.views().length, 2);
});

test('using: nothing to do when altp2m was switched off, or the domain is gone', () => {
  const { domain, xen } = setting();
  {
    using _view = domain.altp2m.createView();
    xen.domain(domain.domid).altp2m.disable();
  }
  domain.altp2m.enable();
  using _view = domain.altp2m.createView();
  domain.destroy();
});

test('access: set, told, by name, number or constant; null where the view has no entry', () => {
  const { domain } = setting({ release: '4.20' }, { pages: '4K' });
  const view = domain.altp2m.createView({ defaultAccess: 'rx' });
  assert.equal(view.defaultAccess, 'rx');
  assert.equal(view.getAccess(0x40), null);
  view.setAccess(0x40, 'r');
  assert.equal(view.getAccess(0x40), 'r');
  view.setAccess(0x40n, XENMEM_access.n2rwx);
  assert.equal(view.getAccess(0x40n), 'n2rwx');
  view.setAccess(0x40, 3);
  assert.equal(view.getAccess(0x40), 'rw');
  view.setAccess(0x40, 'r_pw');
  assert.equal(view.getAccess(0x40), 'r_pw');
  view.setAccess(0x9999, 'r');
  assert.equal(view.getAccess(0x9999), null, 'no memory there: skipped');
});

test('access: INVALID_GFN is refused, which would change the host; r_pw is, before 4.20', () => {
  const { domain, model } = setting({ release: '4.19' });
  const view = domain.altp2m.createView();
  model.calls = 0;
  assert.throws(() => view.setAccess(INVALID_GFN, 'r'), RangeError);
  assert.throws(() => view.setAccess(1, 'r_pw'), { name: 'RangeError', message: /4\.20/ });
  assert.equal(model.calls, 0);
  domain.altp2m.setHostDefaultAccess('rw');
  assert.equal(domain.altp2m.view(0).defaultAccess, 'rw');
});

test("access of many frames: one for all, one each, Xen's numbers; awaitable with progress", async () => {
  const { domain } = setting({}, { pages: '4K' });
  const view = domain.altp2m.createView();
  view.setAccessOf([1, 2, 3], 'r');
  view.setAccessOf(BigUint64Array.of(4n, 5n), ['x', XENMEM_access.wx]);
  view.setAccessOf([6], Uint8Array.of(0));
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map((gfn) => view.getAccess(gfn)),
    ['r', 'r', 'r', 'x', 'wx', 'n'],
  );
  const seen: number[] = [];
  const frames = Array.from({ length: 0x200 }, (_, i) => i);
  await view.setAccessOfAsync(frames, 'rw', { onProgress: (done) => seen.push(done) });
  assert.equal(seen.at(-1), 0x200);
  assert.equal(view.getAccess(0x1ff), 'rw');
  await assert.rejects(view.setAccessOfAsync(frames, 'r', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(view.getAccess(0), 'rw');
});

test('remap: the view shows the other frame, and no more', () => {
  const { domain, model } = setting();
  const guest = model.domains.get(domain.domid);
  const vcpu = guest?.vcpus[0];
  assert.ok(vcpu);
  {
    using pages = domain.map([0x40, 0x41], { write: true });
    pages.bytes[0] = 1;
    pages.bytes[4096] = 2;
  }
  const view = domain.altp2m.createView();
  view.setAccessOf([0x40, 0x41], 'rwx');
  view.remap(0x40, 0x41);
  view.switchTo();
  assert.equal(vcpu.read(0x40000, 1).bytes[0], 2);
  view.unremap(0x40);
  view.setAccess(0x40, 'rwx');
  assert.equal(vcpu.read(0x40000, 1).bytes[0], 1);
  assert.throws(() => view.remap(0x40, 0x9999), { code: 'ESRCH', hint: /ordinary memory/ });
});

test('suppress-#VE: one frame, a range, null where there is no entry', () => {
  const { domain } = setting({}, { pages: '4K' });
  const view = domain.altp2m.createView();
  assert.equal(view.getSuppressVe(7), null);
  view.setSuppressVe(7, false);
  assert.equal(view.getSuppressVe(7), false);
  assert.deepEqual(view.setSuppressVeRange(0, 15, true), { error_code: 0, error_gfn: 0 });
  assert.equal(view.getSuppressVe(7), true);
  assert.equal(view.setSuppressVeRange(0x1fe, 0x300, true).error_gfn, 0x200);
});

test('notify: enables VMFUNC on a vCPU', () => {
  const { domain, model } = setting();
  const vcpu = model.domains.get(domain.domid)?.vcpus[1];
  assert.equal(vcpu?.vmfunc(0, 0).exception, 6);
  domain.altp2m.enableNotify(1, 0x50);
  assert.throws(() => domain.altp2m.enableNotify(1, 0x50), { code: 'EEXIST' });
  assert.equal(vcpu?.vmfunc(0, 0).exception, null);
  domain.altp2m.disableNotify(1);
  domain.altp2m.enableNotify(1, 0x50);
});

test('a closed connection: TypeError everywhere', () => {
  const model = new ModelXen();
  const { domid } = model.createGuest({ altp2m: 'mixed' });
  const xen = Xen.open({ hypervisor: model });
  const domain = xen.domain(domid);
  domain.altp2m.enable();
  const view = domain.altp2m.createView();
  xen.close();
  for (const call of [() => domain.info(), () => domain.altp2m.enabled, () => view.hide(), () => xen.list()]) {
    assert.throws(call, TypeError);
  }
});

test('what console.log shows', () => {
  const { domain } = setting({}, { uuid: '01234567-89ab-cdef-0123-456789abcdef' });
  const view = domain.altp2m.createView();
  assert.equal(inspect(domain), 'Domain 1 (01234567-89ab-cdef-0123-456789abcdef)');
  assert.equal(inspect(view), 'View 1 of domain 1 (visible)');
  view.hide();
  assert.equal(inspect([view]), '[ View 1 of domain 1 (hidden) ]');
  view.destroy();
  assert.equal(inspect(view), 'View 1 of domain 1 (destroyed)');
});
