/** PCI of the software Xen: the machine's devices, what Xen knows of them, and the frames that nobody may write. */

import { errno } from '../../abi/errno.js';
import { type BarReading, readBars } from '../../abi/pci/bar.js';
import { msixFrames, PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL, PCI_MSIX_PBA, readMsix } from '../../abi/pci/msix.js';
import { formatSbdf } from '../../abi/pci/sbdf.js';
import { readSriov } from '../../abi/pci/sriov.js';
import { DOMID_IO } from '../../abi/xen.js';
import type { ConsoleRing } from '../console_ring.js';
import type { MachineMemory } from '../machine_memory.js';
import { type MsixPosted, msixPosted } from './as_posted.js';
import { barAddress } from './bar_address.js';
import type { DomainIo } from './domain_io.js';
import { PciFunction } from './function.js';
import { cleanupMsix, disableVector, type MsixHost, prepareMsix, setMask } from './msix.js';
import type { PciOptions } from './options.js';
import { type Frames, newPdev, type Pdev } from './pdev.js';
import { RangeSet } from './range_set.js';

/** The hypervisor has ended, and the machine with it: what it was asked it does not survive. */
export class XenPanic extends Error {
  override readonly name = 'XenPanic';
}

/** What PCI needs of a domain. */
export interface PciDomain {
  readonly domid: number;
  readonly isHvm: boolean;
  readonly io: DomainIo;
  /** Pages of these frames that it has mapped are looked at again. */
  refreshFrames(first: number, last: number): void;
}

/** What PCI needs of the machine. */
export interface PciMachine {
  readonly memory: MachineMemory;
  readonly console: ConsoleRing;
  readonly domains: ReadonlyMap<number, PciDomain>;
}

export class Pci implements MsixHost {
  readonly options: PciOptions;
  readonly posted: MsixPosted;
  /** There is an IOMMU. */
  readonly iommu: boolean;
  /** By sbdf. */
  readonly functions = new Map<number, PciFunction>();
  /** What Xen knows, by sbdf. */
  readonly pdevs = new Map<number, Pdev>();
  /** Frames that nobody may write: Xen's `mmio_ro_ranges`. */
  readonly readOnly = new RangeSet();
  readonly #machine: PciMachine;
  /** The next interrupt that is given to a vector. */
  nextIrq = 64;

  constructor(options: PciOptions, machine: PciMachine) {
    this.options = options;
    this.posted = msixPosted(options.asPosted ?? []);
    this.iommu = options.iommu ?? options.devices.length > 0;
    this.#machine = machine;
    for (const device of options.devices) {
      const made = this.plug(new PciFunction(device));
      if (device.known ?? true) for (const { sbdf, physical } of made) this.add(sbdf, physical?.sbdf ?? null);
    }
  }

  get memory(): MachineMemory {
    return this.#machine.memory;
  }

  get console(): ConsoleRing {
    return this.#machine.console;
  }

  /** Puts a function into the machine, with its virtual ones. Xen is not told. @returns all of them */
  plug(hardware: PciFunction): PciFunction[] {
    const all = [hardware, ...hardware.virtualFunctions()];
    for (const one of all) {
      if (this.functions.has(one.sbdf)) throw new RangeError(`there are two devices ${one.name}`);
      this.functions.set(one.sbdf, one);
    }
    this.#claimFrames(hardware);
    for (const one of all) this.#resetTable(one);
    return all;
  }

