/** The SR-IOV capability of a physical function: its virtual functions, whose own BARs read 0, and where their memory is. */

import { type BarReading, readBarsAt } from './bar.js';
import { extendedCapabilityList, PCI_EXT_CAP_ID_SRIOV, readConfig } from './config.js';

/** Registers of the capability. */
export const PCI_SRIOV_CTRL = 0x08;
export const PCI_SRIOV_CTRL_VFE = 0x01;
export const PCI_SRIOV_CTRL_MSE = 0x08;
export const PCI_SRIOV_INITIAL_VF = 0x0c;
export const PCI_SRIOV_TOTAL_VF = 0x0e;
export const PCI_SRIOV_NUM_VF = 0x10;
export const PCI_SRIOV_VF_OFFSET = 0x14;
export const PCI_SRIOV_VF_STRIDE = 0x16;
export const PCI_SRIOV_VF_DID = 0x1a;
export const PCI_SRIOV_BAR = 0x24;
export const PCI_SRIOV_NUM_BARS = 6;
/** Bytes of the capability. */
export const PCI_EXT_CAP_SRIOV_SIZEOF = 0x40;

export interface SriovCapability {
  /** Where in configuration space. */
  readonly offset: number;
  /** Virtual functions exist. */
  readonly enabled: boolean;
  /** Their memory is decoded. Their own command registers have no say in it. */
  readonly memoryEnabled: boolean;
  readonly numVfs: number;
  readonly totalVfs: number;
  /** Routing id (bus << 8 | devfn) of the first virtual function, from the physical one's. */
  readonly firstVf: number;
  /** Between routing ids of virtual functions. */
  readonly stride: number;
  /** Of the first virtual function; those of the others follow, each as large. */
  readonly bars: readonly BarReading[];
}

/** Reads the SR-IOV capability; null: there is none, or it cannot be read. */
export function readSriov(config: Uint8Array): SriovCapability | null {
  const found = extendedCapabilityList(config).capabilities.find(({ id }) => id === PCI_EXT_CAP_ID_SRIOV);
  if (!found || found.offset + PCI_EXT_CAP_SRIOV_SIZEOF > config.length) return null;
  const word = (register: number): number => readConfig(config, found.offset + register, 2) ?? 0;
  const control = word(PCI_SRIOV_CTRL);
  return {
    offset: found.offset,
    enabled: (control & PCI_SRIOV_CTRL_VFE) !== 0,
    memoryEnabled: (control & PCI_SRIOV_CTRL_MSE) !== 0,
    numVfs: word(PCI_SRIOV_NUM_VF),
    totalVfs: word(PCI_SRIOV_TOTAL_VF),
    firstVf: word(PCI_SRIOV_VF_OFFSET),
    stride: word(PCI_SRIOV_VF_STRIDE),
    bars: readBarsAt(config, found.offset + PCI_SRIOV_BAR, PCI_SRIOV_NUM_BARS),
  };
}

/** Which virtual function of `pf` the function `vf` is, from 0; -1: none. Both are bus << 8 | devfn of one segment. */
export function vfIndex({ numVfs, firstVf, stride }: SriovCapability, pf: number, vf: number): number {
  const distance = vf - pf - firstVf;
  if (numVfs === 0 || firstVf === 0 || distance < 0) return -1;
  if (distance === 0) return 0;
  if (stride === 0 || distance % stride !== 0) return -1;
  const index = distance / stride;
  return index < numVfs ? index : -1;
}
