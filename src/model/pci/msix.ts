/**
 * Protection of MSI-X tables and pending-bit arrays: `msix_capability_init` and `pci_prepare_msix` in Xen's
 * `arch/x86/msi.c`. Where the first patch was at fault, and where Xen still is, docs/msix-review.md says so; a table that
 * cannot be where its capability says is refused here, while Xen protects some page or other.
 */

import { errno } from '../../abi/errno.js';
import {
  type MsixRegion,
  msixFrames,
  msixPbaBytes,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
  readMsixAt,
} from '../../abi/pci/msix.js';
import { DOMID_IO } from '../../abi/xen.js';
import type { ConsoleRing } from '../console_ring.js';
import type { MachineMemory } from '../machine_memory.js';
import { type BarAddress, type BarHost, barAddress, memoryDecoded } from './bar_address.js';
import type { Frames, Msix, MsixVector, Pdev } from './pdev.js';
import type { RangeSet } from './range_set.js';

/** What it needs of the machine. */
export interface MsixHost extends BarHost {
  readonly readOnly: RangeSet;
  readonly memory: MachineMemory;
  readonly console: ConsoleRing;
  /** Frames have become read-only: what domains have mapped of them becomes so, too. */
  protect(frames: Frames): void;
  /** Frames may be written again. */
  release(frames: Frames): void;
}

/** A vector that is asked for. */
export interface VectorRequest {
  readonly irq: number;
  readonly entry: number;
  /** Address of the table's BAR, as the caller says. */
  readonly tableBase: bigint;
}

/** PHYSDEVOP_prepare_msix and release_msix, but for a device that Xen takes for one with the capability. */
export function prepareMsix(host: MsixHost, pdev: Pdev, msix: Msix, off: boolean): number {
  // Xen counts only, and lets the one vector that is in use be released: here it must be what was prepared
  if (msix.used !== (off ? 1 : 0) || msix.prepared !== off) return -errno.EBUSY;
  if (off) {
    msix.prepared = false;
    dropUser(host, msix);
    return 0;
  }
  const rc = initCapability(host, pdev, msix, null);
  msix.prepared = rc === 0;
  return rc;
}

/** `__pci_enable_msix`: a vector is set up, and masked. */
export function enableVector(host: MsixHost, pdev: Pdev, request: VectorRequest): number {
  const { msix } = pdev;
  if (!msix) return -errno.ENODEV;
  if (request.entry < 0 || request.entry >= msix.vectors) return -errno.EINVAL;
  if (msix.entries.some(({ irq }) => irq === request.irq)) return -errno.EEXIST;
  return initCapability(host, pdev, msix, request);
}

/** `__pci_disable_msix`. */
export function disableVector(host: MsixHost, pdev: Pdev, irq: number): void {
  const { msix } = pdev;
  const index = msix ? msix.entries.findIndex((vector) => vector.irq === irq) : -1;
  const vector = msix?.entries[index];
  if (!msix || !vector) return;
  setMask(host, msix, vector.entry, true);
  msix.entries.splice(index, 1);
  dropUser(host, msix);
}

/** Xen forgets the function. Xen leaves what was prepared protected for ever; here it ends with its last user. */
export function cleanupMsix(host: MsixHost, { msix }: Pdev): void {
  while (msix && msix.used > 0) dropUser(host, msix);
}

