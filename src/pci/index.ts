/** PCI devices: `import { inspectAll, parseLspci } from 'xenctrl/pci'`. Re-exports only. */

export { formatSbdf, parseSbdf } from '../abi/pci/sbdf.js';
export type { PlacedBar, Unknown, VirtualFunction } from './bars.js';
export type { Finding, FindingCode } from './finding.js';
export { type PciFunction, type PciSnapshot, type Region, ROM, type SpokenMsix } from './function.js';
export { type Inspection, type InspectOptions, inspect, inspectAll, type Machine, machineOf } from './inspect.js';
export { parseLspci } from './lspci.js';
export type { Msix, MsixPlace } from './msix.js';
export type { Bytes } from './pages.js';
export type { Action, Dom0, Line, Mark, Step } from './passthrough/action.js';
export {
  JOURNAL_FOLDER,
  Journal,
  type JournalEntry,
  JournalError,
  type JournalHead,
  type StepState,
} from './passthrough/journal.js';
export { type Plan, type PlanOptions, planAttach } from './passthrough/plan.js';
export { attach, detach, PassthroughError, type RunOptions, recover } from './passthrough/transaction.js';
export type { Shared } from './sharing.js';
export { readSysfs, readSysfsCopy, SYSFS_DEVICES } from './sysfs.js';
export { HostSysfs, type Sysfs } from './sysfs_files.js';
