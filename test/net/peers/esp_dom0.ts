/** A dom0 in this process: a guest's frames into an ESP tunnel, and what comes out of it to the guest. */

import { checksumUpdate, EspError, type EspTunnel, NetProtocolError } from '#dist/net/index.js';
import {
  clearVnetHeader,
  emptyVnetHeader,
  FrameBatch,
  type Link,
  PacketSocket,
  readVnetHeader,
  SendQueue,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VNET_HEADER,
} from '#dist/net/link/index.js';

const ETHERNET = 14;
const SLOT = 2048;

/** What is done to ESP packets on their way: a number of times that each is sent, after it was changed. */
export type Damage = (outer: Uint8Array) => number;

export interface Dom0Options {
  readonly tunnel: EspTunnel;
  /** `interface@namespace's path`: the guest's vif and the cable to the far end, with the station behind each. */
  readonly vif: { readonly name: string; readonly netns: string; readonly peer: readonly number[] };
  readonly out: { readonly name: string; readonly netns: string; readonly peer: readonly number[] };
  readonly damage?: Damage;
}

export class Dom0 implements AsyncDisposable {
  /** Frames of the guest, and those of them whose checksum was partial. */
  fromGuest = 0;
  partial = 0;
  /** Errors of encapsulating, by code. */
  readonly errors = new Map<string, number>();
  readonly #options: Dom0Options;
  readonly #vif: PacketSocket;
  readonly #out: PacketSocket;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(options: Dom0Options) {
    this.#options = options;
    this.#vif = PacketSocket.open(options.vif.name, { netns: options.vif.netns });
    this.#out = PacketSocket.open(options.out.name, { netns: options.out.netns });
    this.#running = Promise.all([
      this.#pump(this.#vif, this.#out, options.out.peer, (frame, out, batch, i) =>
        this.#encapsulate(frame, out, batch, i),
      ),
      this.#pump(this.#out, this.#vif, options.vif.peer, (frame, out) => this.#decapsulate(frame, out)),
    ]);
  }

  /** Takes frames of one link, and sends to the other what `step` makes of each. */
  async #pump(
    from: Link,
    to: Link,
    station: readonly number[],
    step: (frame: Uint8Array, out: Uint8Array, batch: FrameBatch, i: number) => { length: number; times: number },
  ): Promise<void> {
    const batch = new FrameBatch(32, SLOT + 512);
    const bytes = new Uint8Array(batch.capacity * SLOT);
    const queue = new SendQueue(to);
    const own = to.mac.split(':').map((byte) => Number.parseInt(byte, 16));
    for await (const frames of from.batches({ batch, signal: this.#stop.signal })) {
      for (let i = 0; i < frames.count; i++) {
        const start = frames.start(i);
        const frame = frames.bytes.subarray(start, start + frames.length(i));
        if (frames.truncated(i) || frame.length < ETHERNET + 20) continue;
        const slot = i * SLOT;
        const ip = slot + VNET_HEADER + ETHERNET;
        const { length, times } = step(frame, bytes.subarray(ip, slot + SLOT), frames, i);
        if (length === 0) continue;
        clearVnetHeader(bytes, slot);
        bytes.set(
          [...station, ...own, ...((bytes[ip] as number) >> 4 === 4 ? [8, 0] : [0x86, 0xdd])],
          slot + VNET_HEADER,
        );
        for (let n = 0; n < times; n++) queue.add(bytes, slot, VNET_HEADER + ETHERNET + length);
      }
      await queue.flush();
    }
  }

  #encapsulate(frame: Uint8Array, out: Uint8Array, batch: FrameBatch, i: number): { length: number; times: number } {
    if (staysOnLink(frame)) return { length: 0, times: 0 };
    const header = emptyVnetHeader();
    readVnetHeader(batch.bytes, batch.header(i), header);
    const packet = frame.subarray(ETHERNET);
    const partial = (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
    this.fromGuest++;
    if (partial) this.partial++;
    forward(packet);
    try {
      const where = { start: header.csumStart - ETHERNET, offset: header.csumOffset };
      const length = this.#options.tunnel.encapsulateInto(packet, out, partial && where);
      return { length, times: this.#options.damage?.(out.subarray(0, length)) ?? 1 };
    } catch (error) {
      if (!(error instanceof EspError || error instanceof NetProtocolError)) throw error;
      this.errors.set(error.code, (this.errors.get(error.code) ?? 0) + 1);
      return { length: 0, times: 0 };
    }
  }

  #decapsulate(frame: Uint8Array, out: Uint8Array): { length: number; times: number } {
    return { length: this.#options.tunnel.decapsulateInto(frame.subarray(ETHERNET), out), times: 1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#vif.close();
    this.#out.close();
    await this.#running;
  }
}

/** Whether no router passes it on: multicast, and IPv6's own talk on the link. */
function staysOnLink(frame: Uint8Array): boolean {
  const linkLocal = frame[ETHERNET] === 0x60 && frame[ETHERNET + 8] === 0xfe && frame[ETHERNET + 9] === 0x80;
  return ((frame[0] as number) & 1) === 1 || linkLocal;
}

/** Counts down how far the packet may still go, as every router does. */
function forward(packet: Uint8Array): void {
  if ((packet[0] as number) >> 4 === 6) {
    packet[7] = (packet[7] as number) - 1;
    return;
  }
  const view = new DataView(packet.buffer, packet.byteOffset);
  const before = view.getUint16(8);
  view.setUint16(8, before - 0x100);
  view.setUint16(10, checksumUpdate(view.getUint16(10), before, before - 0x100));
}
