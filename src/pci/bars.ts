/**
 * Where a function's BARs really are. Configuration space has their addresses and not their sizes, the kernel has both,
 * and those of a virtual function are in its physical function's SR-IOV capability.
 */

import { type Bar, barCount, readBars } from '../abi/pci/bar.js';
import { headerType, PCI_STD_HEADER_SIZEOF } from '../abi/pci/config.js';
import { formatSbdf } from '../abi/pci/sbdf.js';
import type { SriovCapability } from '../abi/pci/sriov.js';
import type { FindingCode } from './finding.js';
import { type PciFunction, type Region, ROM } from './function.js';

/** A virtual function's place in its physical function. */
export interface VirtualFunction {
  /** The physical function's address; null: not known. */
  readonly pf: number | null;
  /** From 0. Null: the physical function does not say. */
  readonly index: number | null;
  /** The physical function's capability; null: it is not in the dump, or not whole. */
  readonly sriov: SriovCapability | null;
}

/** A BAR with its place, as far as it is known. */
export interface PlacedBar {
  readonly index: number;
  readonly kind: 'memory' | 'io';
  readonly width: 32 | 64 | null;
  readonly prefetchable: boolean | null;
  /** Machine address, or number of the first port; null: {@link unknown} says why. */
  readonly address: bigint | null;
  /** In bytes; null: not told. */
  readonly size: bigint | null;
  readonly unknown?: Unknown;
}

/** Why something is not known. */
export interface Unknown {
  readonly code: FindingCode;
  /** A clause. */
  readonly why: string;
}

/** All BARs of a function that has any memory or ports there. `vf`: what it is, if it is a virtual function. */
export function placeBars(fn: PciFunction, vf: VirtualFunction | null): readonly PlacedBar[] {
  const regions = (fn.regions ?? []).filter(({ index }) => index !== ROM);
  if (vf) return placeVirtual(vf, regions);
  if (fn.config.length < PCI_STD_HEADER_SIZEOF) return regions.map(placeRegion);
  return readBars(fn.config).flatMap((reading) =>
    'problem' in reading || isNothing(reading, regions) ? [] : [placeRegister(reading, regions)],
  );
}

/** How many BARs there can be: of a function whose configuration space is not known, as many as there are at most. */
export function barsOf(fn: PciFunction): number {
  return fn.config.length < PCI_STD_HEADER_SIZEOF ? 6 : barCount(headerType(fn.config));
}

/** Whether it is a register that the function does not have: that reads 0, as one without an address does. */
function isNothing({ address, width, index }: Bar, regions: readonly Region[]): boolean {
  return address === 0n && width === 32 && !regions.some((one) => one.index === index);
}

function placeRegister(bar: Bar, regions: readonly Region[]): PlacedBar {
  const { index, kind, width, prefetchable, address } = bar;
  const region = regions.find((one) => one.index === index && one.kind === kind);
  const size = region?.size ?? null;
  const placed = { index, kind, width, prefetchable, size };
  if (address === 0n || isSizing(address, width)) {
    const kernel = region?.address ? `, though the kernel has ${hex(region.address)} for it` : '';
    return { ...placed, address: null, unknown: { code: 'unassigned', why: `BAR ${index} has no address${kernel}` } };
  }
  if (region && region.address !== null && region.address !== address) {
    const both = `BAR ${index} has ${hex(address)} and the kernel ${hex(region.address)}`;
    return { ...placed, address: null, unknown: { code: 'disagreement', why: `${both}: one of them is stale` } };
  }
  return { ...placed, address };
}

/**
 * Whether somebody has written all ones into the register, to learn the BAR's size: what is left is a run of ones up to
 * the top, where no BAR can be on a PC (the firmware's flash is there). 64-bit ones are beyond any address then.
 */
function isSizing(address: bigint, width: 32 | 64): boolean {
  const rest = 0x1_0000_0000n - address;
  return width === 32 && rest <= 0x100_0000n && (rest & (rest - 1n)) === 0n;
}

function placeRegion({ index, kind, address, size }: Region): PlacedBar {
  const placed = { index, kind, width: null, prefetchable: null, size };
  if (address !== null && address !== 0n) return { ...placed, address };
  return { ...placed, address: null, unknown: { code: 'unassigned', why: `BAR ${index} has no address` } };
}

function placeVirtual({ pf, index, sriov }: VirtualFunction, regions: readonly Region[]): readonly PlacedBar[] {
  const memory = regions.filter(({ kind }) => kind === 'memory');
  if (!sriov) return memory.map(placeRegion);
  const where = sriovOf(pf);
  return sriov.bars.flatMap((bar): PlacedBar[] => {
    if ('problem' in bar || bar.kind !== 'memory' || isNothing(bar, memory)) return [];
    const { width, prefetchable } = bar;
    const region = memory.find((one) => one.index === bar.index);
    const size = region?.size ?? null;
    const placed = { index: bar.index, kind: bar.kind, width, prefetchable, size };
    const not = (why: string, code: FindingCode = 'virtual-function'): PlacedBar[] => [
      { ...placed, address: null, unknown: { code, why } },
    ];
    if (bar.address === 0n) return not(`BAR ${bar.index} has no address in ${where}`);
    if (index === null) return not(`${where} does not say which of its functions this is`);
    if (index > 0 && size === null) {
      return not(
        `BAR ${bar.index} is behind those of ${index} other virtual functions at ${hex(bar.address)}, and how large each is the dump does not tell`,
      );
    }
    const address = bar.address + BigInt(index) * (size ?? 0n);
    if (region?.address && region.address !== address) {
      return not(
        `BAR ${bar.index} is at ${hex(address)} by ${where} and the kernel has ${hex(region.address)}: one of them is stale`,
        'disagreement',
      );
    }
    return [{ ...placed, address }];
  });
}

/** Where the BARs of the virtual functions of `pf` are. */
export function sriovOf(pf: number | null): string {
  return `the SR-IOV capability of ${pf === null ? 'its physical function' : formatSbdf(pf)}`;
}

/**
 * The most bytes that a BAR at this address can have: its address is a multiple of its size, which is a power of two.
 */
export function largestAt(address: bigint): bigint {
  return address & -address;
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
