import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { errno } from '#dist/abi/errno.js';
import { XenError } from '#dist/hypervisor/error.js';
import type { ForeignMapping } from '#dist/hypervisor/port.js';
import { ModelXen } from '#dist/model/index.js';
import { DomainMemory } from '#dist/vmi/domain_memory.js';
import { Introspector } from '#dist/vmi/introspector.js';
import { xc_domain_destroy } from '#dist/xc/domain.js';
import { xc_interface_open } from '#dist/xc/interface.js';
import {
  xc_domain_decrease_reservation_exact,
  xc_domain_maximum_gpfn,
  xc_domain_populate_physmap_exact,
  xc_domain_setmaxmem,
} from '#dist/xc/memory.js';
import { FakeXen, fakeMapping } from '../xc/fake.js';
import { setRegisters } from './sample_guest.js';

function model(options: { memoryPages?: number; vcpus?: number } = {}) {
  const xen = new ModelXen();
  const guest = xen.createGuest({ memoryPages: 64, pages: '4K', ...options });
  return { xen, guest, domid: guest.domid, xch: xc_interface_open({ hypervisor: xen }) };
}

test('page: what the guest writes is seen, and what is written the guest sees', () => {
  const { xch, guest, domid } = model();
  using memory = new DomainMemory(xch, domid);
  assert.equal(memory.frames, xc_domain_maximum_gpfn(xch, domid) + 1);
  guest.vcpus[0].write(0x3004, Uint8Array.of(1, 2, 3));
  assert.deepEqual(memory.page(3)?.bytes.slice(4, 7), Uint8Array.of(1, 2, 3));
  guest.vcpus[0].write(0x3004, Uint8Array.of(9));
  assert.equal(memory.page(3)?.view.getUint8(4), 9, 'it is mapped, not copied');
  memory.writablePage(3)?.bytes.set([7], 5);
  assert.deepEqual(guest.vcpus[0].read(0x3004, 3).bytes, Uint8Array.of(9, 7, 3));
  assert.equal(memory.mapped, 1, 'the writable mapping took the place of the other');
});

test('page: null where there is no memory, and for what is no frame', () => {
  const { xch, domid } = model();
  using memory = new DomainMemory(xch, domid);
  for (const frame of [64, 2 ** 39, 2 ** 40, 2 ** 52, -1, Number.NaN]) {
    assert.equal(memory.page(frame), null, String(frame));
    assert.equal(memory.writablePage(frame), null, String(frame));
  }
});

test('page: at most so many are mapped; those in use stay', () => {
  const { xch, domid, xen } = model();
  using memory = new DomainMemory(xch, domid, { pages: 4 });
  let open = 0;
  const { mapForeign } = xen;
  xen.mapForeign = (...args): ForeignMapping => {
    const mapping = mapForeign.apply(xen, args);
    open++;
    const { close } = mapping;
    mapping.close = () => {
      open--;
      close();
    };
    return mapping;
  };
  for (let frame = 0; frame < 64; frame++) {
    assert.ok(memory.page(frame));
    assert.ok(memory.page(0));
    assert.ok(open <= 4 && memory.mapped <= 4);
  }
  memory.drop();
  assert.deepEqual([open, memory.mapped], [0, 0]);
  assert.ok(memory.page(1), 'it maps again');
  memory.close();
  memory.close();
  assert.equal(open, 0);
  assert.throws(() => memory.page(1), TypeError);
});

test('page: another page at the same frame is seen after drop, and by itself after maxAge', async () => {
  const { xch, domid, guest } = model();
  using memory = new DomainMemory(xch, domid, { maxAge: 20 });
  xc_domain_setmaxmem(xch, domid, 1024); // a page that is given up is the domain's until nobody maps it
  const exchange = (fill: number): void => {
    xc_domain_decrease_reservation_exact(xch, domid, 0, [5]);
    xc_domain_populate_physmap_exact(xch, domid, 0, 0, [5]);
    guest.vcpus[0].write(0x5000, Uint8Array.of(fill));
  };
  guest.vcpus[0].write(0x5000, Uint8Array.of(1));
  const first = (): number | undefined => memory.page(5)?.bytes[0];
  assert.equal(first(), 1);
  exchange(2);
  assert.equal(first(), 1, 'the mapping still shows the old page');
  memory.drop();
  assert.equal(first(), 2);
  exchange(3);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(first(), 3);
});

test('readFrames: a run with holes, on the model', () => {
  const { xch, domid, guest } = model();
  using memory = new DomainMemory(xch, domid);
  guest.vcpus[0].write(0x2000, new Uint8Array(4096).fill(2));
  xc_domain_decrease_reservation_exact(xch, domid, 0, [3]);
  const target = new Uint8Array(4 * 4096).fill(0xee);
  const present = new Uint8Array(4).fill(9);
  assert.equal(memory.readFrames(1, 4, target, present), 3);
  assert.deepEqual([...present], [1, 1, 0, 1]);
  assert.ok(target.subarray(4096, 8192).every((byte) => byte === 2));
  assert.ok(target.subarray(12288).every((byte) => byte === 0));
  assert.equal(memory.mapped, 0);
});

test('readFrames: on the model also of frames that others have mapped together', () => {
  const { xch, domid, guest, xen } = model();
  guest.vcpus[0].write(0x2000, Uint8Array.of(7));
  using _other = xen.mapForeign(domid, [1, 2, 3], 1);
  using memory = new DomainMemory(xch, domid);
  assert.ok(memory.page(5));
  const target = new Uint8Array(8 * 4096);
  assert.equal(memory.readFrames(0, 8, target, new Uint8Array(8)), 8);
  assert.equal(target[0x2000], 7);
});