  /** A device comes with all of its vectors masked. */
  #resetTable(hardware: PciFunction): void {
    const pdev = newPdev(hardware, hardware.physical?.sbdf ?? null);
    const reading = readMsix(hardware.readConfig());
    if (!pdev.msix || reading.kind !== 'present') return;
    const { table } = reading.capability;
    const bar = barAddress(this, pdev, table.bir);
    if ('problem' in bar || 'problem' in msixFrames(table, bar.address, hardware.barSize(table.bir))) return;
    pdev.msix.tableAddress = Number(bar.address) + table.offset;
    for (let entry = 0; entry < pdev.msix.vectors; entry++) setMask(this, pdev.msix, entry, true);
  }

  /** Takes a function out of the machine, without a word to anybody: it reads as all ones from now on. */
  unplug(sbdf: number): void {
    const hardware = this.functions.get(sbdf);
    if (!hardware) return;
    hardware.present = false;
    this.functions.delete(sbdf);
  }

  /** What makes a machine with these devices. */
  get madeWith(): PciOptions {
    const devices = [...this.functions.values()].filter(({ physical }) => physical === null);
    return { ...this.options, iommu: this.iommu, devices: devices.map(({ options }) => options) };
  }

  /** What is read of a function's configuration space; null: there is none. */
  config(sbdf: number): Uint8Array | null {
    return this.functions.get(sbdf)?.readConfig() ?? null;
  }

  /**
   * A write of dom0's kernel to configuration space.
   *
   * @returns 0, or -EACCES: the MSI-X capability is Xen's, but for its control register (`pci_msi_conf_write_intercept`)
   */
  writeConfig(sbdf: number, offset: number, bytes: Uint8Array): number {
    const hardware = this.functions.get(sbdf);
    if (!hardware) return 0;
    const msix = this.pdevs.get(sbdf)?.msix;
    if (msix && offset < msix.offset + PCI_MSIX_PBA + 4 && offset + bytes.length > msix.offset) {
      if (offset !== msix.offset + PCI_MSIX_FLAGS || bytes.length !== 2) return -errno.EACCES;
      msix.guestMaskAll = (((bytes[1] ?? 0) << 8) & PCI_MSIX_FLAGS_MASKALL) !== 0;
    }
    hardware.writeConfig(offset, bytes);
    this.#claimFrames(hardware);
    return 0;
  }

  /** PHYSDEVOP_pci_device_add. @param physical of a virtual function: its physical one */
  add(sbdf: number, physical: number | null): number {
    if (this.pdevs.has(sbdf)) return 0;
    const hardware = this.functions.get(sbdf) ?? nothing(sbdf); // Xen believes what it is told
    if (physical !== null && !this.pdevs.has(physical)) {
      const rc = this.add(physical, null);
      if (rc) return rc;
    }
    this.pdevs.set(sbdf, newPdev(hardware, physical));
    return 0;
  }

  /** PHYSDEVOP_pci_device_remove: what domains have of it is taken from them. */
  remove(sbdf: number): number {
    const pdev = this.pdevs.get(sbdf);
    if (!pdev) return -errno.ENODEV;
    for (const { io } of this.#machine.domains.values()) {
      for (const [pirq, { device }] of io.pirqs) if (device === sbdf) this.dropPirq(io, pirq);
      const table = io.tables.findIndex((one) => one.pdev === pdev);
      if (table >= 0) io.tables.splice(table, 1);
    }
    cleanupMsix(this, pdev);
    this.pdevs.delete(sbdf);
    return 0;
  }

  /** PHYSDEVOP_prepare_msix and release_msix. @throws XenPanic for a device without the capability, as Xen ends there */
  prepare(sbdf: number, off: boolean): number {
    const pdev = this.pdevs.get(sbdf);
    if (!pdev) return -errno.ENODEV;
    if (!pdev.msix) {
      const message = `${pdev.hardware.name} has no MSI-X capability, and Xen looks for it at address 0`;
      this.console.print(`Panic on CPU 0: FATAL PAGE FAULT: ${message}`);
      throw new XenPanic(message);
    }
    return prepareMsix(this, pdev, pdev.msix, off);
  }

  /** A new interrupt (`create_irq`). */
  createIrq(): number {
    return this.nextIrq++;
  }

  /** Takes an interrupt from a domain: its vector ends with it. */
  dropPirq(io: DomainIo, pirq: number): void {
    const mapped = io.pirqs.get(pirq);
    if (!mapped) return;
    io.pirqs.delete(pirq);
    io.irqs.delete(mapped.irq);
    const pdev = mapped.device === null ? undefined : this.pdevs.get(mapped.device);
    if (pdev) disableVector(this, pdev, mapped.irq);
  }

  isReadOnly(mfn: number): boolean {
    return !this.readOnly.isEmpty && this.readOnly.contains(mfn);
  }

  protect(frames: Frames): void {
    for (const domain of this.#machine.domains.values()) {
      if (domain.isHvm) domain.refreshFrames(frames.first, frames.last);
      else domain.io.pv.protect(frames);
    }
  }

  release(frames: Frames): void {
    if (this.posted[7]) return;
    for (const domain of this.#machine.domains.values()) {
      if (domain.isHvm) domain.refreshFrames(frames.first, frames.last);
    }
  }

  /** A domain ends: its interrupts do, and its devices go where deassigned ones go. */
  domainDestroyed({ domid, io }: PciDomain): void {
    for (const pirq of [...io.pirqs.keys()]) this.dropPirq(io, pirq);
    io.tables.splice(0);
    io.pv.clear();
    for (const pdev of this.pdevs.values()) if (pdev.owner === domid) pdev.owner = DOMID_IO;
  }

  /** The frames of a function's BARs, and of its virtual functions', are no memory of the machine's. */
  #claimFrames(hardware: PciFunction): void {
    const config = hardware.readConfig();
    this.#claim(readBars(config), hardware, 1);
    const sriov = readSriov(config);
    const [vf] = hardware.virtualFunctions();
    if (sriov && vf) this.#claim(sriov.bars, vf, sriov.totalVfs);
  }

  /** @param times so many of them lie one behind the other */
  #claim(bars: readonly BarReading[], hardware: PciFunction, times: number): void {
    for (const bar of bars) {
      if ('problem' in bar || bar.kind === 'io' || bar.address === 0n) continue;
      const size = hardware.barSize(bar.index);
      if (size === undefined) continue;
      this.memory.claimDevice(Number(bar.address >> 12n), Number((bar.address + size * BigInt(times) - 1n) >> 12n));
    }
  }
}

/** A function that is not there. */
function nothing(sbdf: number): PciFunction {
  const none = new PciFunction({ sbdf: formatSbdf(sbdf) });
  none.present = false;
  return none;
}
