/** What is recorded about PCI devices: an e1000e and an NVMe controller as QEMU makes them. */

import { create, dom0, guest, type RawStep } from './steps.js';

const E1000E = '0000:00:10.0';
const NVME = '0000:00:11.0';
const HOST_BRIDGE = '0000:00:00.0';
const ABSENT = '0000:00:1f.7';

/** dom0 is what the step is about. */
const inDom0 = { target: 0 };

const prepare = (sbdf: string): RawStep => dom0('xc_physdev_prepare_msix', { sbdf });
const release = (sbdf: string): RawStep => dom0('xc_physdev_release_msix', { sbdf });
const vector = (sbdf: string, entry: number, more: RawStep = inDom0): RawStep =>
  dom0('xc_physdev_map_pirq_msi', { sbdf, entry }, more);
const noVector = (sbdf: string, entry: number, more: RawStep = inDom0): RawStep =>
  dom0('xc_physdev_unmap_pirq', { sbdf, entry }, more);

/** Prepared, used, let go of: in every order. */
const lifeOf = (sbdf: string, vectors: number): readonly RawStep[] => [
  release(sbdf),
  prepare(sbdf),
  prepare(sbdf),
  vector(sbdf, 0),
  prepare(sbdf),
  release(sbdf),
  vector(sbdf, vectors),
  noVector(sbdf, 0),
  noVector(sbdf, 0),
  release(sbdf),
  release(sbdf),
  vector(sbdf, 0),
  vector(sbdf, vectors - 1),
  prepare(sbdf),
  release(sbdf),
  noVector(sbdf, 0),
  noVector(sbdf, vectors - 1),
  release(sbdf),
  prepare(sbdf),
  release(sbdf),
];

/** No IOMMU: nothing can be assigned. A guest can still be given the frames of a device, and their permission. */
const aGuest: readonly RawStep[] = [
  create(1),
  ...['xc_assign_device', 'xc_test_assign_device', 'xc_deassign_device'].map((call) => dom0(call, { sbdf: E1000E })),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 2, add_mapping: 1 }),
  dom0('xc_domain_iomem_permission', { first_mfn: 0xf_0000, nr_mfns: 2, allow_access: 1 }),
  dom0('xc_domain_iomem_permission', { first_mfn: 0xf_0000, nr_mfns: 0, allow_access: 1 }),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 3, add_mapping: 1 }),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 2, add_mapping: 1 }),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 2, add_mapping: 0 }),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 2, add_mapping: 0 }),
  dom0('xc_domain_iomem_permission', { first_mfn: 0xf_0000, nr_mfns: 2, allow_access: 0 }),
  dom0('xc_domain_memory_mapping', { first_gfn: 0x100, first_mfn: 0xf_0000, nr_mfns: 2, add_mapping: 1 }),
  guest('nop'),
  dom0('xc_domain_destroy'),
];

export const msix: readonly RawStep[] = [
  ...lifeOf(E1000E, 5),
  ...lifeOf(NVME, 65),
  ...[ABSENT, HOST_BRIDGE].flatMap((sbdf) => [prepare(sbdf), release(sbdf)]),
  vector(ABSENT, 0),
  ...aGuest,
];
