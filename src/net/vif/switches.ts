/** The offload switches of interfaces, as far as checksums go. */

import {
  OFFLOADS,
  type OffloadName,
  offloadIsOn,
  readNetFeatures,
  setOffload,
  writeNetFeatures,
} from '../link/features.js';

/** An interface, in a namespace that has a path; none: the caller's. */
export interface Device {
  readonly name: string;
  readonly netns?: string;
}

/** What is on; null: the interface has no such switch. */
export interface SwitchState {
  /** `veth`, `vif` ... */
  readonly driver: string;
  /** Checksums of what it sends are left to it. */
  readonly txIpv4: boolean | null;
  readonly txIpv6: boolean | null;
  readonly offloads: Readonly<Record<OffloadName, boolean | null>>;
}

/** The kernel's, or a model's. */
export interface OffloadSwitches {
  /** @throws NetDeviceError */
  read(device: Device): SwitchState;
  /**
   * What {@link set} would change, as it is now: what {@link restore} takes.
   *
   * @throws NetDeviceError EOPNOTSUPP: there is nothing to change
   */
  before(device: Device, offload: OffloadName): Readonly<Record<string, boolean>>;
  set(device: Device, offload: OffloadName, on: boolean): void;
  restore(device: Device, before: Readonly<Record<string, boolean>>): void;
}

export const kernelSwitches: OffloadSwitches = {
  read({ name, netns }) {
    const state = readNetFeatures(name, netns);
    const { features, driver } = state;
    const ofVersion = (own: string): boolean | null => {
      const there = [own, 'tx-checksum-ip-generic'].flatMap((feature) => features.get(feature) ?? []);
      const usable = there.filter(({ on, changeable }) => on || changeable);
      return usable.length === 0 ? null : usable.some(({ on }) => on);
    };
    const names = Object.keys(OFFLOADS) as OffloadName[];
    return {
      driver,
      txIpv4: ofVersion('tx-checksum-ipv4'),
      txIpv6: ofVersion('tx-checksum-ipv6'),
      offloads: Object.fromEntries(names.map((one) => [one, offloadIsOn(state, one)])) as SwitchState['offloads'],
    };
  },

  /** All that can be changed: other features go with some (segmentation with the checksums). */
  before({ name, netns }, _offload) {
    const { features } = readNetFeatures(name, netns);
    const switches = [...features.values()].filter(({ changeable }) => changeable);
    return Object.fromEntries(switches.map((feature) => [feature.name, feature.on]));
  },

  set({ name, netns }, offload, on) {
    setOffload(name, offload, on, netns);
  },

  restore({ name, netns }, before) {
    writeNetFeatures(name, new Map(Object.entries(before)), netns);
  },
};
