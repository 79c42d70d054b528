import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { e1000e } from '#dist/model/index.js';
import { planAttach } from '#dist/pci/passthrough/plan.js';
import { attach, detach } from '#dist/pci/passthrough/transaction.js';
import { usersOf } from '#dist/pci/passthrough/users.js';
import { HostSysfs } from '#dist/pci/sysfs_files.js';
import { scratchFolder } from '../../scratch.js';
import { NIC, NIC_NAME, type TestMachine, testMachine } from './machine.js';

/** What forbids giving the network card away, and how it is brought about. */
const REFUSED: readonly (readonly [name: string, machine: () => TestMachine, reason: RegExp])[] = [
  ['it is not there', () => testMachine({ devices: [], drivers: {} }), /There is no device 0000:00:10\.0/],
  ['no IOMMU', () => testMachine({ iommu: false }), /no IOMMU/],
  [
    'memory decoding is off',
    () => testMachine({ devices: [{ ...e1000e(NIC_NAME), memory: false }] }),
    /Memory decoding is off/,
  ],
  [
    'another function in the page of its table',
    () =>
      testMachine({
        devices: [
          { ...e1000e(NIC_NAME), group: 1 },
          { sbdf: '0000:00:12.0', bars: [{ index: 0, address: 0xfea40800, size: 0x100 }], group: 2 },
        ],
      }),
    /BAR 0 of 0000:00:12\.0 is in the same page as the MSI-X table/,
  ],
  [
    'the IOMMU cannot tell it from another',
    () =>
      testMachine({
        devices: [
          { ...e1000e(NIC_NAME), group: 1 },
          { sbdf: '0000:00:12.0', group: 1 },
        ],
      }),
    /The IOMMU cannot tell it from 0000:00:12\.0/,
  ],
  [
    'all its vectors are masked',
    () => {
      const machine = testMachine();
      const config = machine.xen.pci.functions.get(NIC)?.config;
      if (config) config[0xa3] = 0x40;
      return machine;
    },
    /MASKALL/,
  ],
  [
    'a capability list that goes round',
    () => {
      const machine = testMachine();
      const config = machine.xen.pci.functions.get(NIC)?.config;
      if (config) config[0xa1] = 0xa0;
      return machine;
    },
    /comes back to 0xa0/,
  ],
  [
    'it is gone',
    () => {
      const machine = testMachine();
      const fn = machine.xen.pci.functions.get(NIC);
      if (fn) fn.present = false;
      return machine;
    },
    /all ones/,
  ],
  ['it is a bridge', () => testMachine({ devices: [{ sbdf: NIC_NAME, header: 'bridge' }] }), /bridge/],
  [
    'it has virtual functions',
    () =>
      testMachine({
        devices: [{ ...e1000e(NIC_NAME), sriov: { vfs: 2, bars: [{ index: 0, address: 0xfeb00000, size: 0x4000 }] } }],
      }),
    /2 virtual functions of it are enabled/,
  ],
];

for (const [name, machine, reason] of REFUSED) {
  test(`refused, and nothing is done: ${name}`, () => {
    const { dom0, guest, journal, snapshot } = machine();
    const before = snapshot();
    const plan = planAttach(dom0, NIC, guest.domid);
    assert.match(plan.refusals.join('\n'), reason);
    assert.throws(() => attach(dom0, plan, { journal }), { code: 'ERR_PCI_REFUSED' });
    assert.equal(snapshot(), before);
    assert.equal(journal.read(NIC), null);
  });
}

test('refused: another guest has it, and domain 0', () => {
  const { dom0, guest, journal, xen } = testMachine();
  attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
  const other = xen.createGuest({ memoryPages: 16, iommu: true });
  assert.match(planAttach(dom0, NIC, other.domid).refusals.join(), /Another guest has it/);
  assert.match(planAttach(dom0, 0x88, 0).refusals.join(), /Domain 0 has all devices/);
  assert.throws(() => planAttach(dom0, NIC, 99), { code: 'ESRCH' });
});

test('a virtual function gets its own frames', () => {
  const devices = [{ ...e1000e(NIC_NAME), sriov: { vfs: 2, bars: [{ index: 0, address: 0xfeb00000, size: 0x4000 }] } }];
  const { dom0, guest } = testMachine({ devices, drivers: {} });
  const { refusals, steps } = planAttach(dom0, 0x80 + 0x82, guest.domid);
  assert.deepEqual(refusals, []);
  assert.match(steps.map(({ what }) => what).join('\n'), /use frames 0xfeb04-0xfeb07 \(BAR 0\)/);
});

test('a driver that uses MSI: the interrupt line is asked for once it has let go', () => {
  const { dom0, guest, journal, snapshot, xen } = testMachine();
  const config = xen.pci.functions.get(NIC)?.config;
  assert.ok(config);
  // an MSI capability before the others, switched on
  config.set([0x05, config[0x34] ?? 0, 1, 0], 0xd0);
  config[0x34] = 0xd0;
  const before = snapshot();
  const plan = planAttach(dom0, NIC, guest.domid);
  assert.match(plan.steps.map(({ what }) => what).join('\n'), /map the interrupt line of 0000:00:10\.0 for domain 1/);
  attach(dom0, plan, { journal });
  assert.match(snapshot(), /interrupts: 11; 11/);
  detach(dom0, NIC, { journal });
  assert.equal(snapshot(), before);
});

test('users: an interface that is up, a disk that is mounted or part of another', () => {
  const root = scratchFolder();
  const make = (path: string, files: Readonly<Record<string, string>>): void => {
    mkdirSync(join(root, path), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(root, path, file), text);
  };
  make('dev/net/eth0', { flags: '0x1003\n' });
  make('dev/net/eth1', { flags: '0x1002\n' });
  make('dev/nvme/nvme0/nvme0n1', { dev: '259:0\n' });
  make('dev/nvme/nvme0/nvme0n1/nvme0n1p2', { dev: '259:2\n' });
  make('dev/nvme/nvme0/nvme0n1/nvme0n1p3', { dev: '259:3\n' });
  make('dev/nvme/nvme0/nvme0n1/nvme0n1p3/holders', { 'dm-0': '' });
  const mounts = '25 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n';
  assert.deepEqual(usersOf(new HostSysfs(root), 'dev', mounts), [
    'its network interface eth0 is up',
    'its disk nvme0n1p2 is mounted',
    'its disk nvme0n1p3 is part of dm-0',
  ]);
  assert.deepEqual(usersOf(new HostSysfs(root), 'nothing', mounts), []);
});
