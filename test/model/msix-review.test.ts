/**
 * The faults of the patch of 2010 that first protected MSI-X tables, by their numbers in docs/msix-review.md. What has a
 * behaviour is shown from both sides: as it is, and as it was posted.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { type Guest, ModelXen, type MsixAsPosted, type PciDeviceOptions } from '#dist/model/index.js';
import { dmaWrite } from '#dist/model/pci/dma.js';
import {
  BAR,
  CARD,
  canWrite,
  DEVICE,
  firstVector,
  guestWith,
  type Machine,
  machine,
  outcome,
  protectedFrames,
  pvMap,
  sbdfOf,
} from './pci/machine.js';

interface Sides {
  readonly devices?: readonly PciDeviceOptions[];
  readonly fixed: (machine: Machine) => void;
  readonly posted: (machine: Machine) => void;
  /** Posted along with the fault, where the fault alone would not show. */
  readonly along?: readonly MsixAsPosted[];
}

/** A test of both sides of one fault. */
function both(item: MsixAsPosted, gist: string, { devices, fixed, posted, along = [] }: Sides): void {
  test(`${item}. ${gist}`, () => {
    fixed(machine(devices));
    posted(machine(devices, [item, ...along]));
  });
}

/** dom0 itself sets the first vector up, as its own driver does. */
const useInDom0 = (on: Machine, device = DEVICE, base = BAR * 4096): number => firstVector(on, 0, device, base);
const prepare = ({ xch }: Machine, device = DEVICE): void => xc.xc_physdev_prepare_msix(xch, device);
const release = ({ xch }: Machine, device = DEVICE): void => xc.xc_physdev_release_msix(xch, device);

both(1, "the PBA's frames come from the address in the BAR, not from the flags beside it", {
  along: [10], // as posted the table's base is the caller's, so that the table comes out right
  fixed: (on) => {
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
  },
  posted: (on) => {
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [2, BAR], 'frame 2 is protected in the place of the PBA');
  },
});

both(2, 'a function of several is one all the same', {
  devices: [{ ...CARD, multiFunction: true }],
  along: [10, 9],
  fixed: (on) => {
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
  },
  posted: (on) => {
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [2, BAR], 'its header is of no known kind: it has no BARs');
  },
});

/** 129 vectors have three words of pending bits, 24 bytes, the last of which are on a page of their own here. */
const SPLIT_PBA: PciDeviceOptions = {
  ...CARD,
  msix: { vectors: 129, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x1ff0 } },
};

both(3, 'pending bits are counted in bytes, not in words', {
  devices: [SPLIT_PBA],
  fixed: (on) => {
    prepare(on);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 1, BAR + 2]);
    assert.equal(canWrite(on, guestWith(on), 2), false);
  },
  posted: (on) => {
    prepare(on);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 1], 'three words are taken for three bytes');
    assert.equal(canWrite(on, guestWith(on), 2), true, 'pending bits that a guest can write');
  },
});

/** Two devices with their PBAs on one page, which firmware may do with BARs of less than a page. */
const NEIGHBOURS: readonly PciDeviceOptions[] = [0, 1].map((i) => ({
  sbdf: `0000:00:1${i}.0`,
  bars: [
    { index: 0, address: 0xfea0_0000 + i * 0x1000, size: 0x1000 },
    { index: 1, address: 0xfeb0_0000 + i * 0x400, size: 0x400 },
  ],
  msix: { vectors: 4, table: { bir: 0, offset: 0 }, pba: { bir: 1, offset: 0 } },
}));
const [FIRST, SECOND] = [sbdfOf('0000:00:10.0'), sbdfOf('0000:00:11.0')];

both(4, 'Xen says so when pending bits are on a page that is protected already', {
  devices: NEIGHBOURS,
  fixed: (on) => {
    prepare(on, FIRST);
    prepare(on, SECOND);
    assert.match(log(on), /PBA of 0000:00:11\.0 is on a page that another device's/);
  },
  posted: (on) => {
    prepare(on, FIRST);
    prepare(on, SECOND);
    assert.doesNotMatch(log(on), /PBA of/, 'the loop that looks runs from one end to before it');
  },
});

function log({ xch }: Machine): string {
  return Buffer.from(xc.xc_readconsolering(xch, 65536).buffer).toString();
}

both(5, 'what the last user let go of is protected again for the next', {
  fixed: (on) => {
    xc.xc_physdev_unmap_pirq(on.xch, 0, useInDom0(on));
    assert.deepEqual(protectedFrames(on), []);
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
  },
  posted: (on) => {
    xc.xc_physdev_unmap_pirq(on.xch, 0, useInDom0(on));
    useInDom0(on);
    assert.deepEqual(protectedFrames(on), [], 'the ranges are made once in the life of a device');
  },
});

/** Two virtual functions whose tables are on one page. */
const SHARED: PciDeviceOptions = {
  sbdf: '0000:03:00.0',
  bars: [{ index: 0, address: 0xfe00_0000, size: 0x1000 }],
  sriov: {
    vfs: 2,
    bars: [{ index: 0, width: 64, address: 0xfea0_0000, size: 0x400 }],
    msix: { vectors: 4, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x200 } },
  },
};
const [VF0, VF1] = [sbdfOf('0000:03:10.0'), sbdfOf('0000:03:10.2')];