test('readFrames: 256 frames a mapping, holes told by page, on a real Xen (its part played)', () => {
  const fake = new FakeXen();
  Object.assign(fake, { kind: 'privcmd' });
  const open = new Set<ForeignMapping>();
  fake.mapping = (_, gfns) => {
    if (gfns[0] === 512) throw new XenError('mapForeign', -errno.EINVAL);
    const mapping = fakeMapping(
      gfns.length,
      gfns.map((gfn) => (gfn === 300 ? -errno.EINVAL : 0)),
    );
    for (const [i, gfn] of gfns.entries()) mapping.bytes.fill(gfn & 0xff, i * 4096, (i + 1) * 4096);
    open.add(mapping);
    return Object.assign(mapping, { [Symbol.dispose]: () => void open.delete(mapping) });
  };
  const memory = new DomainMemory(xc_interface_open({ hypervisor: fake }), 1);
  const target = new Uint8Array(600 * 4096);
  const present = new Uint8Array(600);
  assert.equal(memory.readFrames(0, 600, target, present), 511);
  assert.deepEqual(
    fake.mapped.map(({ gfns }) => [gfns[0], gfns.length]),
    [
      [0, 256],
      [256, 256],
      [512, 88],
    ],
  );
  for (let gfn = 0; gfn < 600; gfn++) {
    const there = gfn < 512 && gfn !== 300;
    assert.equal(present[gfn], there ? 1 : 0);
    if (there) assert.equal(target[gfn * 4096 + 4095], gfn & 0xff);
  }
  assert.equal(open.size, 0);
});

test('a domain that is gone: nothing new, then ESRCH; its last pages are let go of', async () => {
  const { xch, domid, xen } = model();
  using memory = new DomainMemory(xch, domid, { maxAge: 20 });
  assert.ok(memory.page(1));
  xc_domain_destroy(xch, domid);
  assert.equal(memory.page(2), null);
  assert.ok(xen.guest(domid), 'the mapping keeps it');
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(xen.guest(domid), null);
  assert.throws(() => memory.page(1), { name: 'XenError', code: 'ESRCH', domid });
});

test('options that are none are refused', () => {
  const { xch, domid } = model();
  for (const options of [{ pages: -1 }, { pages: 1.5 }, { maxAge: -1 }, { maxAge: Number.NaN }, { translations: -1 }]) {
    assert.throws(() => Introspector.open(xch, domid, options), RangeError);
  }
  assert.throws(() => Introspector.open(xch, 65536), RangeError);
  assert.throws(() => Introspector.open(xch, domid, null as unknown as object), TypeError);
});

test('physical: reads and writes of any length on a guest, as the guest sees them', () => {
  const { xch, domid, guest } = model({ memoryPages: 16 });
  using vmi = Introspector.open(xch, domid, { pages: 3 });
  const model16 = new Uint8Array(16 * 4096);
  fc.assert(
    fc.property(fc.nat(16 * 4096 - 1), fc.integer({ min: 1, max: 20000 }), fc.nat(255), (start, most, fill) => {
      const length = Math.min(most, 16 * 4096 - start);
      const bytes = new Uint8Array(length).map((_, i) => fill ^ i);
      vmi.physical.write(start, bytes);
      model16.set(bytes, start);
      assert.deepEqual(vmi.physical.read(start, length), bytes);
    }),
    { numRuns: 100 },
  );
  assert.deepEqual(guest.vcpus[0].read(0, 16 * 4096).bytes, model16);
});

test('registers, spaceOf, space: by the vCPU, and the same object for the same CR3', () => {
  const { xch, domid, guest } = model({ vcpus: 2 });
  using vmi = Introspector.open(xch, domid);
  vmi.physical.write(0x1ff8, Uint8Array.of(0x63, 0x10)); // the last entry leads back to the table
  setRegisters(guest, { cr0: 0x8000_0011n, cr3: 0x1000n, cr4: 0x20n, msr_efer: 0xd01n, msr_lstar: 5n });
  const { cr3, msr_efer, msr_lstar } = vmi.registers(1);
  assert.deepEqual([cr3, msr_efer, msr_lstar], [0x1000n, 0xd01n, 5n]);
  const space = vmi.spaceOf(1);
  assert.deepEqual(space.paging, { mode: '4-level', pse: false, nx: true });
  assert.equal(space.translate(-8), 0x1ff8);
  assert.equal(vmi.space(0x1000n), space);
  assert.notEqual(vmi.space(0x2000n), space);
  assert.throws(() => vmi.registers(2), { code: 'ENOENT' });
  assert.throws(() => vmi.space(5 as unknown as bigint), TypeError);
});

test('pause: the guest stands still until the end of the scope, and what was kept is dropped at both ends', () => {
  const { xch, domid, guest } = model();
  using vmi = Introspector.open(xch, domid);
  vmi.physical.u8(0);
  {
    using _paused = vmi.pause();
    assert.throws(() => guest.vcpus[0].read(0, 1), { name: 'VcpuNotRunningError' });
    assert.equal((vmi.source as DomainMemory).mapped, 0);
  }
  assert.ok(guest.vcpus[0].read(0, 1).finished);
  const paused = vmi.pause();
  xc_domain_destroy(xch, domid);
  paused[Symbol.dispose]();
});
