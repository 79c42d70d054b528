/** The altp2m calls on the model, call by call, as a dom0 script makes them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { type Guest, type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';

const { XENMEM_access } = xc;

/** A machine with one guest whose altp2m is on. */
function active(options: ModelOptions = {}, guestOptions: GuestOptions = {}) {
  const made = inactive(options, guestOptions);
  xc.xc_altp2m_set_domain_state(made.xch, made.domid, true);
  return made;
}

function inactive(options: ModelOptions = {}, guestOptions: GuestOptions = {}) {
  const xen = new ModelXen(options);
  const guest = xen.createGuest({ vcpus: 2, memoryPages: 256, pages: '4K', altp2m: 'mixed', ...guestOptions });
  return { xen, guest, domid: guest.domid, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

function fails(code: string, call: () => unknown): void {
  assert.throws(call, (error) => error instanceof xc.XenError && error.code === code && error.errno < 0);
}

const word = (guest: Guest, address: number): number =>
  new DataView(guest.vcpus[0].read(address, 4).bytes.buffer).getUint32(0, true);

describe('state of the domain', () => {
  test('set_domain_state on puts every vCPU in view 0, off takes all views away', () => {
    const { xch, domid } = active();
    assert.equal(xc.xc_altp2m_get_domain_state(xch, domid), true);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 1), 0);
    xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_domain_state(xch, domid, false);
    fails('EOPNOTSUPP', () => xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0));
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    fails('EINVAL', () => xc.xc_altp2m_switch_to_view(xch, domid, 1));
  });

  const refusals: readonly [string, string, ModelOptions, GuestOptions][] = [
    ['no altp2m=1 on the command line', 'EOPNOTSUPP', { altp2m: false }, {}],
    ['an AMD processor', 'EOPNOTSUPP', { cpu: { vendor: 'amd' } }, {}],
    ['a PV guest', 'EOPNOTSUPP', {}, { type: 'pv', altp2m: 'disabled' }],
    ['a guest without an altp2m mode', 'EINVAL', {}, { altp2m: 'disabled' }],
  ];
  for (const [name, code, options, guestOptions] of refusals) {
    test(`set_domain_state gives ${code} with ${name}`, () => {
      const { xch, domid } = inactive(options, guestOptions);
      fails(code, () => xc.xc_altp2m_set_domain_state(xch, domid, true));
    });
  }

  test('a guest that Xen would not create with altp2m is refused', () => {
    const xen = new ModelXen({ release: '4.19' });
    assert.throws(() => xen.createGuest({ altp2m: 'mixed', nestedVirt: true }), { code: 'EINVAL' });
    assert.throws(() => new ModelXen({ release: '4.21', altp2m: false }).createGuest({ altp2m: 'mixed' }), {
      code: 'EINVAL',
    });
    assert.doesNotThrow(() => new ModelXen({ release: '4.20', altp2m: false }).createGuest({ altp2m: 'mixed' }));
    assert.throws(() => xen.createGuest({ hap: false }), { code: 'EOPNOTSUPP' });
    assert.throws(() => xen.createGuest({ hap: false, altp2m: 'mixed' }), { code: 'EINVAL' });
  });
});

describe('views', () => {
  for (const [release, options, expected] of [
    ['4.17', {}, 9],
    ['4.20', {}, 9],
    ['4.21', {}, 9],
    ['4.21', { nrAltp2m: 2 }, 1],
    ['4.22', { nrAltp2m: 512 }, 511],
  ] as const) {
    test(`create_view gives ${expected} views beside view 0 on ${release} ${JSON.stringify(options)}`, () => {
      const { xch, domid } = active({ release }, options);
      for (let i = 1; i <= expected; i++) {
        assert.equal(xc.xc_altp2m_create_view(xch, domid, XENMEM_access.default), i);
      }
      fails('EINVAL', () => xc.xc_altp2m_create_view(xch, domid, XENMEM_access.default));
      xc.xc_altp2m_destroy_view(xch, domid, 1);
      assert.equal(xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx), 1);
    });
  }

  test('hidden views refuse switch_to_view and VMFUNC, evict nobody, and can be destroyed', () => {
    const { xch, domid, guest } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_vcpu_enable_notify(xch, domid, 0, 0x50);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    xc.xc_altp2m_set_visibility(xch, domid, view, false);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), view);
    assert.equal(guest.vcpus[0].vmfunc(0, 0).exception, null);
    assert.equal(guest.vcpus[0].vmfunc(0, view).exception, 6);
    fails('EINVAL', () => xc.xc_altp2m_switch_to_view(xch, domid, view));
    xc.xc_altp2m_set_mem_access(xch, domid, view, 7, XENMEM_access.rx);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 7), XENMEM_access.rx);
    xc.xc_altp2m_switch_to_view(xch, domid, 0);
    xc.xc_altp2m_destroy_view(xch, domid, view);
    fails('EINVAL', () => xc.xc_altp2m_set_visibility(xch, domid, view, true));
  });

  test('destroy_view gives EBUSY for view 0, a view in use and a view that is not', () => {
    const { xch, domid } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    for (const index of [0, view, 5, 10, 65535]) {
      fails('EBUSY', () => xc.xc_altp2m_destroy_view(xch, domid, index));
    }
  });
});

