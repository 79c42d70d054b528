/** The machine as its domains see it. */

import type { Release } from '../abi/release.js';
import type { ConsoleRing } from './console_ring.js';
import type { Domain } from './domain.js';
import type { MachineMemory } from './machine_memory.js';
import type { Cpu } from './options.js';
import type { Pci } from './pci/pci.js';
import type { Scheduler } from './scheduler.js';
import type { Vcpu } from './vcpu.js';

/** What a domain needs of the machine that it runs on. */
export interface Host {
  readonly release: Release;
  readonly cpu: Cpu;
  readonly memory: MachineMemory;
  readonly console: ConsoleRing;
  readonly pci: Pci;
  /** Built with memory sharing. */
  readonly memSharing: boolean;
  /** Takes a hypercall that a guest's vCPU makes. */
  guestHypercall(vcpu: Vcpu, op: number, args: readonly number[]): number;
  /** Raises a global virtual interrupt: dom0's, or that of the domain which was made its handler. */
  sendGlobalVirq(virq: number): void;
  setVirqHandler(virq: number, domain: Domain): void;
  /** Runs what vCPUs are given to do. */
  readonly scheduler: Scheduler;
}
