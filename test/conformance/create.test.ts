/** Making domains: ids, settings and what Xen refuses, vCPUs, UUIDs. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { xenAtLeast } from '#dist/xc/interface.js';
import { ABSENT_DOMID, bareDomain, pvDomain } from './domains.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const HVM = xc.XEN_DOMCTL_CDF_hvm;
const HVM_HAP = HVM | xc.XEN_DOMCTL_CDF_hap;

/** What creating a domain with these settings gives; the domain goes at once. */
function created(config: Partial<xc.DomainConfig>, domid = 0): string {
  return outcome(() => bareDomain(target, config, domid)[Symbol.dispose]());
}

test('a domain gets the id it is asked for', () => {
  using domain = bareDomain(target, {}, ABSENT_DOMID);
  assert.equal(domain.domid, ABSENT_DOMID);
  assert.equal(domain.info.domain, ABSENT_DOMID);
});

test('an id that is taken is EEXIST, dom0 apart, which means any', () => {
  using domain = bareDomain(target);
  assert.equal(created({}, domain.domid), 'EEXIST');
  using any = bareDomain(target, {}, 0);
  assert.notEqual(any.domid, 0);
});

test('ids are given out upwards, and a named one does not move them', () => {
  using one = bareDomain(target);
  using named = bareDomain(target, {}, ABSENT_DOMID);
  using two = bareDomain(target);
  assert.ok(two.domid > one.domid);
  assert.ok(two.domid < named.domid);
});

test('an id beyond those of ordinary domains means any', () => {
  for (const special of [0x7ff0, 0x7ff4, 0x7fff, 0xffff]) {
    using domain = bareDomain(target, {}, special);
    assert.ok(domain.domid > 0 && domain.domid < 0x7ff0);
  }
});

describe('the number of vCPUs', () => {
  const limits = [
    ['HVM', HVM_HAP, 0, 'EINVAL'],
    ['HVM', HVM_HAP, 1, 'ok'],
    ['HVM', HVM_HAP, 128, 'ok'],
    ['HVM', HVM_HAP, 129, 'EINVAL'],
    ['PV', 0, 0, 'EINVAL'],
    ['PV', 0, 8192, 'ok'],
    ['PV', 0, 8193, 'EINVAL'],
  ] as const;
  for (const [kind, flags, max_vcpus, expected] of limits) {
    test(`${max_vcpus} of a ${kind} domain: ${expected}`, () => {
      assert.equal(created({ flags, max_vcpus }), expected);
    });
  }
});

describe('settings', () => {
  const nested = xc.XEN_DOMCTL_CDF_nested_virt;
  const { directio, vpmu, vmtrace } = xc.xc_physinfo(xch).capabilities;
  const needs = (ability: boolean | null): string => (ability ? 'ok' : 'EINVAL');
  const settings: readonly (readonly [string, Partial<xc.DomainConfig>, string])[] = [
    ['HAP without HVM', { flags: xc.XEN_DOMCTL_CDF_hap }, 'EINVAL'],
    ['HVM without HAP, on a Xen without shadow paging', { flags: HVM }, 'EOPNOTSUPP'],
    ['a flag that nobody knows', { flags: HVM_HAP | 0x100 }, xenAtLeast(xch, '4.21') ? 'ok' : 'EINVAL'],
    ['the highest flag', { flags: (HVM_HAP | 0x8000_0000) >>> 0 }, 'EINVAL'],
    ['nested virtualisation', { flags: HVM_HAP | nested }, 'ok'],
    ['nested virtualisation without HAP', { flags: HVM | nested }, 'EINVAL'],
    ['performance counters, where the host has them', { flags: HVM_HAP | xc.XEN_DOMCTL_CDF_vpmu }, needs(vpmu)],
    ['device passthrough, where there is an IOMMU', { flags: HVM_HAP | xc.XEN_DOMCTL_CDF_iommu }, needs(directio)],
    ['integrity of S3', { flags: HVM_HAP | xc.XEN_DOMCTL_CDF_s3_integrity }, 'EINVAL'],
    ['out-of-sync shadows off', { flags: HVM_HAP | xc.XEN_DOMCTL_CDF_oos_off }, 'ok'],
    ['the xenstore domain', { flags: HVM_HAP | xc.XEN_DOMCTL_CDF_xs_domain }, 'ok'],
    ['grant tables of version 2', { grant_opts: 2 }, 'ok'],
    ["Xen's own number of grant frames", { max_grant_frames: -1 }, 'ok'],
    ['no grant mappings', { max_maptrack_frames: 0 }, 'ok'],
    ['processor trace, where the host has it', { vmtrace_size: 4096 }, needs(vmtrace)],
    ['IOMMU options without an IOMMU', { iommu_opts: xc.XEN_DOMCTL_IOMMU_no_sharept }, 'EINVAL'],
    ['no event channel port but one', { max_evtchn_port: 0 }, 'ok'],
    ['a security label without FLASK', { ssidref: 5 }, 'ok'],
    ['no emulation at all', { arch: { emulation_flags: 0 } }, 'EOPNOTSUPP'],
    ['the local APIC alone', { arch: { emulation_flags: 1 } }, 'ok'],
    ['two devices', { arch: { emulation_flags: 3 } }, 'EOPNOTSUPP'],
    ['all devices without PIRQs', { arch: { emulation_flags: 0x1ff } }, 'EOPNOTSUPP'],
    ['all devices', { arch: { emulation_flags: 0x3ff } }, 'ok'],
    ['all devices and PCI', { arch: { emulation_flags: 0x7ff } }, 'EOPNOTSUPP'],
    ['a device that nobody knows', { arch: { emulation_flags: 0x800 } }, 'EINVAL'],
    ['a PV domain with an APIC', { flags: 0, arch: { emulation_flags: 1 } }, 'EOPNOTSUPP'],
    ['a PV domain with a PIT', { flags: 0, arch: { emulation_flags: 0x100 } }, 'ok'],
    ['relaxed MSRs', { arch: { misc_flags: xc.XEN_X86_MSR_RELAXED } }, 'ok'],
    ['a misc flag that nobody knows', { arch: { misc_flags: 2 } }, 'EINVAL'],
  ];
  for (const [name, config, expected] of settings) {
    test(`${name}: ${expected}`, () => assert.equal(created(config), expected));
  }
});

