/** What Xen says about itself. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { xenAtLeast } from '#dist/xc/interface.js';
import { openTarget, outcome } from './target.js';

const { xch } = openTarget();
after(() => xch.close());

/** Bits of the feature map. */
const XENFEAT_auto_translated_physmap = 1 << 2;
const XENFEAT_dom0 = 1 << 11;

test('XENVER_version is the version that the handle tells', () => {
  const version = xc.xc_version(xch, xc.XENVER_version);
  assert.deepEqual({ major: version >>> 16, minor: version & 0xffff }, { ...xch.xenVersion });
});

test('the texts fit their arrays and hold no zero bytes', () => {
  const texts = {
    extraversion: [xc.xc_xenver_extraversion(xch), 15],
    capabilities: [xc.xc_xenver_capabilities(xch), 1023],
    changeset: [xc.xc_xenver_changeset(xch), 63],
    commandline: [xc.xc_xenver_commandline(xch), 1023],
  } as const;
  for (const [name, [text, most]] of Object.entries(texts)) {
    assert.ok(text.length <= most || xenAtLeast(xch, '4.20'), name);
    assert.ok(!text.includes('\0'), name);
  }
  assert.match(texts.extraversion[0], /^[.-]/);
  assert.match(texts.commandline[0], /console=/);
});

test('the capabilities agree with what physinfo says about the host', () => {
  const { capabilities } = xc.xc_physinfo(xch);
  const kinds = xc.xc_xenver_capabilities(xch).trim().split(' ');
  assert.equal(kinds.includes('xen-3.0-x86_64'), capabilities.pv);
  assert.equal(kinds.includes('hvm-3.0-x86_64'), capabilities.hvm);
});

test('the build is told in four texts', () => {
  const info = xc.xc_xenver_compile_info(xch);
  assert.deepEqual(Object.keys(info), ['compiler', 'compile_by', 'compile_domain', 'compile_date']);
  for (const text of Object.values(info)) assert.ok(text.length > 0);
});

test('Xen keeps the upper half of the address space from PV guests, from its first canonical address on', () => {
  assert.equal(xc.xc_xenver_platform_parameters(xch), 0xffff_8000_0000_0000n);
});

test('the feature map knows dom0; there is one map', () => {
  const features = xc.xc_xenver_get_features(xch);
  assert.ok(features & XENFEAT_dom0);
  const { hvm_guest } = xc.xc_domain_getinfo_single(xch, 0);
  assert.equal((features & XENFEAT_auto_translated_physmap) !== 0, hvm_guest);
  for (const submap of [1, 2, 0xffff_ffff]) {
    assert.equal(
      outcome(() => xc.xc_xenver_get_features(xch, submap)),
      'EINVAL',
    );
  }
});

test('pages have 4096 bytes', () => {
  assert.equal(xc.xc_xenver_pagesize(xch), 4096);
});

test('the guest handle is the UUID of dom0', () => {
  assert.equal(xc.xc_xenver_guest_handle(xch), xc.xc_domain_getinfo_single(xch, 0).handle);
});

test('the build id is 20 bytes, told in hexadecimal, too', () => {
  const id = xc.xc_version(xch, xc.XENVER_build_id);
  assert.equal(id.length, 20);
  assert.equal(xc.xc_xenver_buildid(xch), Buffer.from(id).toString('hex'));
});

test('the texts without a limit came with 4.20', () => {
  const expected = xenAtLeast(xch, '4.20') ? 'ok' : 'ENOSYS';
  for (const cmd of [
    xc.XENVER_extraversion2,
    xc.XENVER_capabilities2,
    xc.XENVER_changeset2,
    xc.XENVER_commandline2,
  ] as const) {
    assert.equal(
      outcome(() => xc.xc_version(xch, cmd)),
      expected,
    );
  }
});

test('every convenience gives what its command gives', () => {
  const same = [
    [xc.xc_xenver_extraversion(xch), xc.xc_version(xch, xc.XENVER_extraversion)],
    [xc.xc_xenver_capabilities(xch), xc.xc_version(xch, xc.XENVER_capabilities)],
    [xc.xc_xenver_changeset(xch), xc.xc_version(xch, xc.XENVER_changeset)],
    [xc.xc_xenver_commandline(xch), xc.xc_version(xch, xc.XENVER_commandline)],
    [xc.xc_xenver_compile_info(xch), xc.xc_version(xch, xc.XENVER_compile_info)],
    [xc.xc_xenver_get_features(xch), xc.xc_version(xch, xc.XENVER_get_features, 0)],
    [xc.xc_xenver_pagesize(xch), xc.xc_version(xch, xc.XENVER_pagesize)],
    [xc.xc_xenver_guest_handle(xch), xc.xc_version(xch, xc.XENVER_guest_handle)],
  ];
  for (const [one, other] of same) assert.deepEqual(one, other);
});
