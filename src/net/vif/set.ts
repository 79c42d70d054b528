/** Changing what an end of a vif leaves to the other. */

import type { Xenstore } from '../../xenstore/xenstore.js';
import type { OffloadName } from '../link/features.js';
import type { VifJournal } from './journal.js';
import { findXenVif } from './keys.js';
import type { Device, OffloadSwitches } from './switches.js';

export interface VifSetRequest {
  /** dom0's end. */
  readonly device: Device;
  readonly end: 'dom0' | 'guest';
  readonly offload: OffloadName;
  readonly on: boolean;
}

export interface VifSetSources {
  readonly store: Xenstore | null;
  readonly switches: OffloadSwitches;
  readonly peer: (device: Device) => Device | null;
  readonly journal: VifJournal;
}

/** What was changed. */
export interface VifSetResult {
  /** The interface that was switched; null: a key was written instead. */
  readonly device: Device | null;
  /** The key that was written. */
  readonly key: string | null;
  /** Whether it counts only after the vif was connected again. */
  readonly reconnect: boolean;
}

/** The end cannot be changed from here. The message says why. */
export class VifSetError extends Error {
  override readonly name = 'VifSetError';
}

/**
 * Switches an end's offload: by its interface's own switch where that can be reached, which counts at once; else, for a
 * Xen guest's checksums, by the key with which dom0 forbids the guest to leave them.
 *
 * @throws NetDeviceError, XenstoreError, VifSetError
 */
export async function setVif(request: VifSetRequest, sources: VifSetSources): Promise<VifSetResult> {
  const { device, end, offload, on } = request;
  const what = `${device.name} ${offload} ${on ? 'on' : 'off'} at ${end}'s end`;
  const target = end === 'dom0' ? device : sources.peer(device);
  if (target) {
    const features = sources.switches.before(target, offload);
    const entry = { at: new Date().toISOString(), what, device: target, features };
    await sources.journal.record(entry, () => sources.switches.set(target, offload, on));
    return { device: target, key: null, reconnect: false };
  }
  const vif = sources.store && (await findXenVif(sources.store, device.name));
  if (!vif || !sources.store) {
    throw new VifSetError(
      `the guest's end of ${device.name} cannot be reached: it is in no network namespace here, and xenstore has no such vif`,
    );
  }
  if (offload !== 'tx')
    throw new VifSetError(`a guest's '${offload}' can only be changed in the guest: ethtool -K eth0 ${offload} off`);
  const key = `${vif.backend.path}/feature-no-csum-offload`;
  const { store } = sources;
  const keys = { [key]: vif.backend.offload['feature-no-csum-offload'] ?? null };
  const entry = { at: new Date().toISOString(), what, keys };
  await sources.journal.record(entry, () => store.write(key, on ? '0' : '1'));
  return { device: null, key, reconnect: true };
}
