/** Vifs: what their ends leave to each other. Re-exports only. */

export { JOURNAL, type JournalEntry, VifJournal } from './journal.js';
export { findXenVif, listXenVifs, OFFLOAD_KEYS, type VifKeys, type XenVif } from './keys.js';
export { emptyTally, type Observed, observe, observeTraffic, type Tally, type Traffic } from './observe.js';
export { setVif, VifSetError, type VifSetRequest, type VifSetResult, type VifSetSources } from './set.js';
export {
  type Leaves,
  type VifEnd,
  type VifFinding,
  type VifObservation,
  type VifReport,
  type VifSources,
  vifStatus,
} from './status.js';
export { type Device, kernelSwitches, type OffloadSwitches, type SwitchState } from './switches.js';
export { vethPeer } from './veth.js';
