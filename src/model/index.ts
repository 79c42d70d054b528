/** The software Xen: `import { ModelXen } from 'xenctrl/model'`. Re-exports only. */

export { errno } from '../abi/errno.js';
export type { Release } from '../abi/release.js';
export type { MonitorListener, VmEvent, VmEventAnswer } from './monitor.js';
export type { Altp2mMode, CpuOptions, GuestOptions, ModelOptions } from './options.js';
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
export { type GuestAccess, type GuestRead, type GuestResult, type Vcpu, VcpuNotRunningError } from './vcpu.js';
export { type Fault, type Guest, type ModelSnapshot, ModelXen } from './xen.js';
