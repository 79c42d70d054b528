/** Accesses of devices to memory, through the IOMMU: what the domain that a device is assigned to has mapped. */

import type { Domain } from '../domain.js';
import type { MachineMemory } from '../machine_memory.js';
import type { Pci } from './pci.js';

/** What it needs of the machine. */
interface Machine {
  readonly pci: Pci;
  readonly memory: MachineMemory;
  readonly domains: ReadonlyMap<number, Domain>;
}

/**
 * A device writes within one page of its domain's memory. Device and processor have one table (`p2m_get_iommu_flags`
 * gives what the table's entry does), so what the processor may not write a device may not.
 *
 * @returns false: an IOMMU fault; nothing is written
 */
export function dmaWrite({ pci, memory, domains }: Machine, sbdf: number, address: number, bytes: Uint8Array): boolean {
  const owner = pci.pdevs.get(sbdf)?.owner;
  const domain = owner === undefined ? undefined : domains.get(owner);
  if (!domain?.config.iommu || !domain.isHvm) return false;
  const entry = domain.p2m.lookup(Math.floor(address / 4096));
  if (!entry.present || (entry.readOnly && !pci.posted[14])) return false;
  memory.page(domain.domid, entry.mfn).set(bytes, address % 4096);
  return true;
}
