import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallAbortedError, HVM_PARAM_STORE_PFN, PROT_READ, Xen, XenError } from '#dist/index.js';
import { setting } from './watched.js';

/** Destroys the guest and gives its id to another. */
function recycle({ xen, domain }: ReturnType<typeof setting>): void {
  const { domid } = domain;
  xen.domain(domid).destroy();
  xen.createDomain({ domid, vcpus: 2, maxMemory: 64, altp2m: 'mixed' });
}

test('a domain whose id was given to another is refused, and the other is not touched', () => {
  const set = setting();
  const { domain, xen } = set;
  const view = domain.altp2m.createView();
  recycle(set);
  const other = xen.domain(domain.domid);
  other.altp2m.enable();
  other.altp2m.createView();
  const before = JSON.stringify(set.model.save());
  const refused = { code: 'ESRCH', hint: new RegExp(`${domain.uuid}.*is gone.*${other.uuid}`) };
  const calls: (() => unknown)[] = [
    () => domain.info(),
    () => domain.pause(),
    () => domain.unpause(),
    () => domain.shutdown(),
    () => domain.destroy(),
    () => domain.rename('01234567-89ab-cdef-0123-456789abcdef'),
    () => domain.param(HVM_PARAM_STORE_PFN),
    () => domain.setParam(HVM_PARAM_STORE_PFN, 1),
    () => domain.map([0]),
    () => domain.maximumGfn,
    () => domain.setMaxMemory(1),
    () => domain.populate([1]),
    () => domain.depopulate([1]),
    () => domain.pagingPool,
    () => domain.setPagingPool(4096),
    () => domain.context(),
    () => domain.setContext(new Uint8Array(8)),
    () => domain.setAccessRequired(true),
    () => domain.altp2m.mode,
    () => domain.altp2m.enabled,
    () => domain.altp2m.enable(),
    () => domain.altp2m.disable(),
    () => domain.altp2m.createView(),
    () => domain.altp2m.view(1),
    () => domain.altp2m.views(),
    () => domain.altp2m.switchTo(0),
    () => domain.altp2m.viewOf(0),
    () => domain.altp2m.viewOfEach(),
    () => domain.altp2m.enableNotify(0, 1),
    () => domain.altp2m.disableNotify(0),
    () => domain.altp2m.setHostDefaultAccess('rx'),
    () => view.hide(),
    () => view.show(),
    () => view.switchTo(),
    () => view.destroy(),
    () => view.destroy({ evict: true }),
    () => view.defaultAccess,
    () => view.getAccess(1),
    () => view.setAccess(1, 'r'),
    () => view.setAccessOf([1, 2], 'r'),
    () => view.remap(1, 2),
    () => view.unremap(1),
    () => view.setSuppressVe(1, true),
    () => view.getSuppressVe(1),
    () => view.setSuppressVeRange(1, 2, true),
  ];
  for (const call of calls) assert.throws(call, refused, String(call));
  assert.equal(JSON.stringify(set.model.save()), before);
  assert.equal(domain.alive, false);
  view[Symbol.dispose]();
  assert.equal(view.destroyed, true);
  assert.equal(other.altp2m.views().length, 2);
});

test('the awaitable calls refuse it, too', async () => {
  const set = setting();
  const view = set.domain.altp2m.createView();
  recycle(set);
  const refused = { code: 'ESRCH' };
  await assert.rejects(set.domain.destroyAsync(), refused);
  await assert.rejects(set.domain.populateAsync([1]), refused);
  await assert.rejects(view.setAccessOfAsync([1], 'r'), refused);
});

test('a domain that is gone says so, whichever domain Xen answers with', () => {
  const set = setting();
  set.xen.createDomain();
  set.domain.destroy();
  assert.throws(() => set.domain.pause(), { code: 'ESRCH', hint: 'the domain is gone' });
  assert.equal(set.domain.alive, false);
});

