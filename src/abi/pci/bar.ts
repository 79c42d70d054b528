/** Base address registers: where a function's memory and ports are. A BAR's size is not in them. */

import {
  headerType,
  PCI_BASE_ADDRESS_0,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_CARDBUS,
  PCI_HEADER_TYPE_NORMAL,
  readConfig,
} from './config.js';

export const PCI_BASE_ADDRESS_SPACE_IO = 0x01;
export const PCI_BASE_ADDRESS_MEM_TYPE_MASK = 0x06;
export const PCI_BASE_ADDRESS_MEM_TYPE_32 = 0x00;
export const PCI_BASE_ADDRESS_MEM_TYPE_1M = 0x02;
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x04;
export const PCI_BASE_ADDRESS_MEM_PREFETCH = 0x08;

/** One base address register. */
export interface Bar {
  /** The register's number. A 64-bit BAR has the next one, too. */
  readonly index: number;
  readonly kind: 'memory' | 'io';
  readonly width: 32 | 64;
  readonly prefetchable: boolean;
  /** Machine address, or number of the first port. 0: none is assigned. */
  readonly address: bigint;
}

/** How many BARs a header of this kind has. */
export function barCount(type: number): number {
  switch (type) {
    case PCI_HEADER_TYPE_NORMAL:
      return 6;
    case PCI_HEADER_TYPE_BRIDGE:
      return 2;
    case PCI_HEADER_TYPE_CARDBUS:
      return 1;
    default:
      return 0;
  }
}

/** A BAR, or why it is none that could be used. */
export type BarReading = Bar | { readonly index: number; readonly problem: string };

/** Reads BAR `index` of the `count` that lie at `base`: {@link PCI_BASE_ADDRESS_0}, or an SR-IOV capability's. */
export function readBarAt(config: Uint8Array, base: number, index: number, count: number): BarReading {
  if (index < 0 || index >= count) {
    return { index, problem: `there is no BAR ${index}: this header has ${count}` };
  }
  const low = readConfig(config, base + index * 4, 4);
  if (low === undefined) return { index, problem: `BAR ${index} could not be read` };
  if (low & PCI_BASE_ADDRESS_SPACE_IO) {
    return { index, kind: 'io', width: 32, prefetchable: false, address: BigInt((low & ~3) >>> 0) };
  }
  const prefetchable = (low & PCI_BASE_ADDRESS_MEM_PREFETCH) !== 0;
  const address = BigInt((low & ~0xf) >>> 0);
  if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) !== PCI_BASE_ADDRESS_MEM_TYPE_64) {
    return { index, kind: 'memory', width: 32, prefetchable, address };
  }
  if (index + 1 >= count) return { index, problem: `BAR ${index} is a 64-bit one in the last register` };
  const high = readConfig(config, base + (index + 1) * 4, 4);
  if (high === undefined) return { index, problem: `the upper half of BAR ${index} could not be read` };
  return { index, kind: 'memory', width: 64, prefetchable, address: (BigInt(high) << 32n) | address };
}

/** Reads one of a function's own BARs. `index` must not be the upper half of a 64-bit one: {@link readBars} knows. */
export function readBar(config: Uint8Array, index: number): BarReading {
  return readBarAt(config, PCI_BASE_ADDRESS_0, index, barCount(headerType(config)));
}

/** All BARs that lie at `base`, 64-bit ones as one. A register that is no BAR reads 0, and is given as one of memory. */
export function readBarsAt(config: Uint8Array, base: number, count: number): readonly BarReading[] {
  const bars: BarReading[] = [];
  for (let index = 0; index < count; index++) {
    const bar = readBarAt(config, base, index, count);
    bars.push(bar);
    if (!('problem' in bar) && bar.width === 64) index++;
  }
  return bars;
}

/** All BARs of a function, 64-bit ones as one. */
export function readBars(config: Uint8Array): readonly BarReading[] {
  return readBarsAt(config, PCI_BASE_ADDRESS_0, barCount(headerType(config)));
}
