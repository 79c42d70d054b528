/** Which flows have packets whose checksums are not good: one direction of a conversation each. */

import { formatAddress } from './address.js';
import type { PacketBatch } from './capture/batch.js';
import { PacketView } from './packet.js';
import { CHECKSUM_STATES, type ChecksumState } from './state.js';

export interface Flow {
  readonly protocol: number;
  /** Address, and port where there is one. */
  readonly source: string;
  readonly destination: string;
  readonly packets: number;
  readonly checksums: Readonly<Record<ChecksumState, number>>;
}

interface Entry {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  packets: number;
  readonly checksums: Record<ChecksumState, number>;
}

/** Bytes of the longest key: two addresses, ports, protocol. */
const KEY_BYTES = 37;

export class FlowTable {
  readonly #limit: number;
  readonly #view = new PacketView();
  readonly #key = Buffer.alloc(KEY_BYTES);
  readonly #flows = new Map<string, Entry>();
  /** Packets of flows for which there was no room. */
  unlisted = 0;

  /** @param limit of flows: memory stays bounded, whatever is captured */
  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  /** @param state what the checksum of the batch's packet is, by its number */
  add(bytes: Uint8Array, { places, count }: PacketBatch, state: (i: number) => ChecksumState): void {
    const view = this.#view;
    for (let i = 0; i < count; i++) {
      view.parse(bytes, places[3 * i] as number, places[3 * i + 1] as number, places[3 * i + 2] as number);
      if (view.protocol < 0) continue;
      const flow = this.#flow(view);
      if (!flow) {
        this.unlisted++;
        continue;
      }
      flow.packets++;
      flow.checksums[state(i)]++;
    }
  }

  /** The flows with most packets that a receiver would throw away, then the largest. */
  list(limit = this.#limit): readonly Flow[] {
    const bad = ({ checksums }: Flow): number => checksums.partial + checksums.corrupt;
    const all = [...this.#flows.values()].sort((a, b) => bad(b) - bad(a) || b.packets - a.packets);
    return all.slice(0, limit);
  }

  get size(): number {
    return this.#flows.size;
  }

  #flow(view: PacketView): Entry | undefined {
    const { bytes, addresses, addressLength, protocol, sourcePort, destinationPort } = view;
    const key = this.#key;
    const size = 2 * addressLength;
    for (let i = 0; i < size; i++) key[i] = bytes[addresses + i] as number;
    key.writeUInt16LE(sourcePort & 0xffff, size);
    key.writeUInt16LE(destinationPort & 0xffff, size + 2);
    key[size + 4] = protocol;
    const name = key.toString('latin1', 0, size + 5);
    const known = this.#flows.get(name);
    if (known || this.#flows.size === this.#limit) return known;
    const end = (at: number, port: number): string => {
      const address = formatAddress(bytes.subarray(at, at + addressLength));
      if (port < 0) return address;
      return addressLength === 16 ? `[${address}]:${port}` : `${address}:${port}`;
    };
    const checksums = Object.fromEntries(CHECKSUM_STATES.map((state) => [state, 0])) as Record<ChecksumState, number>;
    const source = end(addresses, sourcePort);
    const destination = end(addresses + addressLength, destinationPort);
    const flow = { protocol, source, destination, packets: 0, checksums };
    this.#flows.set(name, flow);
    return flow;
  }
}
