/** What one domain has of devices: permissions, interrupts, ports, and pages that it has mapped. */

import type { MsixTable } from './msix_table.js';
import { Permissions } from './permissions.js';
import { type PvHost, PvMappings } from './pv_mappings.js';

/** An interrupt that the domain has mapped. */
export interface Pirq {
  readonly irq: number;
  /** sbdf of the device whose vector it is; null: an interrupt line. */
  readonly device: number | null;
  /** What it is bound to; null: nothing. */
  bound: { readonly type: number; readonly gvec: number } | null;
}

/** Machine ports that the domain sees at ports of its own. */
export interface PortMapping {
  readonly guest: number;
  machine: number;
  count: number;
}

/** Lines of the I/O APICs: interrupts below are those. */
export const NR_IRQS_GSI = 24;
/** Interrupts that a domain can have beyond those (`extra_guest_irqs`). */
const EXTRA_DOM0 = 256;
const EXTRA_DOMU = 32;

export class DomainIo {
  readonly nrPirqs: number;
  readonly irqs = new Set<number>();
  readonly ports = new Permissions();
  readonly frames = new Permissions();
  readonly pirqs = new Map<number, Pirq>();
  readonly portMappings: PortMapping[] = [];
  /** MSI-X tables whose writes Xen emulates. */
  readonly tables: MsixTable[] = [];
  /** What a PV domain's page tables map of devices. */
  readonly pv: PvMappings;
  readonly #all: boolean;

  /** @param all it is the control domain: it may use everything that Xen does not keep */
  constructor(all: boolean, host: PvHost) {
    this.#all = all;
    this.nrPirqs = NR_IRQS_GSI + (all ? EXTRA_DOM0 : EXTRA_DOMU);
    this.pv = new PvMappings(all, host, (mfn) => this.frames.permits(mfn));
    if (!all) return;
    this.ports.permit(0, 0xffff);
    this.frames.permit(0, 2 ** 40 - 1);
  }

  /** `domain_pirq_to_irq`; 0: the domain has not mapped it. dom0 has all lines from the start. */
  irqOf(pirq: number): number {
    const mapped = this.pirqs.get(pirq)?.irq;
    return mapped ?? (this.#all && pirq < NR_IRQS_GSI ? pirq : 0);
  }

  /** Number that the domain has an interrupt by; 0: none. */
  pirqOf(irq: number): number {
    for (const [pirq, mapped] of this.pirqs) if (mapped.irq === irq) return pirq;
    return this.#all && irq < NR_IRQS_GSI ? irq : 0;
  }

  /** The MSI-X table on whose pages a guest-physical address is, or null. */
  tableAt(gpa: number): MsixTable | null {
    if (this.tables.length === 0) return null;
    return this.tables.find((table) => table.covers(gpa)) ?? null;
  }

  mayUse(irq: number): boolean {
    return this.#all || this.irqs.has(irq);
  }
}
