/** The software Xen: `import { ModelXen } from 'xenctrl/model'`. Re-exports only. */

export { errno } from '../abi/errno.js';
export type { Release } from '../abi/release.js';
export { GuestResult, type Instruction } from './guest/instruction.js';
export type { AccessOptions } from './guest/memory.js';
export type { GuestScript, ScriptCpu, ScriptEnd, ScriptRun } from './guest/script.js';
export type { DescriptorRegister, DescriptorTable } from './guest/system.js';
export type { Guest } from './guest.js';
export { GuestKernel, type KernelMemory, type KernelPages } from './guest_kernel.js';
export type { CsumState, Skb } from './net/skb.js';
export { ModelStack, type Received, type StackOptions } from './net/stack.js';
export { ModelVif, type ModelVifOptions, type VifCounters, type VifEndOptions } from './net/vif.js';
export type { Altp2mMode, CpuOptions, GuestOptions, ModelOptions } from './options.js';
export type { MapOptions, PageTables, PageTablesOptions } from './paging/page_tables.js';
export type { MsixAsPosted } from './pci/as_posted.js';
export type { BarOptions, MsixOptions, PciDeviceOptions, PciOptions, SriovOptions } from './pci/options.js';
export { type Pci, XenPanic } from './pci/pci.js';
export { e1000e, nvme } from './pci/samples.js';
export { ModelSysfs, type ModelSysfsOptions } from './pci/sysfs.js';
export {
  DEFAULT_SCENARIO,
  parseScenario,
  runScenario,
  type Scenario,
  type ScenarioGuest,
  type ScenarioRun,
  type ScenarioView,
} from './scenario.js';
export { ScenarioError } from './scenario_value.js';
export { type AsPosted, V4vHang } from './v4v/as_posted.js';
export type { V4vLimits } from './v4v/domain.js';
export type { FetchKind, OnFetch } from './v4v/fetch.js';
export { V4v, type V4vOptions } from './v4v/v4v.js';
export { type Vcpu, VcpuNotRunningError } from './vcpu.js';
export type { MonitorListener, VmEvent, VmEventAnswer } from './vm_event/listener.js';
export { type Fault, type ModelSnapshot, ModelXen } from './xen.js';
export { ModelXenstore, type ModelXenstoreOptions } from './xenstore/store.js';
