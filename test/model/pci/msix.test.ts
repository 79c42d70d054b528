/** Devices of the software Xen: what prepare and release answer, and what becomes of devices that make no sense. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { e1000e, ModelXen, nvme, type PciDeviceOptions, XenPanic } from '#dist/model/index.js';
import {
  BAR,
  CARD,
  canWrite,
  DEVICE,
  firstVector,
  GUEST_FRAME,
  guestWith,
  type Machine,
  machine,
  outcome,
  protectedFrames,
  sbdfOf,
} from './machine.js';

const prepare = ({ xch }: Machine, device = DEVICE): string => outcome(() => xc.xc_physdev_prepare_msix(xch, device));
const release = ({ xch }: Machine, device = DEVICE): string => outcome(() => xc.xc_physdev_release_msix(xch, device));

function log({ xch }: Machine): string {
  return Buffer.from(xc.xc_readconsolering(xch, 65536).buffer).toString();
}

/** What Xen answers itself, past the look at the capability. */
function raw(on: Machine, cmd: number, device = DEVICE): number {
  const { arena } = on.xen;
  arena.view.setUint16(64, device >>> 16, true);
  arena.view.setUint16(66, ((device >> 8) & 0xff) | ((device & 0xff) << 8), true);
  return on.xen.hypercall(33, cmd, arena.base + 64);
}

test('prepare, again, release, again: 0, EBUSY, 0, EBUSY', () => {
  const on = machine([e1000e(), nvme()]);
  const steps = [prepare(on), prepare(on), release(on), release(on)];
  assert.deepEqual(steps, ['ok', 'EBUSY', 'ok', 'EBUSY']);
});

test('a device that is not there, and one that Xen was not told of: ENODEV', () => {
  const on = machine([{ ...CARD, known: false }]);
  assert.equal(prepare(on, sbdfOf('0000:00:1f.0')), 'ENODEV');
  assert.equal(prepare(on), 'ENODEV');
  assert.equal(raw(on, 30, sbdfOf('0000:00:1f.0')), -19);
});

test('a device whose driver uses its vectors: EBUSY both ways', () => {
  const on = machine([nvme()]);
  const device = sbdfOf('0000:00:11.0');
  for (let i = 0; i < 2; i++) firstVector(on, 0, device, 0xfe90_0000 + i);
  assert.deepEqual([prepare(on, device), release(on, device)], ['EBUSY', 'EBUSY']);
});

test('a device that does not decode memory, and a dead physical function: ENXIO', () => {
  const vf = sbdfOf('0000:03:10.0');
  const on = machine([
    { ...CARD, memory: false },
    {
      sbdf: '0000:03:00.0',
      sriov: {
        vfs: 1,
        bars: [{ index: 0, address: 0xfeb0_0000, size: 0x1000 }],
        msix: { vectors: 1, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x800 } },
      },
    },
  ]);
  assert.equal(prepare(on), 'ENXIO');
  on.xen.pci.writeConfig(DEVICE, 4, Uint8Array.of(2, 0));
  assert.equal(prepare(on), 'ok');
  on.xen.pci.writeConfig(sbdfOf('0000:03:00.0'), 0x108, Uint8Array.of(1, 0));
  assert.equal(prepare(on, vf), 'ENXIO', 'VF Memory Space Enable is off');
  on.xen.pci.writeConfig(sbdfOf('0000:03:00.0'), 0x108, Uint8Array.of(9, 0));
  assert.equal(prepare(on, vf), 'ok');
});

test('a device without the capability ends Xen, if anybody asks it', () => {
  const { msix: _, ...plain } = CARD;
  const on = machine([plain]);
  assert.equal(prepare(on), 'EOPNOTSUPP');
  assert.throws(() => raw(on, 30), XenPanic);
  assert.throws(() => raw(on, 31), XenPanic);
});

test('guests cannot ask: ENOSYS', () => {
  const on = machine();
  assert.equal(guestWith(on).vcpus[0].hypercall(33, 30, 0x1000), -38);
});

