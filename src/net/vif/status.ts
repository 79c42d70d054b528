/** What a vif's two ends leave to each other, and who has to change what. */

import type { XenstoreOperations } from '../../xenstore/operations.js';
import { NetDeviceError } from '../link/error.js';
import { findXenVif, type VifKeys, type XenVif } from './keys.js';
import type { Traffic } from './observe.js';
import type { Device, OffloadSwitches, SwitchState } from './switches.js';

/**
 * - `partial`: checksums are left to the other end.
 * - `allowed`: they may be; whether they are is up to the sender, whose switches cannot be seen from here.
 * - `complete`: they are not.
 */
export type Leaves = 'partial' | 'allowed' | 'complete' | 'unknown';

export interface VifEnd {
  /** Its interface; null: it cannot be seen from here. */
  readonly device: Device | null;
  readonly switches: SwitchState | null;
  /** What it has told by xenstore; null: there is none. */
  readonly keys: VifKeys | null;
}

export interface VifFinding {
  /** Who has to change something. */
  readonly side: 'dom0' | 'guest';
  /** `note`: right as long as all on the way know of it. `fault`: something is wrong now. */
  readonly level: 'note' | 'fault';
  readonly text: string;
  /** A command. */
  readonly remedy: string;
}

export interface VifReport {
  readonly name: string;
  readonly domid: number | null;
  /** Whether it is one: of a domain, or one end of a cable whose other end can be seen. */
  readonly isVif: boolean;
  readonly dom0: VifEnd;
  readonly guest: VifEnd;
  readonly fromGuest: { readonly ipv4: Leaves; readonly ipv6: Leaves };
  readonly toGuest: { readonly ipv4: Leaves; readonly ipv6: Leaves };
  readonly findings: readonly VifFinding[];
}

export interface VifSources {
  /** Null: no Xen, a plain pair of interfaces. */
  readonly store: XenstoreOperations | null;
  readonly switches: OffloadSwitches;
  /** Finds a guest's end that is an interface of this machine, too. */
  readonly peer: (device: Device) => Device | null;
}

/** What was seen on the way, if anybody looked. */
export interface VifObservation {
  /** At the vif itself. */
  readonly vif: Traffic;
  /** At the interface by which dom0 sends on what comes from the guest. */
  readonly uplink?: { readonly name: string; readonly traffic: Traffic };
}

/**
 * @throws NetDeviceError ENODEV: neither the kernel nor xenstore knows the vif
 */
export async function vifStatus(device: Device, sources: VifSources, observed?: VifObservation): Promise<VifReport> {
  const vif = sources.store && (await findXenVif(sources.store, device.name));
  const own = readSwitches(device, sources.switches, vif !== null);
  const peer = vif ? null : sources.peer(device);
  const dom0: VifEnd = { device, switches: own, keys: vif?.backend ?? null };
  const guest: VifEnd = {
    device: peer,
    switches: peer && sources.switches.read(peer),
    keys: vif?.frontend ?? null,
  };
  const base = {
    name: device.name,
    domid: vif?.domid ?? null,
    dom0,
    guest,
    fromGuest: leavesFromGuest(dom0, guest),
    toGuest: leavesToGuest(dom0, guest),
  };
  const isVif = vif !== null || peer !== null || own?.driver === 'vif';
  return { ...base, isVif, findings: isVif || observed ? findings(base, vif, observed) : [] };
}

/** A vif of xenstore may have its backend in another domain, and no interface here. */
function readSwitches(device: Device, switches: OffloadSwitches, mayBeMissing: boolean): SwitchState | null {
  try {
    return switches.read(device);
  } catch (error) {
    if (mayBeMissing && error instanceof NetDeviceError && error.code === 'ENODEV') return null;
    throw error;
  }
}

function leavesFromGuest(dom0: VifEnd, guest: VifEnd): VifReport['fromGuest'] {
  if (dom0.keys) {
    const { offload } = dom0.keys;
    // with feature-no-csum-offload, too: see LINUX_GUESTS
    return { ipv4: 'allowed', ipv6: offload['feature-ipv6-csum-offload'] === '1' ? 'allowed' : 'complete' };
  }
  return { ipv4: bySwitch(guest.switches?.txIpv4), ipv6: bySwitch(guest.switches?.txIpv6) };
}

