/**
 * MSI-X tables that Xen protects, on devices as QEMU makes them: an e1000e in slot 10 and an NVMe controller in slot 11
 * (the lab: `--device e1000e,addr=10 --device nvme,addr=11,serial=1`).
 */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { PCI_COMMAND } from '#dist/abi/pci/config.js';
import { type MsixCapability, msixBar, msixFrames, readMsix } from '#dist/abi/pci/msix.js';
import * as xc from '#dist/index.js';
import { e1000e, ModelXen, nvme } from '#dist/model/index.js';
import { type DevicePage, mapDevicePage } from './device_page.js';
import { writePciConfig } from './pci_config.js';
import { openTarget, outcome, type Target, targetKind } from './target.js';

const E1000E = 0x80;
const NVME = 0x88;
const HOST_BRIDGE = 0;
const ABSENT = 0xff;

const target = open();
const { xch } = target;
after(() => xch.close());

function open(): Target {
  if (targetKind() !== 'model') return openTarget();
  const devices = [{ sbdf: '0000:00:00.0', classCode: 0x06_0000 }, e1000e(), nvme()];
  const model = new ModelXen({ release: '4.17', pci: { devices, iommu: false } });
  const again = (): xc.XcInterface => xc.xc_interface_open({ hypervisor: model.connect() });
  return { kind: 'model', xch: again(), model, open: again, noAltp2m: null };
}

function config(sbdf: number): Uint8Array {
  return xch.hypervisor.pciConfig?.(sbdf) ?? new Uint8Array(0);
}

const present = [E1000E, NVME].every((sbdf) => readMsix(config(sbdf)).kind === 'present');
const pvh = xc.xc_domain_getinfo_single(xch, 0).hvm_guest;
const skip = !present
  ? 'needs devices: --device e1000e,addr=10 --device nvme,addr=11,serial=1'
  : pvh && 'a PVH dom0 has no such calls';

const prepare = (sbdf: number): string => outcome(() => xc.xc_physdev_prepare_msix(xch, sbdf));
const release = (sbdf: number): string => outcome(() => xc.xc_physdev_release_msix(xch, sbdf));

function capability(sbdf: number): MsixCapability {
  const reading = readMsix(config(sbdf));
  assert.ok(reading.kind === 'present');
  return reading.capability;
}

/** The device's BAR with the table: its first frame. */
function barOf(sbdf: number): { readonly first: number; readonly address: bigint } {
  const bar = msixBar(config(sbdf), capability(sbdf).table);
  assert.ok(!('problem' in bar));
  return { first: Number(bar.address >> 12n), address: bar.address };
}

/** The frames that should be protected, as pages of the BAR. */
function protectedPages(sbdf: number): number[] {
  const { table, pba } = capability(sbdf);
  const { first, address } = barOf(sbdf);
  return [table, pba].flatMap((region) => {
    const frames = msixFrames(region, address);
    assert.ok(!('problem' in frames));
    const count = frames.lastFrame - frames.firstFrame + 1;
    return Array.from({ length: count }, (_, i) => frames.firstFrame + i - first);
  });
}

async function withPage<T>(frame: number, act: (page: DevicePage) => Promise<T>): Promise<T> {
  const page = await mapDevicePage(target, frame);
  try {
    return await act(page);
  } finally {
    await page.close();
  }
}

/** A device's vectors as dom0's own driver has them. */
function withVectors(sbdf: number, count: number, act: () => void): void {
  const { address } = barOf(sbdf);
  const pirqs = Array.from({ length: count }, (_, entry) =>
    xc.xc_physdev_map_pirq_msi(xch, xc.DOMID_SELF, -1, -1, sbdf & 0xff, sbdf >> 8, entry, address),
  );
  try {
    act();
  } finally {
    for (const pirq of pirqs) xc.xc_physdev_unmap_pirq(xch, xc.DOMID_SELF, pirq);
  }
}

