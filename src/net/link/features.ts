/** What an interface leaves to its device: what `ethtool -k` shows and `ethtool -K` changes. */

import { errno } from '../../abi/errno.js';
import { NetDeviceError } from './error.js';
import { addonFor, checkInterface } from './open.js';

export interface NetFeature {
  /** As the kernel calls it: `tx-checksum-ip-generic`. */
  readonly name: string;
  readonly on: boolean;
  /** Whether it can be changed. */
  readonly changeable: boolean;
}

export interface NetFeatures {
  /** `veth`, `vif` ... */
  readonly driver: string;
  readonly features: ReadonlyMap<string, NetFeature>;
}

const CHECKSUMS = ['tx-checksum-ipv4', 'tx-checksum-ipv6', 'tx-checksum-ip-generic'] as const;

/** Groups of them that are switched together, by ethtool's short names for them. */
export const OFFLOADS = {
  tx: CHECKSUMS,
  rx: ['rx-checksum'],
  sg: ['tx-scatter-gather'],
  tso: ['tx-tcp-segmentation', 'tx-tcp6-segmentation', 'tx-tcp-ecn-segmentation', 'tx-tcp-mangleid-segmentation'],
  gso: ['tx-generic-segmentation'],
  gro: ['rx-gro'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type OffloadName = keyof typeof OFFLOADS;

/**
 * @param netns the network namespace's path; default: the caller's
 * @throws NetDeviceError ENODEV: no such interface; EOPNOTSUPP: it has no such switches
 */
export function readNetFeatures(name: string, netns?: string): NetFeatures {
  checkInterface(name);
  const native = addonFor(name).readNetFeatures(name, netns ?? null);
  if (typeof native === 'number') throw new NetDeviceError('read features of', name, native);
  const features = new Map<string, NetFeature>();
  native.names.forEach((feature, i) => {
    const word = (kind: number): boolean => (((native.words[(i >> 5) * 4 + kind] ?? 0) >>> (i & 31)) & 1) === 1;
    if (feature !== '') features.set(feature, { name: feature, on: word(2), changeable: word(0) && !word(3) });
  });
  return { driver: native.driver, features };
}

/** Whether any of a group is on; null: the interface has none of them. */
export function offloadIsOn({ features }: NetFeatures, offload: OffloadName): boolean | null {
  const there = OFFLOADS[offload].flatMap((name) => {
    const feature = features.get(name);
    return feature && (feature.on || feature.changeable) ? [feature] : [];
  });
  return there.length === 0 ? null : there.some(({ on }) => on);
}

/**
 * Switches features.
 *
 * @param wanted by the kernel's names
 * @returns the features that changed, as they were: give it to undo that
 * @throws NetDeviceError EPERM: without CAP_NET_ADMIN; EOPNOTSUPP: one of them cannot be changed; nothing was
 */
export function writeNetFeatures(
  name: string,
  wanted: ReadonlyMap<string, boolean>,
  netns?: string,
): Map<string, boolean> {
  checkInterface(name);
  const before = readNetFeatures(name, netns);
  const addon = addonFor(name);
  const native = addon.readNetFeatures(name, netns ?? null);
  if (typeof native === 'number') throw new NetDeviceError('read features of', name, native);
  const words = native.words.length / 4;
  const valid = new Uint32Array(words);
  const requested = new Uint32Array(words);
  for (const [feature, on] of wanted) {
    const i = native.names.indexOf(feature);
    const is = before.features.get(feature);
    if (i < 0 || !is) throw new NetDeviceError('switch', name, -errno.EOPNOTSUPP, `it has no ${feature}`);
    if (is.on === on) continue;
    if (!is.changeable) throw new NetDeviceError('switch', name, -errno.EOPNOTSUPP, `its ${feature} is fixed`);
    valid[i >> 5] = (valid[i >> 5] as number) | (1 << (i & 31));
    if (on) requested[i >> 5] = (requested[i >> 5] as number) | (1 << (i & 31));
  }
  const rc = addon.writeNetFeatures(name, netns ?? null, valid, requested);
  if (rc < 0) throw new NetDeviceError('switch', name, rc);
  const now = readNetFeatures(name, netns);
  // others that depend on them went with them (segmentation with the checksums)
  const changed = new Map<string, boolean>();
  for (const [feature, { on }] of before.features) {
    if (now.features.get(feature)?.on !== on) changed.set(feature, on);
  }
  return changed;
}

/**
 * Switches a whole group on or off, as far as the interface has it.
 *
 * @returns as {@link writeNetFeatures}
 * @throws NetDeviceError EOPNOTSUPP: the interface has nothing of it that could be changed
 */
export function setOffload(name: string, offload: OffloadName, on: boolean, netns?: string): Map<string, boolean> {
  const { features } = readNetFeatures(name, netns);
  const names: readonly string[] = OFFLOADS[offload];
  const wanted = names.filter((feature) => features.get(feature)?.changeable);
  if (wanted.length === 0)
    throw new NetDeviceError('switch', name, -errno.EOPNOTSUPP, `it has no '${offload}' to change`);
  return writeNetFeatures(name, new Map(wanted.map((feature) => [feature, on])), netns);
}