function leavesToGuest(dom0: VifEnd, guest: VifEnd): VifReport['toGuest'] {
  const bySwitches = { ipv4: bySwitch(dom0.switches?.txIpv4), ipv6: bySwitch(dom0.switches?.txIpv6) };
  if (!guest.keys || dom0.switches) return bySwitches;
  const { offload } = guest.keys;
  return {
    ipv4: offload['feature-no-csum-offload'] === '1' ? 'complete' : 'allowed',
    ipv6: offload['feature-ipv6-csum-offload'] === '1' ? 'allowed' : 'complete',
  };
}

function bySwitch(on: boolean | null | undefined): Leaves {
  if (on === undefined) return 'unknown';
  return on ? 'partial' : 'complete';
}

/** Seen with xen-netfront of Linux 6.1: its IPv4 switch is fixed, and it does not read the key. */
const LINUX_GUESTS =
  'A Linux guest leaves its IPv4 checksums whatever it and dom0 are set to: for one, what breaks them is to be mended or replaced (`xenctrl net forward` does it right)';

function findings(
  report: Omit<VifReport, 'findings' | 'isVif'>,
  vif: XenVif | null,
  observed: VifObservation | undefined,
): VifFinding[] {
  const { name, fromGuest, toGuest } = report;
  const list: VifFinding[] = [];
  const guestRemedy = `xenctrl net vif set ${name} tx off --end guest`;
  const dom0Remedy = `xenctrl net vif set ${name} tx off`;
  const unlessLinux = vif ? `. ${LINUX_GUESTS}` : '';

  const uplink = observed?.uplink;
  const lost = uplink ? uplink.traffic.outgoing.unfinished + uplink.traffic.outgoing.corrupt : 0;
  const cameLeft = (observed?.vif.incoming.partial ?? 0) > 0;
  if (uplink && lost > 0 && cameLeft) {
    list.push({
      side: 'guest',
      level: 'fault',
      text: `the guest leaves its checksums to dom0 (${observed.vif.incoming.partial} packets came partial), and dom0's way to ${uplink.name} breaks them: ${lost} packets left it with a wrong checksum and will be thrown away. Either that way completes them, or the guest does so itself${unlessLinux}`,
      remedy: guestRemedy,
    });
  } else if (uplink && lost > 0) {
    list.push({
      side: 'dom0',
      level: 'fault',
      text: `${lost} packets left ${uplink.name} with a wrong checksum, though none came partial from the guest: dom0 itself breaks them`,
      remedy: 'look for what translates or tunnels packets in dom0',
    });
  }
  const broken = observed ? observed.vif.outgoing.corrupt + observed.vif.outgoing.unfinished : 0;
  if (broken > 0) {
    list.push({
      side: 'dom0',
      level: 'fault',
      text: `dom0 gave the guest ${broken} packets with a wrong checksum that nobody will complete: something in dom0 changes packets to the guest and not their checksums`,
      remedy: 'turn the offload off where those packets come from: ethtool -K IFACE tx off rx off',
    });
  }
  if (vif && report.dom0.switches?.txIpv4 && vif.frontend.offload['feature-no-csum-offload'] === '1') {
    list.push({
      side: 'dom0',
      level: 'fault',
      text: 'the guest says that it cannot take partial checksums, and dom0 leaves them to it all the same: the key was written after the vif was connected',
      remedy: dom0Remedy,
    });
  }
  const asked = vif?.backend.offload['feature-no-csum-offload'] === '1';
  if (list.length === 0 && asked) {
    list.push({
      side: 'guest',
      level: 'note',
      text: `dom0 asks the guest to complete its checksums (feature-no-csum-offload), which counts from its next connect on. ${LINUX_GUESTS}. Whether they come partial, a look at the packets tells`,
      remedy: `xenctrl net vif status ${name} --observe 10`,
    });
  } else if (list.length === 0 && (fromGuest.ipv4 === 'partial' || fromGuest.ipv4 === 'allowed')) {
    const does = fromGuest.ipv4 === 'partial' ? 'leaves' : 'may leave';
    list.push({
      side: 'guest',
      level: 'note',
      text: `the guest ${does} TCP and UDP checksums to dom0. All in dom0 that changes or wraps its packets (NAT, IPsec, tunnels, programs) must know of it; if peers do not get them, the guest is to complete them itself${unlessLinux}`,
      remedy: guestRemedy,
    });
  }
  if (!list.some(({ side }) => side === 'dom0') && (toGuest.ipv4 === 'partial' || toGuest.ipv4 === 'allowed')) {
    list.push({
      side: 'dom0',
      level: 'note',
      text: 'dom0 leaves TCP and UDP checksums to the guest. If the guest forwards packets, or reads them by raw sockets (DHCP clients), and gets them wrong, dom0 is to complete them',
      remedy: dom0Remedy,
    });
  }
  return list;
}
