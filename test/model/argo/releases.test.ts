/** Argo answers alike on every release: its numbers and layouts never changed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES } from '#dist/abi/release.js';
import { argo_probe, argo_sendv, xc_interface_open } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { Party } from './party.js';

for (const release of RELEASES) {
  test(`Xen ${release}: a message from dom0 to a guest and one back`, () => {
    const xen = new ModelXen({ release, argo: true });
    using xch = xc_interface_open({ hypervisor: xen });
    assert.equal(argo_probe(xch).state, 'enabled');
    const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    const dom0 = new Party(xen, 0);
    assert.equal(guest.register(1, 0), 0);
    assert.equal(dom0.register(2, guest.domid), 0);
    assert.equal(argo_sendv(xch, 2, { aport: 1, domain_id: guest.domid }, Buffer.from('there'), 3), 5);
    assert.deepEqual(guest.read(), [{ from: 0, port: 2, type: 3, text: 'there' }]);
    assert.equal(guest.send(0, 2, 'and back'), 8);
    assert.deepEqual(dom0.read(), [{ from: guest.domid, port: 7, type: 0, text: 'and back' }]);
  });
}
