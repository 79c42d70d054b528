/** The calls together, on the software Xen of every release: a guest from its creation to its end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';

const since = (release: Release, first: Release): boolean => releaseIndex(release) >= releaseIndex(first);
const UUID = '01234567-89ab-cdef-0123-456789abcdef';

function opened(release: Release): { xen: ModelXen; xch: xc.XcInterface } {
  const xen = new ModelXen({ release });
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

/** A guest with 256 pages and altp2m in mode external, made with the calls alone. */
function makeGuest(xch: xc.XcInterface, release: Release): number {
  const domid = xc.xc_domain_create(xch, 0, {
    flags: xc.XEN_DOMCTL_CDF_hvm | xc.XEN_DOMCTL_CDF_hap,
    max_vcpus: 2,
    handle: UUID,
    altp2m: since(release, '4.19') ? { opts: xc.XEN_ALTP2M_external } : undefined,
  });
  xc.xc_domain_max_vcpus(xch, domid, 2);
  xc.xc_domain_setmaxmem(xch, domid, 4096);
  if (since(release, '4.17')) xc.xc_set_paging_mempool_size(xch, domid, 8 << 20);
  const frames = Array.from({ length: 256 }, (_, i) => i);
  xc.xc_domain_populate_physmap_exact(xch, domid, 0, 0, frames);
  if (!since(release, '4.19')) xc.xc_hvm_param_set(xch, domid, xc.HVM_PARAM_ALTP2M, xc.XEN_ALTP2M_external);
  return domid;
}

for (const release of RELEASES) {
  test(`Xen ${release}: a guest is made, looked at, used and ended`, () => {
    const { xch } = opened(release);
    const domid = makeGuest(xch, release);
    const info = xc.xc_domain_getinfo_single(xch, domid);
    assert.equal(info.domain, domid);
    assert.equal(info.handle, UUID);
    assert.deepEqual(
      [info.hvm_guest, info.hap, info.dying, info.shutdown, info.paused],
      [true, true, false, false, true],
    );
    assert.equal(info.shutdown_reason, null);
    assert.deepEqual([info.tot_pages, info.max_pages], [256, 1024]);
    assert.equal(info.max_vcpu_id, 1);
    assert.equal(info.gpaddr_bits === null, !since(release, '4.16'));

    assert.deepEqual(
      xc.xc_domain_getinfolist(xch, 0, 100).map((one) => [one.domain, one.hvm_guest]),
      [
        [0, false],
        [domid, true],
      ],
    );
    assert.deepEqual(xc.xc_domain_getinfolist(xch, domid, 1), [info]);
    assert.deepEqual(xc.xc_domain_getinfolist(xch, domid + 1, 100), []);

    assert.equal(xc.xc_domain_maximum_gpfn(xch, domid), 255);
    assert.equal(xc.xc_hvm_param_get(xch, domid, xc.HVM_PARAM_ALTP2M), 2n);
    if (since(release, '4.17')) assert.equal(xc.xc_get_paging_mempool_size(xch, domid), 8 << 20);

    {
      using pages = xc.xc_map_foreign_pages(xch, domid, xc.PROT_READ | xc.PROT_WRITE, [3, 5]);
      pages.bytes.set([1, 2, 3], 4096);
    }
    {
      using page = xc.xc_map_foreign_range(xch, domid, 4096, xc.PROT_READ, 5);
      assert.deepEqual([...page.bytes.subarray(0, 3)], [1, 2, 3]);
    }
    {
      using some = xc.xc_map_foreign_bulk(xch, domid, xc.PROT_READ, [5, 0x9999]);
      assert.equal(some.errors[0], 0);
      assert.ok((some.errors[1] as number) < 0);
    }
    assert.throws(() => xc.xc_map_foreign_pages(xch, domid, xc.PROT_READ, [0x9999]), { name: 'XenError', domid });

    const state = xc.xc_domain_hvm_getcontext(xch, domid);
    assert.ok(state.length >= 40, 'a header and an end: no vCPU was started');
    xc.xc_domain_hvm_setcontext(xch, domid, state);
    assert.deepEqual(xc.xc_domain_hvm_getcontext(xch, domid), state);

    xc.xc_altp2m_set_domain_state(xch, domid, true);
    const view = xc.xc_altp2m_create_view(xch, domid, xc.XENMEM_access.rwx);
    assert.equal(view, 1);
    xc.xc_altp2m_set_mem_access_multi(xch, domid, view, [xc.XENMEM_access.rx, xc.XENMEM_access.default], [3, 5]);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 3), xc.XENMEM_access.rx);
    xc.xc_altp2m_set_visibility(xch, domid, view, false);
    assert.throws(() => xc.xc_altp2m_switch_to_view(xch, domid, view), { code: 'EINVAL', hint: /hidden/ });
    xc.xc_altp2m_set_visibility(xch, domid, view, true);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 1), view);
    xc.xc_altp2m_switch_to_view(xch, domid, 0);
    xc.xc_altp2m_set_domain_state(xch, domid, false);

    xc.xc_domain_unpause(xch, domid);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).paused, false);
    xc.xc_domain_pause(xch, domid);
    xc.xc_domain_pause(xch, domid);
    xc.xc_domain_unpause(xch, domid);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).paused, true);
    xc.xc_domain_unpause(xch, domid);
    assert.throws(() => xc.xc_domain_unpause(xch, domid), { code: 'EINVAL', hint: 'the domain is not paused' });

    xc.xc_domain_decrease_reservation_exact(xch, domid, 0, [7, 8]);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, 254);
    xc.xc_domain_shutdown(xch, domid, xc.SHUTDOWN_suspend);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).shutdown_reason, xc.SHUTDOWN_suspend);
    xc.xc_domain_destroy(xch, domid);
    assert.throws(() => xc.xc_domain_getinfo_single(xch, domid), { code: 'ESRCH', domid });
    assert.throws(() => xc.xc_domain_destroy(xch, domid), { code: 'ESRCH', hint: 'no such domain' });
  });

  test(`Xen ${release}: a gap in the domain ids is no domain`, () => {
    const { xen, xch } = opened(release);
    const first = xen.createGuest().domid;
    const second = xen.createGuest().domid;
    xc.xc_domain_destroy(xch, first);
    assert.throws(() => xc.xc_domain_getinfo_single(xch, first), { code: 'ESRCH', domid: first });
    assert.equal(xc.xc_domain_getinfo_single(xch, second).domain, second);
  });

  test(`Xen ${release}: the host tells about itself`, () => {
    const { xch } = opened(release);
    const info = xc.xc_physinfo(xch);
    assert.equal(info.capabilities.hap, true);
    assert.ok(info.nr_cpus >= 1 && info.total_pages > info.free_pages && info.free_pages > 0);
    assert.equal(info.hw_cap.length, 8);
    const minor = Number(release.slice(2));
    assert.equal(xc.xc_version(xch, xc.XENVER_version), (4 << 16) | minor);
    assert.match(xc.xc_xenver_capabilities(xch), /hvm-3\.0-x86_64/);
    assert.match(xc.xc_xenver_commandline(xch), /altp2m=1/);
    assert.equal(xc.xc_xenver_pagesize(xch), 4096);
    assert.match(xc.xc_xenver_guest_handle(xch), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(typeof xc.xc_xenver_compile_info(xch).compiler, 'string');
    assert.equal(typeof xc.xc_xenver_changeset(xch), 'string');
    assert.equal(typeof xc.xc_xenver_extraversion(xch), 'string');
    assert.match(xc.xc_xenver_buildid(xch), /^[0-9a-f]{40}$/);
  });

  test(`Xen ${release}: the awaitable calls do what the others do`, async () => {
    const { xch } = opened(release);
    const domid = makeGuest(xch, release);
    xc.xc_domain_setmaxmem(xch, domid, 64 << 20);
    const frames = Array.from({ length: 9000 }, (_, i) => i + 256);
    const told: number[] = [];
    const onProgress = (done: number): void => void told.push(done);
    await xc.xc_domain_populate_physmap_exact_async(xch, domid, 0, 0, frames, { onProgress });
    assert.deepEqual(told, [4096, 8192, 9000]);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, 9256);
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    const view = xc.xc_altp2m_create_view(xch, domid, xc.XENMEM_access.rwx);
    await xc.xc_altp2m_set_mem_access_multi_async(xch, domid, view, new Uint8Array(9000).fill(1), frames);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 9255), xc.XENMEM_access.r);
    await xc.xc_domain_destroy_async(xch, domid, { onProgress });
    assert.equal(told.at(-1), 9256);
    assert.throws(() => xc.xc_domain_getinfo_single(xch, domid), { code: 'ESRCH' });
  });
}

