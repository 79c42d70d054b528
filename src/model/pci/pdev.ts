/** What Xen knows of a PCI function (`struct pci_dev`, `struct arch_msix`). */

import { readMsix } from '../../abi/pci/msix.js';
import type { PciFunction } from './function.js';

/** Frames, the last one included. */
export interface Frames {
  readonly first: number;
  readonly last: number;
}

/** A vector of its MSI-X table that a domain has. */
export interface MsixVector {
  readonly irq: number;
  readonly entry: number;
  guestMasked: boolean;
}

/** Its MSI-X capability as Xen keeps it. */
export interface Msix {
  /** Of the capability, when Xen was told of the function. */
  readonly offset: number;
  readonly vectors: number;
  /** Users of the table: vectors, and prepare_msix. Without any nothing is protected. */
  used: number;
  /** One of the users is prepare_msix. */
  prepared: boolean;
  /** Where the table begins; 0: not known. */
  tableAddress: number;
  table: Frames | null;
  pba: Frames | null;
  /** Ranges were made at some time; the first patch made them only once. */
  everProtected: boolean;
  guestMaskAll: boolean;
  readonly entries: MsixVector[];
}

export interface Pdev {
  readonly sbdf: number;
  readonly hardware: PciFunction;
  /** The physical function, by its sbdf, of a virtual one; null: it is none. */
  readonly physical: number | null;
  /** Domain that has it: dom0, DOMID_IO in quarantine, a guest. */
  owner: number;
  /** Null: no capability was found when Xen was told of the function. */
  readonly msix: Msix | null;
}

/** `alloc_pdev` and `pdev_msi_init`. */
export function newPdev(hardware: PciFunction, physical: number | null): Pdev {
  const reading = readMsix(hardware.readConfig());
  const msix: Msix | null =
    reading.kind !== 'present'
      ? null
      : {
          offset: reading.capability.offset,
          vectors: reading.capability.vectors,
          used: 0,
          prepared: false,
          tableAddress: 0,
          table: null,
          pba: null,
          everProtected: false,
          guestMaskAll: false,
          entries: [],
        };
  return { sbdf: hardware.sbdf, hardware, physical, owner: 0, msix };
}