both(6, 'a page that two functions share is protected until both let go of it', {
  devices: [SHARED],
  fixed: (on) => {
    prepare(on, VF0);
    prepare(on, VF1);
    const guest = guestWith(on, {}, BAR, 1);
    release(on, VF0);
    assert.equal(canWrite(on, guest, 0), false);
    release(on, VF1);
    assert.deepEqual(protectedFrames(on), []);
  },
  posted: (on) => {
    prepare(on, VF0);
    prepare(on, VF1);
    const guest = guestWith(on, {}, BAR, 1);
    release(on, VF0);
    assert.equal(canWrite(on, guest, 0), true, "the second function's table, while it is in use");
  },
});

both(7, 'a page can be written again when its last user lets go of it, in what was mapped before, too', {
  fixed: (on) => {
    prepare(on);
    const guest = guestWith(on);
    assert.equal(canWrite(on, guest, 0), false);
    release(on);
    assert.equal(canWrite(on, guest, 0), true);
  },
  posted: (on) => {
    prepare(on);
    const guest = guestWith(on);
    release(on);
    assert.equal(canWrite(on, guest, 0), false, 'the entry stays as it was made');
  },
});

both(8, 'dom0 has no exemption', {
  fixed: (on) => {
    prepare(on);
    const entry = pvMap(on.xen.dom0, BAR);
    assert.equal(entry.write(0, Uint8Array.of(1)), 'fault');
    assert.equal(entry.write(0, Uint8Array.of(1), 'kernel'), 'dropped');
    assert.equal(entry.read(0, 1)[0], 0);
  },
  posted: (on) => {
    prepare(on);
    const entry = pvMap(on.xen.dom0, BAR);
    assert.equal(entry.write(0, Uint8Array.of(1)), 'done', 'a program of dom0, such as a device model, can');
  },
});

/** The PBA in a BAR that is of ports. */
const PBA_IN_PORTS: PciDeviceOptions = {
  ...CARD,
  bars: [...(CARD.bars ?? []), { index: 1, kind: 'io', address: 0xc000, size: 32 }],
  msix: { vectors: 5, table: { bir: 0, offset: 0 }, pba: { bir: 1, offset: 0x3000 } },
};

both(9, 'a PBA whose BAR has no address is refused', {
  devices: [PBA_IN_PORTS],
  fixed: (on) => {
    assert.equal(
      outcome(() => prepare(on)),
      'ENXIO',
    );
    assert.deepEqual(protectedFrames(on), []);
    assert.match(log(on), /MSI-X PBA of 0000:00:10\.0: BAR 1 is of I\/O ports/);
  },
  posted: (on) => {
    prepare(on);
    assert.deepEqual(protectedFrames(on), [3, BAR], 'its offset alone is taken for an address');
  },
});

both(10, 'where the table is says the device, not the caller', {
  fixed: (on) => {
    useInDom0(on, DEVICE, 0xd000_0000);
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
  },
  posted: (on) => {
    useInDom0(on, DEVICE, 0xd000_0000);
    assert.deepEqual(protectedFrames(on), [0xd0000, BAR + 2], 'a page of somebody else, and the table is open');
    assert.match(log(on), /not where its BAR says/);
  },
});

test("10. ... and once the device is a guest's its BARs are not believed: what was recorded before counts", () => {
  const on = machine();
  const guest = on.xen.createGuest({ memoryPages: 512, iommu: true });
  xc.xc_assign_device(on.xch, guest.domid, DEVICE, 0);
  assert.equal(
    outcome(() => firstVector(on, guest.domid)),
    'ENODATA',
  );
  prepare(on);
  on.xen.pci.functions.get(DEVICE)?.writeConfig(0x10, Uint8Array.of(0, 0, 0, 0xd0)); // by the device's own leave
  firstVector(on, guest.domid);
  assert.deepEqual(protectedFrames(on), [BAR, BAR + 2]);
});

