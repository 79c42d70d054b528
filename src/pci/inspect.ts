/** Looking a machine's functions over: their MSI-X pages, who shares them, and what will go wrong when one is given away. */

import { configProblem, PCI_CLASS_DEVICE, PCI_DEVICE_ID, PCI_VENDOR_ID, readConfig } from '../abi/pci/config.js';
import { formatSbdf } from '../abi/pci/sbdf.js';
import type { Release } from '../abi/release.js';
import { type PlacedBar, placeBars, type VirtualFunction } from './bars.js';
import { type Finding, problem, sentence } from './finding.js';
import type { PciFunction, PciSnapshot } from './function.js';
import { locateMsix, type Msix } from './msix.js';
import { type BarPages, barPages, PageMap } from './pages.js';
import { isBridge, readiness } from './readiness.js';
import { emulatesNeighbours, type Shared, sharing, sharingFindings, xenPbaGap } from './sharing.js';
import { virtualFunctions } from './virtual.js';

export interface InspectOptions {
  /** The Xen that the device is for; left out: what is said holds for all, or says for which it does. */
  readonly release?: Release;
}

/** What there is to know and to say about one function. */
export interface Inspection {
  /** `ssss:bb:dd.f`. */
  readonly sbdf: string;
  readonly label: string | null;
  /** `8086:10d3`; null: not known. A virtual function's are its physical function's to tell. */
  readonly id: string | null;
  /** The class, `0200`; null: not known. */
  readonly class: string | null;
  /** Null: there is no MSI-X capability. What cannot be told is null inside it. */
  readonly msix: Msix | null;
  /** What stops something or makes it go wrong, and what to do. */
  readonly problems: readonly string[];
  /** What is good to know. */
  readonly notes: readonly string[];
  /** Both, for programs. */
  readonly findings: readonly Finding[];
  readonly bars: readonly PlacedBar[];
  /** What else is in the pages that Xen protects. */
  readonly shared: readonly Shared[];
  /** What becomes of a guest's writes to what is its own of that; null: there is nothing, or the release is not named. */
  readonly neighbours: 'emulated' | 'refused' | null;
  /** The physical function of a virtual one. */
  readonly physfn: string | null;
  /** Null: none is bound; undefined: not told. The others alike. */
  readonly driver: string | null | undefined;
  readonly iommuGroup: number | null | undefined;
  readonly resetMethods: readonly string[] | undefined;
  readonly irq: number | null | undefined;
}

/** A machine's functions, each with what it needs of the others. */
export interface Machine {
  readonly functions: readonly PciFunction[];
  readonly virtual: ReadonlyMap<number, VirtualFunction>;
  readonly bars: ReadonlyMap<number, readonly PlacedBar[]>;
  readonly pages: PageMap;
  /** The functions of each IOMMU group, without bridges. */
  readonly groups: ReadonlyMap<number, readonly number[]>;
}

/** Puts a snapshot's functions in relation to each other. */
export function machineOf({ functions }: PciSnapshot): Machine {
  const virtual = virtualFunctions(functions);
  const bars = new Map(functions.map((fn) => [fn.sbdf, placeBars(fn, virtual.get(fn.sbdf) ?? null)] as const));
  const all: BarPages[] = [];
  const groups = new Map<number, number[]>();
  for (const fn of functions) {
    const { sbdf, iommuGroup } = fn;
    for (const bar of bars.get(sbdf) ?? []) {
      const pages = barPages(sbdf, bar);
      if (pages) all.push(pages);
    }
    if (typeof iommuGroup !== 'number' || isBridge(fn)) continue;
    const group = groups.get(iommuGroup);
    if (group) group.push(sbdf);
    else groups.set(iommuGroup, [sbdf]);
  }
  return { functions, virtual, bars, pages: new PageMap(all), groups };
}

/** Inspects all functions of a snapshot. None of it throws, whatever is in the snapshot. */
export function inspectAll(snapshot: PciSnapshot, options: InspectOptions = {}): Inspection[] {
  const machine = machineOf(snapshot);
  return machine.functions.map((fn) => inspect(fn, machine, options));
}

/** Inspects one function of a machine. */
export function inspect(fn: PciFunction, machine: Machine, { release }: InspectOptions = {}): Inspection {
  const { sbdf, config } = fn;
  const vf = machine.virtual.get(sbdf) ?? null;
  const bars = machine.bars.get(sbdf) ?? [];
  const { msix, findings: located } = locateMsix(fn, bars, vf);
  const shared = msix ? sharing(sbdf, msix, bars, machine.pages) : [];
  const findings = [
    ...fn.complaints.map((text) => problem('source', `${text.charAt(0).toUpperCase()}${text.slice(1)}.`)),
    ...located,
    ...(msix ? [...xenPbaGap(msix, bars), ...sharingFindings(shared, msix, release)] : []),
    ...readiness(fn, msix, bars, machine),
  ];
  const there = configProblem(config) === undefined;
  const word = (register: number): number => (there ? readConfig(config, register, 2) : undefined) ?? 0xffff;
  const hex = (value: number): string => value.toString(16).padStart(4, '0');
  const texts = (level: Finding['level']): string[] =>
    findings.flatMap((one) => (one.level === level ? [sentence(one)] : []));
  return {
    sbdf: formatSbdf(sbdf),
    label: fn.label ?? null,
    id: word(PCI_VENDOR_ID) === 0xffff ? null : `${hex(word(PCI_VENDOR_ID))}:${hex(word(PCI_DEVICE_ID))}`,
    class: there ? hex(word(PCI_CLASS_DEVICE)) : null,
    msix,
    problems: texts('problem'),
    notes: texts('note'),
    findings,
    bars,
    shared,
    neighbours:
      release && shared.some(({ own }) => own) ? (emulatesNeighbours(release) ? 'emulated' : 'refused') : null,
    physfn: vf && vf.pf !== null ? formatSbdf(vf.pf) : null,
    driver: fn.driver,
    iommuGroup: fn.iommuGroup,
    resetMethods: fn.resetMethods,
    irq: fn.irq,
  };
}