test('the capabilities are those of the devices', { skip }, () => {
  const { vectors, table, pba } = capability(E1000E);
  assert.deepEqual([vectors, table.bir, table.offset, pba.bir, pba.offset], [5, 3, 0, 3, 0x2000]);
  const other = capability(NVME);
  assert.deepEqual([other.vectors, other.table.bir, other.table.offset, other.pba.offset], [65, 0, 0x2000, 0x3000]);
  assert.deepEqual(
    [protectedPages(E1000E), protectedPages(NVME)],
    [
      [0, 2],
      [2, 3],
    ],
  );
});

for (const [name, sbdf] of [
  ['e1000e', E1000E],
  ['nvme', NVME],
] as const) {
  test(`${name}: prepare, again, release, again`, { skip }, () => {
    assert.deepEqual(
      [release(sbdf), prepare(sbdf), prepare(sbdf), release(sbdf), release(sbdf)],
      ['EBUSY', 'ok', 'EBUSY', 'ok', 'EBUSY'],
    );
  });

  test(`${name}: while a driver has two vectors, neither`, { skip }, () => {
    withVectors(sbdf, 2, () => assert.deepEqual([prepare(sbdf), release(sbdf)], ['EBUSY', 'EBUSY']));
    assert.deepEqual([prepare(sbdf), release(sbdf)], ['ok', 'ok']);
  });

  test(`${name}: prepared and with a vector, it is not released`, { skip }, () => {
    assert.equal(prepare(sbdf), 'ok');
    withVectors(sbdf, 1, () => assert.deepEqual([prepare(sbdf), release(sbdf)], ['EBUSY', 'EBUSY']));
    assert.equal(release(sbdf), 'ok');
  });

  test(`${name}: without memory decoding it cannot be prepared`, { skip }, () => {
    const command = config(sbdf)[PCI_COMMAND] ?? 0;
    writePciConfig(target, sbdf, PCI_COMMAND, Uint8Array.of(command & ~2));
    const off = prepare(sbdf);
    writePciConfig(target, sbdf, PCI_COMMAND, Uint8Array.of(command));
    assert.deepEqual([off, prepare(sbdf), release(sbdf)], ['ENXIO', 'ok', 'ok']);
  });
}

test('a device that is not there is ENODEV, by Xen, too', { skip }, () => {
  assert.deepEqual([prepare(ABSENT), release(ABSENT)], ['ENODEV', 'ENODEV']);
  const { arena } = xch.hypervisor;
  using operand = arena.alloc(4);
  operand.bytes.set([0, 0, 0, ABSENT]);
  for (const cmd of [30, 31]) assert.equal(xch.hypervisor.hypercall(33, cmd, operand.address), -19);
});

test('a device without the capability never gets as far as Xen', { skip }, () => {
  assert.deepEqual([prepare(HOST_BRIDGE), release(HOST_BRIDGE)], ['EOPNOTSUPP', 'EOPNOTSUPP']);
  assert.ok(xc.xc_version(xch, xc.XENVER_version) > 0, 'and Xen is there');
});

test('after prepare the pages of table and PBA are read, and cannot be written; the others can', { skip }, async () => {
  const { first } = barOf(E1000E);
  const shut = protectedPages(E1000E);
  assert.equal(prepare(E1000E), 'ok');
  try {
    for (const page of [0, 1, 2, 3]) {
      const stored = await withPage(first + page, async (mapped) => {
        if (page === 0) assert.equal((await mapped.read(0xc)) & 1, 1, 'vector 0 is masked');
        return mapped.store(0x48, 0x5a);
      });
      assert.equal(stored, shut.includes(page) ? 'fault' : 'done', `page ${page}`);
    }
  } finally {
    assert.equal(release(E1000E), 'ok');
  }
});

test('a mapping that was made before prepare can be written on; one made after release, too', { skip }, async () => {
  const { first } = barOf(E1000E);
  await withPage(first, async (before) => {
    assert.equal(prepare(E1000E), 'ok');
    try {
      assert.equal(await before.store(0x48, 0x5a), 'done');
      assert.equal(await before.read(0x48), 0x5a);
    } finally {
      assert.equal(release(E1000E), 'ok');
    }
  });
  await withPage(first, async (later) => {
    assert.equal(await later.store(0x48, 0), 'done');
    assert.equal(await later.read(0x48), 0);
  });
});
