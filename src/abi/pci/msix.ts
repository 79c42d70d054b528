/** The MSI-X capability: how many vectors, and in which BAR the table and the pending-bit array (PBA) are. */

import { type BarReading, barCount, readBars } from './bar.js';
import { capabilityList, configProblem, headerType, PCI_CAP_ID_MSIX, readConfig } from './config.js';

/** Registers of the capability. */
export const PCI_MSIX_FLAGS = 2;
export const PCI_MSIX_FLAGS_QSIZE = 0x07ff;
export const PCI_MSIX_FLAGS_MASKALL = 0x4000;
export const PCI_MSIX_FLAGS_ENABLE = 0x8000;
export const PCI_MSIX_TABLE = 4;
export const PCI_MSIX_PBA = 8;
/** In the table's and the PBA's register: which BAR. The other bits are the offset in it. */
export const PCI_MSIX_TABLE_BIR = 0x7;
/** Bytes of the capability. */
export const PCI_CAP_MSIX_SIZEOF = 12;

/** An entry of the table: address, upper half, data and vector control, 4 bytes each. */
export const PCI_MSIX_ENTRY_SIZE = 16;
export const PCI_MSIX_ENTRY_LOWER_ADDR = 0x0;
export const PCI_MSIX_ENTRY_UPPER_ADDR = 0x4;
export const PCI_MSIX_ENTRY_DATA = 0x8;
export const PCI_MSIX_ENTRY_VECTOR_CTRL = 0xc;
/** In vector control: the vector is masked. */
export const PCI_MSIX_ENTRY_CTRL_MASKBIT = 1;

/** The table or the PBA, as the capability has it. */
export interface MsixRegion {
  /** Number of the BAR. */
  readonly bir: number;
  /** In bytes from the BAR's start. */
  readonly offset: number;
  /** Length. */
  readonly bytes: number;
}

export interface MsixCapability {
  /** Where in configuration space. */
  readonly offset: number;
  readonly vectors: number;
  readonly enabled: boolean;
  readonly maskAll: boolean;
  readonly table: MsixRegion;
  readonly pba: MsixRegion;
}

/** What configuration space says about MSI-X. `unreadable`: it does not say whether there is a capability, or which. */
export type MsixReading =
  | { readonly kind: 'present'; readonly capability: MsixCapability }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly problem: string };

/** Bytes of a table with so many entries. */
export function msixTableBytes(vectors: number): number {
  return vectors * PCI_MSIX_ENTRY_SIZE;
}

/** Bytes of a PBA for so many vectors: one bit each, in words of 64. (Xen up to 4.22 counts words where bytes are.) */
export function msixPbaBytes(vectors: number): number {
  return Math.ceil(vectors / 64) * 8;
}

/** Reads the MSI-X capability. A list that is broken anywhere is `unreadable`, also behind a capability it has. */
export function readMsix(config: Uint8Array): MsixReading {
  const { capabilities, problem } = capabilityList(config);
  if (problem !== undefined) return { kind: 'unreadable', problem };
  const found = capabilities.find(({ id }) => id === PCI_CAP_ID_MSIX);
  if (!found) return { kind: 'absent' };
  const capability = readMsixAt(config, found.offset);
  if (capability) return { kind: 'present', capability };
  return { kind: 'unreadable', problem: `the MSI-X capability at 0x${found.offset.toString(16)} is cut off` };
}

/** Reads the MSI-X capability that is at `offset`; undefined: the bytes end in it. */
export function readMsixAt(config: Uint8Array, offset: number): MsixCapability | undefined {
  const control = readConfig(config, offset + PCI_MSIX_FLAGS, 2);
  const table = readConfig(config, offset + PCI_MSIX_TABLE, 4);
  const pba = readConfig(config, offset + PCI_MSIX_PBA, 4);
  if (control === undefined || table === undefined || pba === undefined) return undefined;
  const vectors = (control & PCI_MSIX_FLAGS_QSIZE) + 1;
  const region = (register: number, bytes: number): MsixRegion => ({
    bir: register & PCI_MSIX_TABLE_BIR,
    offset: (register & ~PCI_MSIX_TABLE_BIR) >>> 0,
    bytes,
  });
  return {
    offset,
    vectors,
    enabled: (control & PCI_MSIX_FLAGS_ENABLE) !== 0,
    maskAll: (control & PCI_MSIX_FLAGS_MASKALL) !== 0,
    table: region(table, msixTableBytes(vectors)),
    pba: region(pba, msixPbaBytes(vectors)),
  };
}

/** Machine frames, the last one included. */
export interface FrameRange {
  readonly firstFrame: number;
  readonly lastFrame: number;
}

/** Highest machine address that an x86 processor can have, plus 1. */
const ADDRESS_END = 1n << 52n;

/**
 * The machine frames of a table or PBA in a BAR at `address`, or why it has none.
 * @param size of the BAR in bytes, where it is known: what lies beyond it is refused
 */
export function msixFrames(
  region: MsixRegion,
  address: bigint,
  size?: bigint,
): FrameRange | { readonly problem: string } {
  const { bir, offset, bytes } = region;
  const end = BigInt(offset) + BigInt(bytes);
  if (address === 0n) return { problem: `BAR ${bir} has no address` };
  if (size !== undefined && end > size) {
    return { problem: `it ends at 0x${end.toString(16)} of BAR ${bir}, which has 0x${size.toString(16)} bytes` };
  }
  if (address + end > ADDRESS_END) return { problem: `BAR ${bir} is beyond any machine address` };
  const first = address + BigInt(offset);
  return { firstFrame: Number(first >> 12n), lastFrame: Number((first + BigInt(bytes) - 1n) >> 12n) };
}

/** The BAR of memory that a region is in, or why it cannot be there. */
export function msixBar(config: Uint8Array, { bir }: MsixRegion): BarReading {
  const bad = configProblem(config);
  if (bad !== undefined) return { index: bir, problem: bad };
  const count = barCount(headerType(config));
  if (bir >= count) return { index: bir, problem: `BIR ${bir} is not one of this header's ${count} BARs` };
  const bar = readBars(config).find(({ index }) => index === bir);
  if (!bar) return { index: bir, problem: `BAR ${bir} is the upper half of BAR ${bir - 1}` };
  if ('problem' in bar || bar.kind === 'memory') return bar;
  return { index: bir, problem: `BAR ${bir} is of I/O ports` };
}
