/** Many connections at once, and what one of them may do once it is restricted to a domain. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { hvmDomain } from './domains.js';
import { load } from './hvm.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const RW = xc.PROT_READ | xc.PROT_WRITE;

test('200 handles at once, each with its own memory and mappings', () => {
  using domain = hvmDomain(target);
  const { domid } = domain;
  const handles = Array.from({ length: 200 }, () => target.open());
  try {
    const pages = handles.map((own, i) => xc.xc_map_foreign_range(own, domid, 4096, RW, i));
    for (const [i, own] of handles.entries()) {
      assert.equal(xc.xc_domain_getinfo_single(own, domid).domain, domid);
      (pages[i] as xc.ForeignMapping).bytes[0] = i;
    }
    // every second one is closed; the others go on
    for (const [i, own] of handles.entries()) if (i % 2 === 0) own.hypervisor.close();
    for (const [i, own] of handles.entries()) {
      if (i % 2 === 0) continue;
      assert.equal(xc.xc_hvm_param_get(own, domid, xc.HVM_PARAM_STORE_PFN), 0n);
      assert.equal(pages[i]?.bytes[0], i);
    }
    for (const i of [0, 1, 127, 199]) assert.equal(load(xch, domid, i, 1)[0], i);
  } finally {
    for (const { hypervisor } of handles) hypervisor.close();
  }
  domain.destroy();
  assert.equal(
    outcome(() => domain.info),
    'ESRCH',
    'no page is held',
  );
});

test('a closed handle is a TypeError, whatever the call', () => {
  const own = target.open();
  xc.xc_interface_close(own);
  xc.xc_interface_close(own);
  for (const call of [
    () => xc.xc_physinfo(own),
    () => xc.xc_domain_pause(own, 1),
    () => xc.xc_map_foreign_range(own, 1, 4096, RW, 0),
    () => xc.xc_version(own, xc.XENVER_version),
  ]) {
    assert.throws(call, TypeError);
  }
});

describe('a handle restricted to a domain', () => {
  test('maps that domain’s pages and no others; calls are EPERM', () => {
    using mine = hvmDomain(target);
    using other = hvmDomain(target);
    const own = target.open();
    const kept = xc.xc_map_foreign_range(own, other.domid, 4096, RW, 3);
    own.hypervisor.restrict(mine.domid);

    const map = (domid: number): string => outcome(() => xc.xc_map_foreign_range(own, domid, 4096, RW, 1).close());
    assert.equal(map(mine.domid), 'ok');
    assert.equal(map(other.domid), 'EPERM');
    assert.equal(map(0), 'EPERM');
    for (const call of [
      () => xc.xc_domain_pause(own, mine.domid),
      () => xc.xc_domain_getinfo_single(own, mine.domid),
      () => xc.xc_hvm_param_get(own, mine.domid, 1),
      () => xc.xc_domain_destroy(own, mine.domid),
      () => xc.xc_domain_populate_physmap(own, mine.domid, 0, 0, [0x5000]),
      () => xc.xc_physinfo(own),
      () => xc.xc_version(own, xc.XENVER_version),
    ]) {
      assert.equal(outcome(call), 'EPERM');
    }
    kept.bytes[0] = 4;
    assert.equal(load(xch, other.domid, 3, 1)[0], 4, 'what was mapped before stays');
    own.hypervisor.close();
  });

  test('stays so: the same domain again is harmless, another is EINVAL', () => {
    using mine = hvmDomain(target, { pages: 1 });
    const own = target.open();
    own.hypervisor.restrict(mine.domid);
    own.hypervisor.restrict(mine.domid);
    assert.equal(
      outcome(() => own.hypervisor.restrict(mine.domid + 1)),
      'EINVAL',
    );
    own.hypervisor.close();
  });

  test('leaves other handles alone', () => {
    using mine = hvmDomain(target, { pages: 1 });
    const [own, free] = [target.open(), target.open()];
    own.hypervisor.restrict(mine.domid);
    for (const one of [xch, free]) assert.equal(xc.xc_domain_getinfo_single(one, mine.domid).domain, mine.domid);
    for (const { hypervisor } of [own, free]) hypervisor.close();
  });
});
