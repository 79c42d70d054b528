/** What Xen answers about devices and domains, call by call: errnos in the order of its checks. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { BAR, CARD, DEVICE, firstVector, guestWith, type Machine, machine, outcome, sbdfOf } from './machine.js';

const DOMID_IO = 0x7ff1;
const DOMID_INVALID = 0x7ff4;

const assign = ({ xch }: Machine, domid: number, flags = 0, device = DEVICE): string =>
  outcome(() => xc.xc_assign_device(xch, domid, device, flags));
const deassign = ({ xch }: Machine, domid: number): string => outcome(() => xc.xc_deassign_device(xch, domid, DEVICE));
const free = ({ xch }: Machine): string => outcome(() => xc.xc_test_assign_device(xch, DOMID_INVALID, DEVICE));

test('a device goes to quarantine, to a guest, into quarantine again and back to dom0', () => {
  const on = machine();
  const { domid } = on.xen.createGuest({ iommu: true });
  const other = on.xen.createGuest({ iommu: true }).domid;
  assert.deepEqual(
    [free(on), assign(on, DOMID_IO), free(on), assign(on, domid), free(on)],
    ['ok', 'ok', 'ok', 'ok', 'EINVAL'],
  );
  assert.deepEqual([assign(on, other), deassign(on, other), deassign(on, DOMID_IO)], ['EBUSY', 'ENODEV', 'ENODEV']);
  assert.deepEqual([deassign(on, domid), deassign(on, domid)], ['ok', 'ENODEV']);
  assert.deepEqual([deassign(on, DOMID_IO), deassign(on, DOMID_IO), free(on)], ['ok', 'ENODEV', 'ok']);
});

test('what cannot be assigned', () => {
  const on = machine();
  const { domid } = on.xen.createGuest({ iommu: true });
  assert.equal(assign(on, domid, 2), 'EINVAL');
  assert.equal(assign(on, domid, xc.XEN_DOMCTL_DEV_RDM_RELAXED, sbdfOf('0000:00:1f.0')), 'ENODEV');
  assert.equal(assign(on, 0), 'EINVAL');
  assert.equal(assign(on, 99), 'ESRCH');
  assert.equal(assign(on, on.xen.createGuest().domid), 'EOPNOTSUPP', 'a domain without an IOMMU');
});

test('a machine without an IOMMU has no assignments, and no domains for them', () => {
  const xen = new ModelXen({ pci: { devices: [CARD], iommu: false } });
  const on = { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
  assert.equal(
    outcome(() => xen.createGuest({ iommu: true })),
    'EINVAL',
  );
  assert.deepEqual([free(on), assign(on, xen.createGuest().domid)], ['EOPNOTSUPP', 'EOPNOTSUPP']);
  assert.equal(
    outcome(() => xc.xc_domain_create(on.xch, 0, { flags: xc.XEN_DOMCTL_CDF_iommu, max_vcpus: 1 })),
    'EINVAL',
  );
});

test("a domain's end gives its devices and interrupts back", () => {
  const on = machine();
  const guest = guestWith(on);
  xc.xc_physdev_prepare_msix(on.xch, DEVICE);
  assert.equal(assign(on, guest.domid), 'ok');
  firstVector(on, guest.domid);
  assert.equal(
    outcome(() => xc.xc_physdev_release_msix(on.xch, DEVICE)),
    'EBUSY',
  );
  xc.xc_domain_destroy(on.xch, guest.domid);
  assert.deepEqual([deassign(on, DOMID_IO), outcome(() => xc.xc_physdev_release_msix(on.xch, DEVICE))], ['ok', 'ok']);
});

test('devices that the IOMMU cannot tell from each other are one group', () => {
  const on = machine([
    { sbdf: '0000:01:00.0', group: 7 },
    { sbdf: '0000:01:00.1', group: 7 },
    { sbdf: '0000:02:03.5', group: 7 },
    { sbdf: '0001:01:00.1', group: 7 },
    CARD,
  ]);
  const group = (most: number): number[] => xc.xc_get_device_group(on.xch, 0, sbdfOf('0000:01:00.0'), most);
  assert.deepEqual(group(8), [0x01_0100, 0x02_1d00]);
  assert.deepEqual(group(1), [0x01_0100]);
  assert.deepEqual(group(0), []);
});

test('permissions for frames and ports are needed before they can be mapped', () => {
  const on = machine();
  const { xch } = on;
  const { domid, domain } = on.xen.createGuest({ memoryPages: 4 });
  const map = (frames: number, add = true): string =>
    outcome(() => xc.xc_domain_memory_mapping(xch, domid, 0x100, BAR, frames, add));
  assert.equal(map(4), 'EPERM');
  xc.xc_domain_iomem_permission(xch, domid, BAR, 3, true);
  assert.equal(map(4), 'EPERM');
  assert.equal(map(3), 'ok');
  assert.deepEqual([domain.p2m.lookup(0x102).mfn, domain.frameTypes.of(0x102)], [BAR + 2, 'mmio_direct']);
  assert.equal(map(3, false), 'ok');
  assert.equal(map(3, false), 'EINVAL');
  xc.xc_domain_iomem_permission(xch, domid, BAR + 1, 1, false);
  assert.equal(map(3), 'EPERM');
  assert.equal(
    outcome(() => xc.xc_domain_iomem_permission(xch, domid, BAR, 0, true)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_iomem_permission(xch, domid, 2n ** 64n - 1n, 2, true)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_ioport_permission(xch, domid, 0xffff, 2, true)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_ioport_permission(xch, domid, 0xffff, 1, true)),
    'ok',
  );
  assert.equal(
    outcome(() => xc.xc_domain_ioport_mapping(xch, domid, 0xc000, 0xc040, 32, true)),
    'ok',
  );
  assert.equal(
    outcome(() => xc.xc_domain_ioport_mapping(xch, domid, 0xc000, 0xc040, 0, true)),
    'EINVAL',
  );
  const pv = on.xen.createGuest({ type: 'pv' }).domid;
  assert.equal(
    outcome(() => xc.xc_domain_ioport_mapping(xch, pv, 0xc000, 0xc040, 32, true)),
    'EOPNOTSUPP',
  );
});

test('a long run of frames is mapped 64 at a time, and all of it', () => {
  const on = machine([{ sbdf: '0000:01:00.0', bars: [{ index: 0, address: 0xd000_0000, size: 0x100_0000 }] }]);
  const guest = guestWith(on, {}, 0xd0000, 0x1000);
  assert.equal(guest.domain.p2m.lookup(0xf_2fff).mfn, 0xd0fff);
});

test('memory in the place of a device, and a device in that of memory', () => {
  const on = machine();
  const guest = guestWith(on);
  const { domain } = guest;
  xc.xc_domain_setmaxmem(on.xch, guest.domid, 8192);
  const before = xc.xc_domain_getinfo_single(on.xch, guest.domid).tot_pages;
  xc.xc_domain_populate_physmap_exact(on.xch, guest.domid, 0, 0, [0xf_2000]);
  assert.notEqual(domain.p2m.lookup(0xf_2000).mfn, BAR);
  assert.equal(domain.frameTypes.of(0xf_2000), 'ram_rw');
  xc.xc_domain_decrease_reservation_exact(on.xch, guest.domid, 0, [0xf_2000, 0xf_2001]);
  assert.equal(xc.xc_domain_getinfo_single(on.xch, guest.domid).tot_pages, before, 'a device is no memory of its');
  const far = (): void => xc.xc_domain_memory_mapping(on.xch, guest.domid, 2 ** 37, BAR, 1, true);
  assert.equal(outcome(far), 'EINVAL');
});

test('interrupts: lines, numbers that are taken, and what is not mapped', () => {
  const on = machine();
  const { xch } = on;
  const { domid } = on.xen.createGuest({ iommu: true });
  assert.equal(xc.xc_physdev_map_pirq(xch, domid, 19, -1), 19);
  assert.equal(xc.xc_physdev_map_pirq_gsi(xch, domid, 20, -1), 16, 'the first that is free');
  assert.equal(
    outcome(() => xc.xc_physdev_map_pirq(xch, domid, 19, 18)),
    'EEXIST',
  );
  assert.equal(
    outcome(() => xc.xc_physdev_map_pirq(xch, domid, 21, 16)),
    'EBUSY',
  );
  assert.equal(
    outcome(() => xc.xc_physdev_map_pirq(xch, domid, 24, -1)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_physdev_unmap_pirq(xch, domid, 40)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_irq_permission(xch, domid, 19, true)),
    'ok',
  );
  assert.equal(
    outcome(() => xc.xc_domain_irq_permission(xch, domid, 280, true)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xc_domain_irq_permission(xch, domid, 100, true)),
    'EPERM',
    'dom0 has not mapped it',
  );
  assert.equal(
    outcome(() => xc.xc_domain_bind_pt_pci_irq(xch, domid, 19, 0, 3, 0)),
    'ok',
  );
  assert.equal(
    outcome(() => xc.xc_domain_bind_pt_pci_irq(xch, domid, 44, 0, 3, 0)),
    'EPERM',
  );
  assert.equal(
    outcome(() => xc.xc_domain_bind_pt_isa_irq(xch, domid, 19)),
    'EBUSY',
  );
  assert.equal(
    outcome(() => xc.xc_domain_unbind_pt_irq(xch, domid, 19, 0, 0, 3, 0, 0)),
    'ok',
  );
  assert.equal(
    outcome(() => xc.xc_domain_unbind_pt_irq(xch, domid, 19, 0, 0, 3, 0, 0)),
    'EINVAL',
  );
});

test('vectors: entries that there are not, and a device without the capability', () => {
  const { msix: _, ...plain } = { ...CARD, sbdf: '0000:00:11.0', bars: [] };
  const on = machine([CARD, plain]);
  const vector = (entry: number, device = DEVICE, base = 1): string =>
    outcome(() => xc.xc_physdev_map_pirq_msi(on.xch, 0, -1, -1, device, 0, entry, base));
  assert.deepEqual(
    [vector(4), vector(5), vector(0, sbdfOf('0000:00:11.0')), vector(0, 0xff)],
    ['ok', 'EINVAL', 'ENODEV', 'ENODEV'],
  );
  assert.equal(vector(0, DEVICE, 0), 'ENODEV', 'plain MSI, which it has not');
});
