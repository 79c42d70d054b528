/** Packets by the conversation that they belong to, and what their checksums were. */

import { formatAddress } from '../address.js';
import { IPPROTO, type PacketView } from '../packet.js';
import { count, emptyTally, type Observed, type Tally } from './observe.js';

export interface Flow {
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  readonly outgoing: boolean;
  readonly tally: Tally;
  packets: number;
  bytes: number;
}

/** Conversations that are told apart; those that come later are counted together. */
const MOST = 4096;

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [IPPROTO.TCP, 'tcp'],
  [IPPROTO.UDP, 'udp'],
  [IPPROTO.ICMP, 'icmp'],
  [IPPROTO.ICMPV6, 'icmp6'],
  [IPPROTO.ESP, 'esp'],
]);

export class Flows {
  readonly #flows = new Map<string, Flow>();
  /** All packets. */
  readonly total: Tally = emptyTally();
  packets = 0;

  add(packet: Observed): void {
    const { view, outgoing, length } = packet;
    const key = `${outgoing ? 1 : 0}${view.protocol} ${view.sourcePort} ${view.destinationPort} ${addressKey(view)}`;
    let flow = this.#flows.get(key);
    if (!flow) {
      flow = this.#flows.size < MOST ? flowOf(view, outgoing) : this.#rest(outgoing);
      if (this.#flows.size < MOST) this.#flows.set(key, flow);
    }
    flow.packets++;
    flow.bytes += length;
    count(flow.tally, packet);
    count(this.total, packet);
    this.packets++;
  }

  /** Those with packets that a receiver throws away first, then those with most packets. */
  list(): Flow[] {
    const bad = ({ tally }: Flow): number => tally.corrupt + tally.unfinished;
    return [...this.#flows.values()].sort((a, b) => bad(b) - bad(a) || b.packets - a.packets);
  }

  #rest(outgoing: boolean): Flow {
    const key = outgoing ? 'rest out' : 'rest in';
    let rest = this.#flows.get(key);
    if (!rest) {
      rest = { protocol: 'others', source: '', destination: '', outgoing, tally: emptyTally(), packets: 0, bytes: 0 };
      this.#flows.set(key, rest);
    }
    return rest;
  }
}

function addressKey({ bytes, addresses, addressLength }: PacketView): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + addresses, 2 * addressLength).toString('latin1');
}

function flowOf(view: PacketView, outgoing: boolean): Flow {
  const { protocol, addresses, addressLength, sourcePort, destinationPort } = view;
  return {
    protocol: protocol < 0 ? 'not IP' : (PROTOCOLS.get(protocol) ?? String(protocol)),
    source: endpoint(view, addresses, sourcePort),
    destination: endpoint(view, addresses + addressLength, destinationPort),
    outgoing,
    tally: emptyTally(),
    packets: 0,
    bytes: 0,
  };
}

function endpoint({ bytes, addressLength }: PacketView, at: number, port: number): string {
  if (addressLength === 0) return '';
  const address = formatAddress(bytes.subarray(at, at + addressLength));
  if (port < 0) return address;
  return addressLength === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}