describe('memory', () => {
  test('change_gfn shows another frame in one view only, INVALID_GFN takes it back', () => {
    const { xch, domid, guest } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    guest.vcpus[0].write(0x40000, new Uint8Array([0xa]));
    guest.vcpus[0].write(0x41000, new Uint8Array([0xb]));
    xc.xc_altp2m_change_gfn(xch, domid, view, 0x40, 0x41);
    assert.equal(word(guest, 0x40000), 0xa);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    assert.equal(word(guest, 0x40000), 0xb);
    xc.xc_altp2m_change_gfn(xch, domid, view, 0x40, xc.INVALID_GFN);
    assert.equal(word(guest, 0x40000), 0xa);
    fails('ESRCH', () => xc.xc_altp2m_change_gfn(xch, domid, view, 0x40, 0x1000));
  });

  test('a view fills as the guest touches memory: get_mem_access gives ESRCH before', () => {
    const { xch, domid, guest } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    fails('ESRCH', () => xc.xc_altp2m_get_mem_access(xch, domid, view, 0x40));
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    word(guest, 0x40000);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 0x40), XENMEM_access.rwx);
    fails('ESRCH', () => xc.xc_altp2m_get_mem_access(xch, domid, view, 0x41));
  });

  for (const [release, expected] of [
    ['4.17', XENMEM_access.rwx],
    ['4.18', XENMEM_access.rwx],
    ['4.19', XENMEM_access.rx],
    ['4.22', XENMEM_access.rx],
  ] as const) {
    test(`a touched frame takes ${expected === 7 ? 'the host’s access' : 'the view’s default access'} on ${release}`, () => {
      const { xch, domid, guest } = active({ release });
      const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rx);
      xc.xc_altp2m_switch_to_view(xch, domid, view);
      word(guest, 0x40000);
      assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 0x40), expected);
    });
  }

  test('the first touch of a 2 MiB page takes all of it into the view', () => {
    const { xch, domid, guest } = active({}, { memoryPages: 1024, pages: 'best' });
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    word(guest, 0x40000);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 0x1ff), XENMEM_access.rwx);
    fails('ESRCH', () => xc.xc_altp2m_get_mem_access(xch, domid, view, 0x200));
  });

  test('without an agent a violation makes the frame rwx, or ends the domain that requires one', () => {
    const { xch, domid, guest } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    assert.equal(guest.vcpus[0].write(0x40000, new Uint8Array([1])).finished, true);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 0x40), XENMEM_access.rwx);
    guest.domain.altp2m.accessRequired = true;
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    assert.equal(guest.vcpus[0].write(0x40000, new Uint8Array([1])).finished, false);
    assert.equal(guest.domain.shutdownCode, 3);
  });

  test('a remapped frame that the host loses empties its view, two such views empty all', () => {
    const { xch, domid, guest } = active();
    const [one, two, three] = [1, 2, 3].map(() => xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx));
    const known = (view = 0): boolean => {
      try {
        xc.xc_altp2m_get_mem_access(xch, domid, view, 0x60);
        return true;
      } catch {
        return false;
      }
    };
    for (const view of [one, two, three]) {
      xc.xc_altp2m_set_mem_access(xch, domid, view ?? 0, 0x60, XENMEM_access.rx);
    }
    xc.xc_altp2m_change_gfn(xch, domid, one ?? 0, 0x40, 0x41);
    guest.domain.depopulate(0x41);
    assert.deepEqual([known(one), known(two), known(three)], [false, true, true]);
    xc.xc_altp2m_change_gfn(xch, domid, one ?? 0, 0x40, 0x42);
    xc.xc_altp2m_change_gfn(xch, domid, two ?? 0, 0x40, 0x42);
    guest.domain.depopulate(0x42);
    assert.deepEqual([known(one), known(two), known(three)], [false, false, false]);
  });

  test('set_suppress_ve_multi reports the first hole and goes on behind it', () => {
    const { xch, domid } = active();
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    assert.deepEqual(xc.xc_altp2m_set_suppress_ve_multi(xch, domid, view, 0xfe, 0x1_0000_0000, false), {
      error_code: -3,
      error_gfn: 0x100,
    });
    assert.equal(xc.xc_altp2m_get_suppress_ve(xch, domid, view, 0xff), false);
  });

  test('a list of access types of any length is set, up to the first that is none', () => {
    const { xch, domid } = active({}, { memoryPages: 20_000, pages: 'best' });
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    const gfns = Array.from({ length: 10_000 }, (_, i) => i);
    xc.xc_altp2m_set_mem_access_multi(xch, domid, view, new Uint8Array(10_000).fill(5), gfns);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 9_999), XENMEM_access.rx);
    const access = new Uint8Array(10_000).fill(1);
    access[9_000] = 99;
    fails('EINVAL', () => xc.xc_altp2m_set_mem_access_multi(xch, domid, view, access, gfns));
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 8_999), XENMEM_access.r);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 9_001), XENMEM_access.rx);
  });
});

describe('releases', () => {
  for (const [release, access, accepted] of [
    ['4.19', 10, true],
    ['4.19', 11, false],
    ['4.20', 11, true],
    ['4.20', 12, false],
  ] as const) {
    test(`access number ${access} is ${accepted ? 'taken' : 'refused'} on ${release}`, () => {
      const { xch, domid } = active({ release });
      const call = () => xc.xc_altp2m_set_mem_access(xch, domid, 0, 1, access);
      if (accepted) call();
      else fails('EINVAL', call);
    });
  }

  test('r_pw is refused before anything is sent on releases without it', () => {
    const { xch, domid } = active({ release: '4.19' });
    assert.throws(() => xc.xc_altp2m_set_mem_access(xch, domid, 0, 1, XENMEM_access.r_pw), RangeError);
    const newer = active({ release: '4.20' });
    xc.xc_altp2m_set_mem_access(newer.xch, newer.domid, 0, 1, XENMEM_access.r_pw);
    assert.equal(xc.xc_altp2m_get_mem_access(newer.xch, newer.domid, 0, 1), XENMEM_access.r_pw);
  });
});
