/** Which functions are virtual, and of which physical function: SR-IOV. */

import { configProblem, PCI_VENDOR_ID, readConfig } from '../abi/pci/config.js';
import { readSriov, type SriovCapability, vfIndex } from '../abi/pci/sriov.js';
import type { VirtualFunction } from './bars.js';
import type { PciFunction } from './function.js';

/** The virtual functions among these, by address. */
export function virtualFunctions(functions: readonly PciFunction[]): ReadonlyMap<number, VirtualFunction> {
  const found = new Map<number, VirtualFunction>();
  const capabilities = new Map<number, SriovCapability>();
  for (const { sbdf, config } of functions) {
    const sriov = readSriov(config);
    if (sriov) capabilities.set(sbdf, sriov);
  }
  for (const fn of functions) {
    const { sbdf, physfn } = fn;
    if (physfn !== undefined && physfn !== null) {
      const sriov = capabilities.get(physfn) ?? null;
      found.set(sbdf, { pf: physfn, index: sriov ? indexIn(sriov, physfn, sbdf) : null, sriov });
    } else if (hasNoVendor(fn)) found.set(sbdf, { pf: null, index: null, sriov: null });
  }
  // a dump does not say which are virtual: the capabilities that are enabled do
  for (const [pf, sriov] of capabilities) {
    if (!sriov.enabled) continue;
    for (const { sbdf } of functions) {
      const index = found.get(sbdf)?.sriov || sbdf === pf ? null : indexIn(sriov, pf, sbdf);
      if (index !== null) found.set(sbdf, { pf, index, sriov });
    }
  }
  return found;
}

/** Both are of one segment, or it is none of this function's. */
function indexIn(sriov: SriovCapability, pf: number, vf: number): number | null {
  if (Math.floor(pf / 0x1_0000) !== Math.floor(vf / 0x1_0000)) return null;
  const index = vfIndex(sriov, pf % 0x1_0000, vf % 0x1_0000);
  return index < 0 ? null : index;
}

/** A virtual function's configuration space has no vendor: it reads as all ones, and the rest does not. */
function hasNoVendor({ config }: PciFunction): boolean {
  return configProblem(config) === undefined && readConfig(config, PCI_VENDOR_ID, 2) === 0xffff;
}
