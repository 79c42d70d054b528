/** A machine's IP stack, as far as checksums go: it sends UDP and TCP packets and looks at those that come. */

import { isGood, l4Of, onesSum, type Skb } from './skb.js';

export interface StackOptions {
  /** `00:16:3e:00:00:02` */
  readonly mac: string;
  /** `10.0.1.2` */
  readonly ip: string;
  /** Where everything goes: the router's Ethernet address. */
  readonly router: string;
}

export interface Received {
  readonly protocol: 'tcp' | 'udp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

const PROTOCOLS = { tcp: 6, udp: 17 } as const;

export class ModelStack {
  /** As `/proc/net/snmp` counts them: packets thrown away because of their checksum. */
  readonly inCsumErrors = { tcp: 0, udp: 0 };
  readonly received: Received[] = [];
  /** What it is connected to. */
  transmit: (skb: Skb) => void = () => {};
  readonly #options: StackOptions;
  #nextId = 1;

  constructor(options: StackOptions) {
    this.#options = options;
  }

  /** Sends a packet whose checksum is partial; an interface that may not leave it completes it. */
  send(protocol: 'tcp' | 'udp', to: string, sourcePort: number, destinationPort: number, payload: Uint8Array): void {
    const header = protocol === 'tcp' ? 20 : 8;
    const frame = new Uint8Array(14 + 20 + header + payload.length);
    const view = new DataView(frame.buffer);
    frame.set([...bytesOf(this.#options.router, ':', 16), ...bytesOf(this.#options.mac, ':', 16), 8, 0]);
    view.setUint16(14, 0x4500);
    view.setUint16(16, frame.length - 14);
    view.setUint16(18, this.#nextId++ & 0xffff);
    view.setUint16(20, 0x4000);
    frame.set([64, PROTOCOLS[protocol]], 22);
    frame.set([...bytesOf(this.#options.ip, '.', 10), ...bytesOf(to, '.', 10)], 26);
    view.setUint16(24, ~onesSum(frame, 14, 34) & 0xffff);
    view.setUint16(34, sourcePort);
    view.setUint16(36, destinationPort);
    if (protocol === 'tcp') view.setUint16(46, 0x5018);
    else view.setUint16(38, 8 + payload.length);
    frame.set(payload, 34 + header);
    const l4 = l4Of(frame);
    if (l4) view.setUint16(l4.start + l4.offset, l4.pseudo);
    this.transmit({ frame, csum: 'partial' });
  }

  /** Takes a packet. Only one of which nothing is known is looked at; the others' senders are trusted. */
  receive({ frame, csum }: Skb): void {
    const l4 = l4Of(frame);
    if (!l4) return;
    const protocol = l4.protocol === PROTOCOLS.tcp ? 'tcp' : 'udp';
    if (csum === 'none' && !isGood(frame)) {
      this.inCsumErrors[protocol]++;
      return;
    }
    const view = new DataView(frame.buffer, frame.byteOffset);
    this.received.push({
      protocol,
      source: frame.subarray(26, 30).join('.'),
      sourcePort: view.getUint16(l4.start),
      destinationPort: view.getUint16(l4.start + 2),
      payload: frame.slice(l4.start + (protocol === 'tcp' ? 20 : 8), l4.end),
    });
  }
}

function bytesOf(text: string, separator: string, radix: number): number[] {
  return text.split(separator).map((part) => Number.parseInt(part, radix));
}
