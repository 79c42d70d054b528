/** What really goes over an interface. */

import { FrameBatch, PACKET_OUTGOING } from '../link/batch.js';
import { PacketSocket } from '../link/open.js';
import { VIRTIO_NET_HDR_F_NEEDS_CSUM } from '../link/vnet_header.js';
import { LINKTYPE, PacketView } from '../packet.js';
import { type ChecksumState, classifyChecksum } from '../state.js';
import type { Device } from './switches.js';

/** A packet that was seen. `bytes` and `view` hold until the next. */
export interface Observed {
  readonly view: PacketView;
  readonly state: ChecksumState;
  /** Whether its partial checksum was marked as such: the next device completes it. */
  readonly marked: boolean;
  /** Sent out of the interface by this machine; else it came in. */
  readonly outgoing: boolean;
  readonly length: number;
}

/**
 * Looks at all packets until `signal` fires.
 *
 * @returns how many the kernel dropped because we were too slow
 * @throws NetDeviceError
 */
export async function observe(
  { name, netns }: Device,
  signal: AbortSignal,
  see: (packet: Observed) => void,
): Promise<number> {
  using link = PacketSocket.open(name, {
    outgoing: true,
    promiscuous: true,
    ...(netns === undefined ? {} : { netns }),
  });
  const view = new PacketView();
  for await (const batch of link.batches({ batch: new FrameBatch(), signal })) {
    for (let i = 0; i < batch.count; i++) {
      if (batch.truncated(i)) continue;
      const length = batch.length(i);
      view.parse(batch.bytes, batch.start(i), length, LINKTYPE.ETHERNET);
      const marked = ((batch.bytes[batch.header(i)] as number) & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
      const state = marked && view.verdict === 'ok' ? 'partial' : classifyChecksum(view);
      see({ view, state, marked, outgoing: batch.packetType(i) === PACKET_OUTGOING, length });
    }
  }
  return link.statistics().drops;
}

/** Packets by what their checksum was. */
export interface Tally {
  good: number;
  /** Partial and marked so: as it should be between a sender and its device. */
  partial: number;
  /** Partial and not marked so: nobody will complete it. */
  unfinished: number;
  corrupt: number;
  other: number;
}

export function emptyTally(): Tally {
  return { good: 0, partial: 0, unfinished: 0, corrupt: 0, other: 0 };
}

export function count(tally: Tally, { state, marked }: Observed): void {
  if (state === 'partial') tally[marked ? 'partial' : 'unfinished']++;
  else if (state === 'good' || state === 'corrupt') tally[state]++;
  else tally.other++;
}

export interface Traffic {
  /** Came in by the interface: from the guest, where it is a vif. */
  readonly incoming: Tally;
  /** Went out of it. */
  readonly outgoing: Tally;
}

/** Counts for a while. */
export async function observeTraffic(device: Device, signal: AbortSignal): Promise<Traffic> {
  const traffic: Traffic = { incoming: emptyTally(), outgoing: emptyTally() };
  await observe(device, signal, (packet) => count(packet.outgoing ? traffic.outgoing : traffic.incoming, packet));
  return traffic;
}
