/** What users see of monitoring. Re-exports only. */

export { describeEnd, type MonitorEnd } from './domain_end.js';
export {
  type EventDetails,
  MONITOR_REASONS,
  type MonitorEvent,
  type MonitorReason,
} from './event.js';
export type { MonitorCounters, MonitorHandler } from './loop.js';
export { type Recovered, recoverMonitor } from './recover.js';
export { type Registers, SETTABLE_REGISTERS, type SettableRegister } from './registers.js';
export type { MonitorResponse } from './response.js';
export { MonitorRingError } from './ring.js';
export { type MonitorOptions, MonitorSession } from './session.js';
export type { AccessOptions, CrOptions, MonitorSources } from './sources.js';
export {
  type MonitorAgent,
  type MonitorAgentContext,
  MonitorWorker,
  type MonitorWorkerEnd,
  type MonitorWorkerOptions,
} from './worker.js';
