import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspectAll } from '#dist/pci/inspect.js';
import { parseLspci } from '#dist/pci/lspci.js';
import { readSysfsCopy } from '#dist/pci/sysfs.js';
import { scratchFolder } from '../scratch.js';
import { dump, framesOf, sysfsFolder } from './dumps.js';

test('a copy of sysfs tells the frames that lspci on the same machine tells', () => {
  const text = new Map(inspectAll(parseLspci(dump('q35-vvxxx.txt'))).map((one) => [one.sbdf, one]));
  const found = inspectAll(readSysfsCopy(sysfsFolder()));
  assert.equal(found.length, 11);
  for (const one of found) {
    const other = text.get(one.sbdf);
    assert.ok(other);
    assert.deepEqual(framesOf(one), framesOf(other), one.sbdf);
    assert.deepEqual([one.driver, one.iommuGroup], [other.driver, other.iommuGroup]);
    assert.deepEqual(
      one.bars.map(({ index, address, size }) => [index, address, size]),
      other.bars.map(({ index, address, size }) => [index, address, size]),
    );
  }
});

test('a copy of sysfs tells resets, interrupts and virtual functions', () => {
  const found = new Map(readSysfsCopy(sysfsFolder()).functions.map((fn) => [fn.sbdf, fn]));
  const nvme = found.get(0x100);
  assert.deepEqual(
    [nvme?.resetMethods, nvme?.virtfns, nvme?.physfn, nvme?.powerState],
    [['flr', 'bus'], [0x101, 0x102], null, 'D0'],
  );
  assert.equal(nvme?.msiIrqs, 2);
  assert.equal(found.get(0x101)?.physfn, 0x100);
  assert.deepEqual(found.get(0x50)?.resetMethods ?? [], []);
  assert.equal(found.get(0x50)?.driver, null);
});

test('the devices are found below the folder that was copied', () => {
  for (const place of ['bus/pci/devices', 'sys/bus/pci/devices', 'devices']) {
    assert.equal(readSysfsCopy(sysfsFolder(place)).functions.length, 11, place);
  }
});

test('a folder without devices has a complaint, and one that is not there an error', () => {
  const { functions, complaints } = readSysfsCopy(scratchFolder());
  assert.deepEqual([functions.length, complaints.length], [0, 1]);
  assert.throws(() => readSysfsCopy('/does/not/exist'), { code: 'ENOENT' });
});

test('what a copy has lost is not told, and not taken for nothing', () => {
  const folder = sysfsFolder();
  const nvme = join(folder, '0000:00:09.0');
  for (const name of ['subsystem', 'driver', 'iommu_group', 'resource', 'config']) rmSync(join(nvme, name));
  const fn = readSysfsCopy(folder).functions.find(({ sbdf }) => sbdf === 0x48);
  assert.deepEqual(
    [fn?.driver, fn?.iommuGroup, fn?.regions, fn?.virtfns],
    [undefined, undefined, undefined, undefined],
  );
  const [found] = inspectAll({ functions: fn ? [fn] : [], complaints: [] });
  assert.match(found?.problems.join('\n') ?? '', /Config cannot be read: ENOENT.*\n.*no bytes of configuration space/);
});

test('files with nonsense in them are no reason to stop', () => {
  const folder = sysfsFolder();
  for (const name of ['resource', 'irq', 'reset_method', 'config']) {
    writeFileSync(join(folder, '0000:00:09.0', name), Buffer.from([0xff, 0xfe, 0, 10, 0x41]));
  }
  const found = inspectAll(readSysfsCopy(folder)).find(({ sbdf }) => sbdf === '0000:00:09.0');
  assert.ok(found?.msix);
  assert.equal(found.msix.table.firstFrame, null);
});