test('memory beyond the limit is refused, with how much was given', () => {
  const { xch } = opened('4.17');
  const domid = makeGuest(xch, '4.17');
  const frames = Array.from({ length: 5000 }, (_, i) => i + 256);
  const act = (): void => xc.xc_domain_populate_physmap_exact(xch, domid, 0, 0, frames);
  assert.throws(act, { code: 'EBUSY', hint: /^768 of 5000 extents: .*xc_domain_setmaxmem/ });
  assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, 1024);
  assert.throws(() => xc.xc_domain_populate_physmap_exact(xch, 999, 0, 0, [1]), { code: 'EBUSY', hint: /^0 of 1/ });
});

test('a taken id is refused', () => {
  const { xch } = opened('4.17');
  const config = { flags: xc.XEN_DOMCTL_CDF_hvm | xc.XEN_DOMCTL_CDF_hap, max_vcpus: 1 };
  assert.equal(xc.xc_domain_create(xch, 77, config), 77);
  assert.throws(() => xc.xc_domain_create(xch, 77, config), {
    name: 'XenError',
    syscall: 'xc_domain_create',
    domid: 77,
  });
});

test('a guest that is not privileged is told so', () => {
  const { xen, xch } = opened('4.17');
  const { domid } = xen.createGuest();
  xen.restrict(domid);
  assert.throws(() => xc.xc_domain_pause(xch, domid), { code: 'EPERM', hint: /only a privileged domain may/ });
  assert.throws(() => xc.xc_physinfo(xch), { code: 'EPERM' });
});
