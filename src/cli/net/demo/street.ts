/**
 * Three machines in a row, without devices: a guest of the model's on a model vif, dom0 with the router between, and a
 * host outside that trusts nobody. Optionally what leaves dom0 goes through an ESP tunnel to a gateway before the host.
 */

import { ModelStack, ModelVif, ModelXenstore, type Skb, type VifEndOptions } from '../../../model/index.js';
import type { EspTunnel } from '../../../net/esp/tunnel.js';
import { Router, type RouterOptions } from '../../../net/forward/router.js';
import type { SideName } from '../../../net/forward/side.js';
import {
  emptyVnetHeader,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VNET_HEADER,
} from '../../../net/link/vnet_header.js';

export const GUEST = '10.0.1.2';
export const HOST = '192.0.2.2';
/** The other end of the tunnel, in front of the host. */
export const GATEWAY = '192.0.2.254';
const MAC = {
  guest: '00:16:3e:00:00:02',
  inside: 'fe:ff:ff:ff:ff:ff',
  outside: '00:16:3e:00:00:01',
  host: '00:16:3e:00:00:03',
};

/** Copies what it is given, and tells. */
class CopyingSink {
  readonly scratch = new Uint8Array(1 << 20);
  used = 0;
  readonly #give: (skb: Skb) => void;

  constructor(give: (skb: Skb) => void) {
    this.#give = give;
  }

  room(length: number): number {
    const at = this.used;
    this.used += length;
    return at;
  }

  add(bytes: Uint8Array, header: number, length: number): void {
    const flags = bytes[header] as number;
    const csum =
      flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? 'partial' : flags & VIRTIO_NET_HDR_F_DATA_VALID ? 'unnecessary' : 'none';
    this.#give({ frame: bytes.slice(header + VNET_HEADER, header + length), csum });
    this.used = 0;
  }
}

export interface StreetOptions extends Omit<RouterOptions, 'inside' | 'outside' | 'tunnel'> {
  readonly frontend?: VifEndOptions;
  readonly backend?: VifEndOptions;
  /** dom0's end of the tunnel, and the gateway's. */
  readonly tunnel?: { readonly near: EspTunnel; readonly far: EspTunnel };
}

export class ModelStreet {
  readonly store = new ModelXenstore();
  readonly guest = new ModelStack({ mac: MAC.guest, ip: GUEST, router: MAC.inside });
  readonly host = new ModelStack({ mac: MAC.host, ip: HOST, router: MAC.outside });
  readonly vif: ModelVif;
  readonly router: Router;
  now = 1;

  readonly #tunnel: StreetOptions['tunnel'];

  constructor({ frontend = {}, backend = {}, tunnel, ...options }: StreetOptions) {
    this.#tunnel = tunnel;
    this.vif = new ModelVif(this.store, { domid: 1, frontend, backend });
    this.router = new Router(
      {
        ...options,
        ...(tunnel ? { tunnel: { remote: GATEWAY, esp: tunnel.near } } : {}),
        inside: { address: '10.0.1.1/24' },
        outside: { address: '192.0.2.1/24' },
      },
      {
        inside: { mac: MAC.inside, mtu: 1500, sink: new CopyingSink((skb) => this.vif.sendToGuest(skb)) },
        outside: { mac: MAC.outside, mtu: 1500, sink: new CopyingSink((skb) => this.#toHost(skb)) },
      },
    );
    this.guest.transmit = (skb) => this.vif.sendFromGuest(skb);
    this.vif.onFrontend = (skb) => this.guest.receive(skb);
    this.vif.onBackend = (skb) => this.take('inside', skb);
    this.host.transmit = (skb) => this.#fromHost(skb);
  }

  take(from: SideName, { frame, csum }: Skb): void {
    const bytes = new Uint8Array(VNET_HEADER + frame.length);
    bytes.set(frame, VNET_HEADER);
    const header = emptyVnetHeader();
    if (csum === 'partial') {
      header.flags = bytes[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
      header.csumStart = 34;
      header.csumOffset = frame[23] === 6 ? 16 : 6;
    }
    this.router.take(from, bytes, 0, frame.length, header, this.now++);
  }

  /** The wire: the host answers questions for its address, and trusts nobody. */
  #toHost({ frame }: Skb): void {
    if (frame[12] === 8 && frame[13] === 6) this.#answerArp(frame);
    else this.host.receive({ frame: this.#tunnel ? this.#unwrapped(this.#tunnel.far, frame) : frame, csum: 'none' });
  }

  #unwrapped(far: EspTunnel, frame: Uint8Array): Uint8Array {
    return Buffer.concat([frame.subarray(0, 14), far.decapsulate(frame.subarray(14)) ?? new Uint8Array(0)]);
  }

  #fromHost({ frame, csum }: Skb): void {
    if (!this.#tunnel) {
      this.take('outside', { frame, csum });
      return;
    }
    const outer = this.#tunnel.far.encapsulate(frame.subarray(14), csum === 'partial');
    this.take('outside', { frame: Buffer.concat([frame.subarray(0, 14), outer]), csum: 'none' });
  }

  #answerArp(question: Uint8Array): void {
    const answer = question.slice();
    const host = MAC.host.split(':').map((byte) => Number.parseInt(byte, 16));
    answer.set(question.subarray(6, 12), 0);
    answer.set(host, 6);
    answer[21] = 2;
    answer.set(host, 22);
    answer.set(question.subarray(38, 42), 28);
    answer.set(question.subarray(22, 32), 32);
    this.take('outside', { frame: answer, csum: 'none' });
  }
}