/** Devices whose tables cannot be where they say, and why. */
const NOWHERE: readonly [string, PciDeviceOptions, RegExp][] = [
  [
    'BIR 6',
    { ...CARD, msix: { vectors: 5, table: { bir: 6, offset: 0 }, pba: { bir: 0, offset: 0 } } },
    /table of 0000:00:10\.0: BIR 6 is not one of this header's 6/,
  ],
  [
    'a table in ports',
    { ...CARD, bars: [{ index: 0, kind: 'io', address: 0xc000, size: 256 }] },
    /table of .*: BAR 0 is of I\/O ports/,
  ],
  [
    "a table past the BAR's end",
    { ...CARD, msix: { vectors: 5, table: { bir: 0, offset: 0x3ff0 }, pba: { bir: 0, offset: 0 } } },
    /table of .*: it ends at 0x4040 of BAR 0, which has 0x4000/,
  ],
  [
    "pending bits past the BAR's end",
    { ...CARD, msix: { vectors: 65, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x3ff8 } } },
    /PBA of .*: it ends at 0x4008 of BAR 0/,
  ],
  [
    'a 64-bit BAR in the last register',
    {
      ...CARD,
      header: 'bridge',
      bars: [{ index: 1, width: 64, address: 0xfea0_0000, size: 0x4000 }],
      msix: { vectors: 5, table: { bir: 1, offset: 0 }, pba: { bir: 1, offset: 0x2000 } },
    },
    /BAR 1 is a 64-bit one in the last register/,
  ],
  [
    'the upper half of a BAR',
    {
      ...CARD,
      bars: [{ index: 0, width: 64, address: 0x1_fea0_0000, size: 0x4000 }],
      msix: { vectors: 5, table: { bir: 1, offset: 0 }, pba: { bir: 0, offset: 0x2000 } },
    },
    /BAR 1 is the upper half of BAR 0/,
  ],
  ['a BAR without an address', { ...CARD, bars: [] }, /BAR 0 has no address/],
  [
    'BIR 2 of a bridge',
    { ...CARD, header: 'bridge', msix: { vectors: 5, table: { bir: 2, offset: 0 }, pba: { bir: 0, offset: 0 } } },
    /BIR 2 is not one of this header's 2/,
  ],
];

for (const [what, device, reason] of NOWHERE) {
  test(`${what}: refused with the reason, and nothing is protected`, () => {
    const on = machine([device]);
    assert.equal(prepare(on), 'ENXIO');
    assert.match(log(on), reason);
    assert.deepEqual(protectedFrames(on), []);
    assert.equal(
      outcome(() => firstVector(on, 0)),
      'ENXIO',
    );
  });
}

test('a capability list that loops is refused before Xen is asked', () => {
  const on = machine();
  const config = on.xen.pci.functions.get(DEVICE)?.config;
  config?.fill(0x70, 0x71, 0x72);
  assert.equal(prepare(on), 'EIO');
  assert.deepEqual(protectedFrames(on), []);
});

test('a device that is unplugged in the middle: what was protected is released, and not again', () => {
  const on = machine();
  const guest = guestWith(on);
  assert.equal(prepare(on), 'ok');
  on.xen.pci.unplug(DEVICE);
  assert.equal(release(on), 'ENODEV', 'this package sees no such device');
  assert.equal(raw(on, 31), 0, 'Xen still knows it');
  assert.deepEqual(protectedFrames(on), []);
  assert.equal(raw(on, 30), -6, 'all ones decode no memory');
  assert.equal(canWrite(on, guest, 0), true);
});

test('a bridge, a CardBus bridge, 64-bit BARs beyond 4 GiB and segments are protected where they are', () => {
  const at = (sbdf: string, bars: PciDeviceOptions['bars'], header: PciDeviceOptions['header']): PciDeviceOptions => ({
    sbdf,
    ...(header && { header }),
    ...(bars && { bars }),
    msix: { vectors: 1, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x1000 } },
  });
  const on = machine([
    at('0000:00:1c.0', [{ index: 0, width: 64, address: 0x38_0000_0000, size: 0x2000 }], 'bridge'),
    at('0000:05:00.0', [{ index: 0, address: 0xfd00_0000, size: 0x2000 }], 'cardbus'),
    at('00ff:80:00.0', [{ index: 0, width: 64, prefetchable: true, address: 0x40_0000_0000, size: 0x2000 }], 'normal'),
  ]);
  for (const device of on.xen.pci.functions.keys()) assert.equal(prepare(on, device), 'ok');
  assert.deepEqual(protectedFrames(on), [0xfd000, 0xfd001, 0x380_0000, 0x380_0001, 0x400_0000, 0x400_0001]);
});