/** Sets or clears the mask bit of a vector, as the host and the guest together want it. */
export function setMask({ memory }: MsixHost, { tableAddress }: Msix, entry: number, masked: boolean): void {
  const address = tableAddress + entry * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
  const page = memory.page(DOMID_IO, Math.floor(address / 4096));
  const at = address % 4096;
  const kept = (page[at] ?? 0) & ~PCI_MSIX_ENTRY_CTRL_MASKBIT;
  page[at] = kept | (masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

function initCapability(host: MsixHost, pdev: Pdev, msix: Msix, request: VectorRequest | null): number {
  if (!memoryDecoded(host, pdev)) return -errno.ENXIO;
  if (msix.used === 0) {
    // who a guest's device belongs to may have moved its BARs: they are believed only before it is a guest's
    const trusted = request === null || pdev.owner === 0 || pdev.owner === DOMID_IO;
    if (trusted || host.posted[10]) {
      const rc = locate(host, pdev, msix, request);
      if (rc) return rc;
    } else if (msix.tableAddress === 0) {
      return -errno.ENODATA;
    }
    addRanges(host, msix);
  }
  msix.used++;
  if (request) {
    const vector: MsixVector = { irq: request.irq, entry: request.entry, guestMasked: true };
    msix.entries.push(vector);
    setMask(host, msix, vector.entry, true);
  }
  return 0;
}

/** Finds the table's frames and the PBA's. */
function locate(host: MsixHost, pdev: Pdev, msix: Msix, request: VectorRequest | null): number {
  const { posted, console } = host;
  const refuse = (what: string, { problem }: { readonly problem: string }): number => {
    console.print(`PCI: MSI-X ${what} of ${pdev.hardware.name}: ${problem}`);
    return -errno.ENXIO;
  };
  const capability = readMsixAt(pdev.hardware.readConfig(), msix.offset);
  if (!capability) return -errno.ENODEV;
  const { table, pba } = { table: { ...capability.table }, pba: { ...capability.pba } };
  const tableBar = tableBase(host, pdev, table, request);
  if ('problem' in tableBar) return refuse('table', tableBar);
  const tableFrames = msixFrames(table, tableBar.address, pdev.hardware.barSize(table.bir));
  if ('problem' in tableFrames) return refuse('table', tableFrames);
  const pbaFrames = locatePba(host, pdev, pba, msix.vectors);
  if ('problem' in pbaFrames) return refuse('PBA', pbaFrames);
  if (!posted[4] && host.readOnly.overlaps(pbaFrames.firstFrame, pbaFrames.lastFrame)) {
    console.print(`PCI: MSI-X PBA of ${pdev.hardware.name} is on a page that another device's table or PBA is on`);
  }
  msix.tableAddress = Number(tableBar.address) + table.offset;
  msix.table = { first: tableFrames.firstFrame, last: tableFrames.lastFrame };
  msix.pba = { first: pbaFrames.firstFrame, last: pbaFrames.lastFrame };
  return 0;
}

function tableBase(host: MsixHost, pdev: Pdev, { bir }: MsixRegion, request: VectorRequest | null): BarAddress {
  const address = barAddress(host, pdev, bir);
  if (host.posted[10] && request) {
    if (!('address' in address) || address.address !== request.tableBase) {
      host.console.print(`PCI: MSI-X table of ${pdev.hardware.name} is not where its BAR says`);
    }
    return { address: request.tableBase };
  }
  return address;
}

function locatePba(host: MsixHost, pdev: Pdev, pba: MsixRegion, vectors: number): ReturnType<typeof msixFrames> {
  const { posted } = host;
  // as posted, and to this day: the number of words, in the place of their bytes
  const bytes = posted[3] ? Math.ceil(vectors / 64) : msixPbaBytes(vectors);
  const found = barAddress(host, pdev, pba.bir);
  if (posted[9] && 'problem' in found) return framesAt(BigInt(pba.offset), bytes);
  if ('problem' in found) return found;
  if (posted[1]) return framesAt(found.address + BigInt(pba.offset), bytes);
  return msixFrames({ ...pba, bytes }, found.address, pdev.hardware.barSize(pba.bir));
}

/** Whatever is there. */
function framesAt(address: bigint, bytes: number): { readonly firstFrame: number; readonly lastFrame: number } {
  return { firstFrame: Number(address >> 12n), lastFrame: Number((address + BigInt(bytes) - 1n) >> 12n) };
}

function addRanges(host: MsixHost, msix: Msix): void {
  if (host.posted[5] && msix.everProtected) return;
  msix.everProtected = true;
  for (const frames of [msix.table, msix.pba]) {
    if (!frames) continue;
    if (!host.posted[6] || !host.readOnly.containsAll(frames.first, frames.last)) {
      host.readOnly.add(frames.first, frames.last);
    }
    host.protect(frames);
  }
}

function dropUser(host: MsixHost, msix: Msix): void {
  msix.used--;
  if (msix.used > 0) return;
  for (const frames of [msix.table, msix.pba]) {
    if (!frames || !host.readOnly.containsAll(frames.first, frames.last)) continue;
    host.readOnly.remove(frames.first, frames.last);
    host.release(frames);
  }
  msix.tableAddress = 0;
  msix.table = null;
  msix.pba = null;
}