test('trustFor: one check is good for many calls, and then not any more', async () => {
  const { model, domain } = setting();
  using xen = Xen.open({ hypervisor: model, trustFor: 50 });
  const trusting = xen.domain(domain.domid);
  trusting.altp2m.viewOf(0);
  model.calls = 0;
  for (let i = 0; i < 5; i++) trusting.altp2m.viewOf(0);
  assert.ok(model.calls < 10, `${model.calls} calls`);
  await new Promise((resolve) => setTimeout(resolve, 60));
  domain.destroy();
  xen.createDomain({ domid: domain.domid });
  assert.throws(() => trusting.altp2m.viewOf(0), { code: 'ESRCH', hint: /is gone/ });
});

test('rename: the object goes on to stand for its domain', () => {
  const { domain, xen } = setting();
  const uuid = '01234567-89AB-cdef-0123-456789abcdef';
  domain.rename(uuid);
  assert.equal(domain.uuid, uuid.toLowerCase());
  assert.equal(xen.domain(uuid).domid, domain.domid);
  assert.equal(domain.alive, true);
});

test('pause: counted, taken back at the end of the scope, once', () => {
  const { domain } = setting();
  {
    using paused = domain.pause();
    using _again = domain.pause();
    assert.equal(domain.info().paused, true);
    paused[Symbol.dispose]();
    assert.equal(domain.info().paused, true);
  }
  assert.equal(domain.info().paused, false);
  assert.throws(() => domain.unpause(), { code: 'EINVAL' });
});

test('pause: a domain that is gone at the end of the scope is no error', () => {
  const { domain } = setting();
  using _paused = domain.pause();
  domain.destroy();
});

test('shutdown: the reason reaches Xen', () => {
  const { domain } = setting();
  domain.shutdown('reboot');
  assert.equal(domain.info().shutdown_reason, 1);
  for (const bad of ['off', '', 'constructor', 1, null]) assert.throws(() => domain.shutdown(bad as never), TypeError);
});

test('map: what is written is there; read-only is the default', () => {
  const { domain } = setting();
  {
    using pages = domain.map([0x40, 0x41], { write: true });
    pages.bytes.set([1, 2, 3]);
  }
  using page = domain.map(BigUint64Array.of(0x40n));
  assert.deepEqual([...page.bytes.subarray(0, 3)], [1, 2, 3]);
  assert.throws(() => domain.map([0x100000]), XenError);
  assert.equal(PROT_READ, 1);
});

test('memory: populate, depopulate, limits, the paging pool', () => {
  const { domain } = setting();
  domain.setMaxMemory(0x210 * 4);
  domain.populate([0x1000, 0x1001]);
  assert.equal(domain.info().tot_pages, 0x202);
  assert.equal(domain.maximumGfn >= 0x1001, true);
  domain.depopulate([0x1000]);
  assert.equal(domain.info().tot_pages, 0x201);
  assert.throws(() => domain.populate(Array.from({ length: 64 }, (_, i) => 0x2000 + i)), { code: 'EBUSY' });
  domain.setPagingPool(1 << 20);
  assert.equal(domain.pagingPool, 1 << 20);
});

test('context: what is read can be written', () => {
  const { domain } = setting();
  const context = domain.context();
  assert.ok(context.length > 1000);
  domain.setContext(context);
});

test('populateAsync and destroyAsync: progress, and the end', async () => {
  const { domain } = setting();
  domain.setMaxMemory(0x4000 * 4);
  const seen: number[] = [];
  const frames = Array.from({ length: 0x2000 }, (_, i) => 0x1000 + i);
  await domain.populateAsync(frames, 0, { onProgress: (done) => seen.push(done) });
  assert.equal(seen.at(-1), frames.length);
  await domain.destroyAsync();
  assert.equal(domain.alive, false);
});

test('populateAsync: stopped by its signal, and how far it got', async () => {
  const { domain } = setting();
  domain.setMaxMemory(0x10000 * 4);
  const stop = new AbortController();
  const frames = Array.from({ length: 0x3000 }, (_, i) => 0x1000 + i);
  const options = { signal: stop.signal, onProgress: () => stop.abort() };
  await assert.rejects(domain.populateAsync(frames, 0, options), (error) => {
    assert.ok(error instanceof CallAbortedError);
    assert.equal(domain.info().tot_pages, 0x200 + error.done);
    return error.done > 0 && error.done < frames.length;
  });
});