test('memory for domains is never taken from the frames of devices', () => {
  const xen = new ModelXen({
    pci: { devices: [{ sbdf: '0000:00:01.0', bars: [{ index: 0, address: 0x4000_0000, size: 0x1000_0000 }] }] },
  });
  const guest = xen.createGuest({ memoryPages: 0x8_0000 });
  for (let gfn = 0; gfn < 0x8_0000; gfn += 0x1000) {
    const { mfn } = guest.domain.p2m.lookup(gfn);
    assert.ok(mfn < 0x4_0000 || mfn >= 0x5_0000, mfn.toString(16));
  }
});

// --- writes that Xen carries out for an HVM guest

/** The table begins 0x100 into its page, and other registers are before and behind it. */
const CROWDED: PciDeviceOptions = {
  ...CARD,
  msix: { vectors: 5, table: { bir: 0, offset: 0x100 }, pba: { bir: 0, offset: 0x2000 } },
};
const TABLE = GUEST_FRAME * 4096 + 0x100;

function bound(release: '4.17' | '4.20', device = CROWDED): Machine & { guest: ReturnType<typeof guestWith> } {
  const on = machine([device], [], { release });
  assert.equal(prepare(on), 'ok');
  const guest = guestWith(on);
  xc.xc_assign_device(on.xch, guest.domid, DEVICE, 0);
  const pirq = firstVector(on, guest.domid);
  xc.xc_domain_update_msi_irq(on.xch, guest.domid, 0x41, pirq, 0, TABLE);
  return { ...on, guest };
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

/** A word of the device's page, as the device has it. */
function word({ xen }: Machine, offset: number): number {
  const page = xen.memory.peek(BAR);
  return new DataView(page.buffer, page.byteOffset).getUint32(offset, true);
}

test('a guest masks and unmasks its vector, and nothing else of the table changes', () => {
  const on = bound('4.20');
  const [vcpu] = on.guest.vcpus;
  assert.equal(word(on, 0x10c), 1, 'masked when it was set up');
  assert.equal(vcpu.write(TABLE + 12, u32(0)).exception, null);
  assert.equal(word(on, 0x10c), 0);
  assert.equal(vcpu.write(TABLE + 12, u32(1)).exception, null);
  assert.equal(word(on, 0x10c), 1);
  for (const [offset, value] of [
    [0, 0xfee0_0000],
    [4, 1],
    [8, 0x4041],
  ] as const) {
    assert.equal(vcpu.write(TABLE + offset, u32(value)).exception, null);
    assert.equal(word(on, 0x100 + offset), 0, 'addresses and data are not for the device');
  }
  assert.equal(vcpu.write(TABLE + 12, u32(0)).exception, null);
  assert.equal(word(on, 0x10c), 1, 'the device model unmasks after a change');
  assert.equal(vcpu.write(TABLE + 12, u32(0)).exception, null);
  assert.equal(word(on, 0x10c), 0);
});

test('one store of eight bytes writes data and mask', () => {
  const on = bound('4.20');
  const [vcpu] = on.guest.vcpus;
  assert.equal(vcpu.write(TABLE + 8, Uint8Array.of(0x41, 0x40, 0, 0, 0, 0, 0, 0)).exception, null);
  assert.equal(word(on, 0x10c), 1);
  assert.equal(vcpu.write(TABLE + 12, u32(0)).exception, null);
  assert.equal(word(on, 0x10c), 0);
});

test('stores that are not aligned, or of one or two bytes, change nothing in the table', () => {
  const on = bound('4.20');
  const [vcpu] = on.guest.vcpus;
  for (const [offset, length] of [
    [13, 4],
    [12, 1],
    [12, 2],
    [10, 4],
    [4, 8],
  ] as const) {
    assert.equal(vcpu.write(TABLE + offset, new Uint8Array(length)).exception, null);
    assert.equal(word(on, 0x10c), 1, `${length} bytes at ${offset}`);
  }
});

test('a vector that the guest has not is not unmasked by it', () => {
  const on = bound('4.20');
  assert.equal(on.guest.vcpus[0].write(TABLE + 16 + 12, u32(0)).exception, null);
  assert.equal(word(on, 0x11c), 1);
});

test('registers beside the table are written since 4.19', () => {
  for (const [release, expected] of [
    ['4.17', 0],
    ['4.20', 0x1234],
  ] as const) {
    const on = bound(release);
    on.guest.vcpus[0].write(GUEST_FRAME * 4096 + 0x40, u32(0x1234));
    on.guest.vcpus[0].write(TABLE + 0x200, u32(0x1234));
    assert.deepEqual([word(on, 0x40), word(on, 0x300)], [expected, expected], release);
  }
});

test('... but not where pending bits are on the page, too', () => {
  const on = bound('4.20', {
    ...CROWDED,
    msix: { vectors: 5, table: { bir: 0, offset: 0x100 }, pba: { bir: 0, offset: 0x800 } },
  });
  on.guest.vcpus[0].write(TABLE + 0x200, u32(0x1234));
  on.guest.vcpus[0].write(GUEST_FRAME * 4096 + 0x800, u32(0x1234));
  assert.deepEqual([word(on, 0x300), word(on, 0x800)], [0, 0]);
});

test('a store to pending bits on a page of their own is #GP, a load reads them', () => {
  const on = bound('4.20');
  const pending = GUEST_FRAME * 4096 + 0x2000;
  assert.equal(on.guest.vcpus[0].write(pending, u32(1)).exception, 13);
  on.xen.memory.page(0x7ff1, BAR + 2)[0] = 5;
  assert.equal(on.guest.vcpus[0].read(pending, 8).value, 5n);
});

test('where the table is left out of the memory, loads and stores come to Xen all the same', () => {
  const on = bound('4.20');
  xc.xc_domain_memory_mapping(on.xch, on.guest.domid, GUEST_FRAME, BAR, 1, false);
  const [vcpu] = on.guest.vcpus;
  assert.equal(vcpu.read(TABLE + 12, 4).value, 1n);
  vcpu.write(TABLE + 12, u32(0));
  assert.deepEqual([vcpu.read(TABLE + 12, 4).value, word(on, 0x10c)], [0n, 0]);
  vcpu.write(TABLE, u32(0xfee0_1000));
  assert.equal(vcpu.read(TABLE, 4).value, 0xfee0_1000n);
  assert.equal(vcpu.read(TABLE + 64, 4).value, 0xffff_ffffn, 'the device model would answer');
});

test('dom0 may write the control register of the capability, and nothing else of it', () => {
  const on = machine();
  const { pci } = on.xen;
  assert.equal(pci.writeConfig(DEVICE, 0x72, Uint8Array.of(0, 0xc0)), 0);
  assert.equal(pci.writeConfig(DEVICE, 0x72, Uint8Array.of(0)), -13);
  assert.equal(pci.writeConfig(DEVICE, 0x74, Uint8Array.of(0, 0, 0, 0)), -13);
  const guest = on.xen.createGuest({ iommu: true });
  assert.equal(
    outcome(() => xc.xc_assign_device(on.xch, guest.domid, DEVICE, 0)),
    'EBUSY',
    'all vectors masked: it was not reset',
  );
});

test('a saved machine goes on where it was: devices, protection, vectors, what guests have mapped', () => {
  const { xen, guest } = bound('4.20');
  guest.vcpus[0].write(TABLE, u32(0xfee0_1000));
  const saved = JSON.parse(JSON.stringify(xen.save()));
  const restored = ModelXen.restore(saved);
  const on = { xen: restored, xch: xc.xc_interface_open({ hypervisor: restored }) };
  assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
  const again = restored.guest(guest.domid);
  assert.ok(again);
  assert.equal(canWrite(on, again, 2), false);
  assert.equal(canWrite(on, again, 1), true);
  again.vcpus[0].write(TABLE + 12, u32(0));
  assert.equal(word(on, 0x10c), 1, 'the device model is to hear of the address first');
  again.vcpus[0].write(TABLE + 12, u32(0));
  assert.equal(word(on, 0x10c), 0);
  assert.equal(release(on), 'EBUSY');
  xc.xc_domain_destroy(on.xch, guest.domid);
  assert.equal(release(on), 'ok');
  assert.deepEqual(protectedFrames(on), []);
  assert.deepEqual(JSON.parse(JSON.stringify(ModelXen.restore(saved).save())), saved);
});