/** The same bus, device and function in two segments. */
const SEGMENTS: readonly PciDeviceOptions[] = [
  CARD,
  { ...CARD, sbdf: '0001:00:10.0', bars: [{ index: 0, address: 0xfeb0_0000, size: 0x4000 }] },
];

both(11, 'a device has a segment, and virtual functions have their BARs in the physical one', {
  devices: [...SEGMENTS, SHARED],
  fixed: (on) => {
    prepare(on, sbdfOf('0001:00:10.0'));
    assert.deepEqual(protectedFrames(on), [0xfeb00, 0xfeb02]);
    prepare(on, VF1);
    assert.deepEqual(protectedFrames(on), [BAR, 0xfeb00, 0xfeb02]);
  },
  posted: (on) => {
    prepare(on, sbdfOf('0001:00:10.0'));
    assert.deepEqual(protectedFrames(on), [BAR, BAR + 2], 'the pages of the device in segment 0');
    assert.equal(
      outcome(() => prepare(on, VF1)),
      'ENXIO',
      "a virtual function's own BARs are empty",
    );
  },
});

both(14, 'devices do not write the pages either: the IOMMU maps them as the processor sees them', {
  fixed: (on) => {
    const guest = withDevice(on);
    assert.equal(dmaWrite(on.xen, DEVICE, 0xf200_0000, Uint8Array.of(1)), false);
    assert.equal(dmaWrite(on.xen, DEVICE, 0xf200_1000, Uint8Array.of(1)), true);
    assert.equal(on.xen.memory.peek(BAR)[0], 1, 'the mask of vector 0 only');
    assert.equal(guest.domain.shutdownCode, null);
  },
  posted: (on) => {
    withDevice(on);
    assert.equal(dmaWrite(on.xen, DEVICE, 0xf200_0000, Uint8Array.of(7)), true);
    assert.equal(on.xen.memory.peek(BAR)[0], 7);
  },
});

/** A guest with the card: assigned, mapped, with a vector. */
function withDevice(on: Machine): Guest {
  prepare(on);
  const guest = guestWith(on);
  xc.xc_assign_device(on.xch, guest.domid, DEVICE, 0);
  on.xen.memory.page(0x7ff1, BAR)[0] = 1;
  return guest;
}

both(15, "a PV guest's mapping that was made before is no way round", {
  fixed: (on) => {
    const entry = pvMap(guestWith(on, { type: 'pv' }).domain, BAR);
    assert.equal(entry.write(0, Uint8Array.of(1)), 'done');
    prepare(on);
    assert.equal(entry.write(0, Uint8Array.of(2)), 'fault');
    assert.equal(entry.read(0, 1)[0], 1);
  },
  posted: (on) => {
    const entry = pvMap(guestWith(on, { type: 'pv' }).domain, BAR);
    prepare(on);
    assert.equal(entry.write(0, Uint8Array.of(2)), 'done', 'page tables that are there are not looked at');
  },
});

test("15. ... but dom0's is, as on a real Xen", () => {
  const on = machine();
  const before = pvMap(on.xen.dom0, BAR);
  prepare(on);
  assert.equal(before.write(0, Uint8Array.of(9)), 'done');
  assert.equal(pvMap(on.xen.dom0, BAR).write(0, Uint8Array.of(1)), 'fault');
});

// --- the others, and the document

const PAGE = readFileSync(new URL('../../../docs/msix-review.md', import.meta.url), 'utf8');
const ROWS = [...PAGE.matchAll(/^\| (\d+) \|.*\| ([^|]+) \|$/gm)];
const BEHAVIOUR: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15];

test('docs/msix-review.md has a row for each of the 17 faults, and says which have both sides here', () => {
  assert.deepEqual(
    ROWS.map(([, number]) => Number(number)),
    Array.from({ length: 17 }, (_, i) => i + 1),
  );
  for (const [, number, sides] of ROWS) assert.equal(sides, BEHAVIOUR.includes(Number(number)) ? 'yes' : '-', number);
});

test('asPosted refuses faults without behaviour, and numbers that are none', () => {
  for (const item of [12, 13, 16, 17]) {
    const asPosted = [item as MsixAsPosted];
    assert.throws(() => new ModelXen({ pci: { devices: [], asPosted } }), /has no behaviour/, `${item}`);
  }
  assert.throws(() => new ModelXen({ pci: { devices: [], asPosted: [18 as MsixAsPosted] } }), /there is no fault 18/);
});
