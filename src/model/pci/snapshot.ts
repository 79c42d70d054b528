/** What a snapshot of the machine keeps of its PCI devices. Mappings of PV domains, as all mappings, are no part of it. */

import type { DomainIo, Pirq, PortMapping } from './domain_io.js';
import { MsixTable, type MsixTableState } from './msix_table.js';
import type { Pci } from './pci.js';
import type { Msix } from './pdev.js';

/** Saved {@link Pci}: plain JSON. */
export interface PciState {
  readonly nextIrq: number;
  /** sbdf, and configuration space in base64. */
  readonly functions: readonly (readonly [sbdf: number, config: string])[];
  readonly pdevs: readonly PdevState[];
}

interface PdevState {
  readonly sbdf: number;
  readonly physical: number | null;
  readonly owner: number;
  readonly msix: Msix | null;
}

/** Saved {@link DomainIo}: plain JSON. */
export interface DomainIoState {
  readonly irqs: readonly number[];
  readonly ports: readonly (readonly [number, number])[];
  readonly frames: readonly (readonly [number, number])[];
  readonly pirqs: readonly (readonly [pirq: number, mapped: Pirq])[];
  readonly portMappings: readonly PortMapping[];
  readonly tables: readonly MsixTableState[];
}

export function savePci(pci: Pci): PciState {
  return {
    nextIrq: pci.nextIrq,
    functions: [...pci.functions.values()].map(({ sbdf, config }) => [sbdf, Buffer.from(config).toString('base64')]),
    pdevs: [...pci.pdevs.values()].map(({ sbdf, physical, owner, msix }) => ({
      sbdf,
      physical,
      owner,
      msix: structuredClone(msix),
    })),
  };
}

export function restorePci(pci: Pci, state: PciState): void {
  pci.nextIrq = state.nextIrq;
  for (const [sbdf, config] of state.functions) pci.functions.get(sbdf)?.config.set(Buffer.from(config, 'base64'));
  pci.pdevs.clear();
  for (const { sbdf, physical, owner, msix } of state.pdevs) {
    pci.add(sbdf, physical);
    const pdev = pci.pdevs.get(sbdf);
    if (!pdev) continue;
    pci.pdevs.set(sbdf, { ...pdev, owner, msix: structuredClone(msix) });
    if (!msix || msix.used === 0) continue;
    for (const frames of [msix.table, msix.pba]) if (frames) pci.readOnly.add(frames.first, frames.last);
  }
}

export function saveDomainIo(io: DomainIo): DomainIoState {
  return {
    irqs: [...io.irqs],
    ports: io.ports.runs,
    frames: io.frames.runs,
    pirqs: structuredClone([...io.pirqs]),
    portMappings: structuredClone(io.portMappings),
    tables: io.tables.map((table) => table.save()),
  };
}

export function restoreDomainIo(io: DomainIo, pci: Pci, state: DomainIoState): void {
  for (const irq of state.irqs) io.irqs.add(irq);
  io.ports.runs = state.ports;
  io.frames.runs = state.frames;
  for (const [pirq, mapped] of structuredClone(state.pirqs)) io.pirqs.set(pirq, mapped);
  io.portMappings.push(...structuredClone(state.portMappings));
  for (const saved of state.tables) {
    const pdev = pci.pdevs.get(saved.sbdf);
    if (pdev?.msix) io.tables.push(MsixTable.restore(pci, pdev, pdev.msix, saved));
  }
}
