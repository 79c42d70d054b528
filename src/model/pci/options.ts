/** What devices a software Xen's machine has. */

import type { MsixAsPosted } from './as_posted.js';

/** A base address register. */
export interface BarOptions {
  /** Number of the register. A 64-bit BAR takes the next one, too. */
  readonly index: number;
  /** Default `'memory'`. */
  readonly kind?: 'memory' | 'io';
  /** Default 32. */
  readonly width?: 32 | 64;
  readonly prefetchable?: boolean;
  /** Where it is: a machine address or a port. */
  readonly address: number;
  /** In bytes, a power of 2. */
  readonly size: number;
}

/** An MSI-X capability. */
export interface MsixOptions {
  /** 1 to 2048. */
  readonly vectors: number;
  /** Number of the BAR, and bytes from its start. */
  readonly table: { readonly bir: number; readonly offset: number };
  readonly pba: { readonly bir: number; readonly offset: number };
  /** Where the capability is in configuration space. Default 0x70. */
  readonly at?: number;
}

/** Virtual functions of a physical one. They are there, and their memory is decoded. */
export interface SriovOptions {
  readonly vfs: number;
  /** Routing id of the first, from the physical function's. Default 0x80. */
  readonly firstVf?: number;
  /** Between routing ids. Default 2. */
  readonly stride?: number;
  /** Of the first virtual function; those of the others follow. `size`: of one. */
  readonly bars: readonly BarOptions[];
  readonly msix?: MsixOptions;
}

export interface PciDeviceOptions {
  /** `ssss:bb:dd.f`, or `bb:dd.f`. */
  readonly sbdf: string;
  /** Default 0x8086. */
  readonly vendor?: number;
  readonly device?: number;
  /** Class, subclass and programming interface: 24 bits. Default 0x020000, an Ethernet controller. */
  readonly classCode?: number;
  /** Default `'normal'`. */
  readonly header?: 'normal' | 'bridge' | 'cardbus';
  /** One of several functions of its device. */
  readonly multiFunction?: boolean;
  readonly bars?: readonly BarOptions[];
  readonly msix?: MsixOptions;
  readonly sriov?: SriovOptions;
  /** It decodes memory. Default true. */
  readonly memory?: boolean;
  /** What the IOMMU cannot tell from each other has one group. Default: each function for itself. */
  readonly group?: number;
  /** False: dom0 has not told Xen of it. Default true. */
  readonly known?: boolean;
}

export interface PciOptions {
  readonly devices: readonly PciDeviceOptions[];
  /** There is an IOMMU, so that devices can be given to domains. Default true. */
  readonly iommu?: boolean;
  /** Faults of the first patch that protected MSI-X tables, to be had again: docs/msix-review.md has their numbers. */
  readonly asPosted?: readonly MsixAsPosted[];
}