/**
 * On Intel a real Xen 4.17 (Debian's 4.17.7) crashes when a creation fails after the APIC page was made: the page is a
 * reference to the domain that must have none. So these are asked for elsewhere only.
 */
const crashes =
  target.model === null && (((xc.xc_physinfo(xch).hw_cap[1] ?? 0) >>> 5) & 1) === 1
    ? 'a real Xen 4.17 crashes on Intel when a creation fails so late'
    : false;

describe('settings that are refused late', { skip: crashes }, () => {
  const settings: readonly (readonly [string, Partial<xc.DomainConfig>, xc.XenError['code']])[] = [
    ['grant tables of version 0', { grant_opts: 0 }, 'EINVAL'],
    ['grant tables of version 3', { grant_opts: 3 }, 'EINVAL'],
    ['a grant option that nobody knows', { grant_opts: 0x11 }, 'EINVAL'],
    ['no grant frames', { max_grant_frames: 0 }, 'EINVAL'],
    ['too many grant frames', { max_grant_frames: 2 ** 30 }, 'EINVAL'],
    ['too many grant mappings', { max_maptrack_frames: 2 ** 20 }, 'EINVAL'],
    ['a CPU pool that is not there', { cpupool_id: 5 }, 'ESRCH'],
  ];
  for (const [name, config, expected] of settings) {
    test(`${name}: ${expected}`, () => assert.equal(created(config), expected));
  }
});

test('a refused domain is not there, and its id is free', () => {
  const before = xc.xc_domain_getinfolist(xch, 0, 1000).length;
  assert.equal(created({ max_vcpus: 0 }, ABSENT_DOMID), 'EINVAL');
  assert.equal(created({ flags: HVM }, ABSENT_DOMID), 'EOPNOTSUPP');
  assert.equal(xc.xc_domain_getinfolist(xch, 0, 1000).length, before);
  assert.equal(created({}, ABSENT_DOMID), 'ok');
});

test('max_vcpus takes the number of the creation only; then the vCPUs are there, down', () => {
  using domain = bareDomain(target, { max_vcpus: 2 });
  const max = (number: number): string => outcome(() => xc.xc_domain_max_vcpus(xch, domain.domid, number));
  for (const wrong of [0, 1, 3, 0xffff_ffff]) assert.equal(max(wrong), 'EINVAL');
  assert.equal(domain.info.max_vcpu_id, null);
  assert.equal(max(2), 'ok');
  assert.equal(domain.info.max_vcpu_id, 1);
  assert.equal(domain.info.nr_online_vcpus, 0);
  assert.equal(max(2), 'ok', 'again');
});

test('a UUID is given at the creation and changed later', () => {
  const [first, second] = ['00112233-4455-6677-8899-aabbccddeeff', 'fedcba98-7654-3210-fedc-ba9876543210'] as const;
  for (const make of [
    () => bareDomain(target, { handle: first }),
    () => bareDomain(target, { handle: first, flags: 0 }),
  ]) {
    using domain = make();
    assert.equal(domain.info.handle, first);
    xc.xc_domain_sethandle(xch, domain.domid, second);
    assert.equal(domain.info.handle, second);
  }
});

test('two domains may have one UUID', () => {
  const handle = '00112233-4455-6677-8899-aabbccddeeff';
  using one = bareDomain(target, { handle });
  using two = bareDomain(target, { handle });
  assert.equal(one.info.handle, two.info.handle);
});

test('a PV domain has neither a paging pool nor HVM calls', () => {
  using domain = pvDomain(target);
  const { domid } = domain;
  const pool = xenAtLeast(xch, '4.17') ? 'EOPNOTSUPP' : 'ENOSYS';
  assert.equal(
    outcome(() => xc.xc_get_paging_mempool_size(xch, domid)),
    pool,
  );
  assert.equal(
    outcome(() => xc.xc_hvm_param_get(xch, domid, 1)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_hvm_getcontext(xch, domid)),
    'EINVAL',
  );
});
