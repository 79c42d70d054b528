/** What code in a guest does and sees: its memory is dom0's view of it, its exceptions are its own. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { HOLE, hvmDomain } from './domains.js';
import { load, store } from './hvm.js';
import { startGuest } from './start_guest.js';
import { openTarget } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const DATA = 0x40;
const CODE = 0x42;
const at = (gfn: number, offset = 0): number => gfn * 4096 + offset;
const VECTOR_UD = 6;

function word(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

test('the guest reads what dom0 wrote, and dom0 what the guest wrote', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  store(xch, domain.domid, DATA, word(0xdead_beef), 8);
  assert.deepEqual(guest.read(at(DATA, 8)), { finished: true, exception: null, value: 0xdead_beef });
  assert.equal(guest.write(at(DATA, 12), 0x0bad_cafe).exception, null);
  assert.deepEqual(load(xch, domain.domid, DATA, 4, 12), word(0x0bad_cafe));
});

test('a write through an open mapping is seen by the guest at once, and the other way round', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  using page = xc.xc_map_foreign_range(xch, domain.domid, 4096, xc.PROT_READ | xc.PROT_WRITE, DATA);
  const view = new DataView(page.bytes.buffer, page.bytes.byteOffset);
  for (const value of [1, 0xffff_ffff, 0x1234_5678]) {
    view.setUint32(0, value, true);
    assert.equal(guest.read(at(DATA)).value, value);
    guest.write(at(DATA, 4), value);
    assert.equal(view.getUint32(4, true), value);
  }
});

test('code that dom0 writes runs, and when it is changed the changed code does', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  for (const value of [0x1111_1111, 0x2222_2222]) {
    store(xch, domain.domid, CODE, new Uint8Array([0xb8, ...word(value), 0xc3]));
    assert.equal(guest.call(at(CODE)).value, value);
  }
});

test('a frame without memory reads as ones, and a write there is lost', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  assert.deepEqual(guest.read(at(HOLE)), { finished: true, exception: null, value: 0xffff_ffff });
  assert.deepEqual(guest.write(at(HOLE), 5).exception, null);
  assert.equal(guest.read(at(HOLE)).value, 0xffff_ffff);
});

test('a page given back and taken again is another page to the guest, at once', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  guest.write(at(DATA), 7);
  xc.xc_domain_decrease_reservation_exact(xch, domain.domid, 0, [DATA]);
  assert.equal(guest.read(at(DATA)).value, 0xffff_ffff);
  xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, [DATA]);
  guest.write(at(DATA), 8);
  assert.equal(load(xch, domain.domid, DATA, 1)[0], 8);
});

test('memory populated while the guest runs is there for it', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  xc.xc_domain_populate_physmap_exact(xch, domain.domid, 0, 0, [HOLE]);
  store(xch, domain.domid, HOLE, word(99));
  assert.equal(guest.read(at(HOLE)).value, 99);
});

test('an undefined instruction is #UD in the guest, which goes on', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  assert.equal(guest.ud2().exception, VECTOR_UD);
  assert.equal(guest.nop().finished, true);
  assert.equal(domain.info.shutdown, false);
});

test('VMFUNC without altp2m is #UD', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  assert.equal(guest.vmfunc(0, 0).exception, VECTOR_UD);
  assert.equal(guest.nop().finished, true);
});

test('a paused guest does not answer, and does once it is unpaused', () => {
  using domain = hvmDomain(target);
  using guest = startGuest(target, domain.domid);
  xc.xc_domain_pause(xch, domain.domid);
  assert.equal(guest.nop().finished, false);
  xc.xc_domain_unpause(xch, domain.domid);
  assert.equal(guest.nop().finished, true);
});
