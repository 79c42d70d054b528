/**
 * A guest's network card, netfront in the guest and netback in dom0, with their keys in xenstore and the rings between
 * them. The behaviours are those of Linux' `xen-netfront` and `xen-netback`.
 */

import {
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETRXF_more_data,
  NETTXF_csum_blank,
  NETTXF_data_validated,
  NETTXF_more_data,
  netif_rx_response,
  netif_tx_request,
} from '../../abi/netif.js';
import { State } from '../xenstore/state.js';
import type { ModelXenstore } from '../xenstore/store.js';
import { find } from '../xenstore/tree.js';
import { PAGE, SlotRing } from './ring.js';
import { type CsumState, complete, l4Of, type Skb } from './skb.js';

/** What one end has told by xenstore that it can take, and whether its own interface leaves checksums to the card. */
export interface VifEndOptions {
  /** `feature-no-csum-offload`: this end cannot take partial checksums. */
  readonly noCsumOffload?: boolean;
  /** `ethtool -K ... tx`: whether this end leaves checksums to the card. Default true. */
  readonly tx?: boolean;
}

export interface ModelVifOptions {
  readonly domid: number;
  /** Default 0. */
  readonly handle?: number;
  readonly frontend?: VifEndOptions;
  readonly backend?: VifEndOptions;
}

export interface VifCounters {
  /** Frames that came out at the other end. */
  frames: number;
  /** Of them, those that were marked csum_blank on the ring. */
  blank: number;
  /** Marked so and of a protocol whose checksum nobody can complete: dropped, -EPROTO. */
  protocolErrors: number;
  /** Dropped because the ring was full. */
  full: number;
}

const zeros = (): VifCounters => ({ frames: 0, blank: 0, protocolErrors: 0, full: 0 });

export class ModelVif {
  readonly name: string;
  readonly frontendPath: string;
  readonly backendPath: string;
  /** The switches of both ends' interfaces. They may be changed at any time. */
  frontendTx: boolean;
  backendTx: boolean;
  /** Frames from the guest. */
  readonly tx: VifCounters = zeros();
  /** Frames to the guest. */
  readonly rx: VifCounters = zeros();
  /** Where frames come out. */
  onBackend: (skb: Skb) => void = () => {};
  onFrontend: (skb: Skb) => void = () => {};
  readonly #store: ModelXenstore;
  readonly #txRing = new SlotRing(netif_tx_request);
  readonly #rxRing = new SlotRing(netif_rx_response);
  #guestMayLeave = false;
  #dom0MayLeave = false;

  constructor(store: ModelXenstore, { domid, handle = 0, frontend = {}, backend = {} }: ModelVifOptions) {
    this.#store = store;
    this.name = `vif${domid}.${handle}`;
    this.frontendPath = `/local/domain/${domid}/device/vif/${handle}`;
    this.backendPath = `/local/domain/0/backend/vif/${domid}/${handle}`;
    this.frontendTx = frontend.tx ?? true;
    this.backendTx = backend.tx ?? true;
    store.introduce(domid);
    const keys: Record<string, string> = {
      [`${this.frontendPath}/backend`]: this.backendPath,
      [`${this.frontendPath}/backend-id`]: '0',
      [`${this.frontendPath}/feature-sg`]: '1',
      [`${this.frontendPath}/feature-gso-tcpv4`]: '1',
      [`${this.frontendPath}/feature-gso-tcpv6`]: '1',
      [`${this.frontendPath}/feature-ipv6-csum-offload`]: '1',
      [`${this.frontendPath}/state`]: '4',
      [`${this.backendPath}/frontend`]: this.frontendPath,
      [`${this.backendPath}/frontend-id`]: String(domid),
      [`${this.backendPath}/feature-sg`]: '1',
      [`${this.backendPath}/feature-gso-tcpv4`]: '1',
      [`${this.backendPath}/feature-gso-tcpv6`]: '1',
      [`${this.backendPath}/feature-ipv6-csum-offload`]: '1',
      [`${this.backendPath}/state`]: '4',
    };
    if (frontend.noCsumOffload) keys[`${this.frontendPath}/feature-no-csum-offload`] = '1';
    if (backend.noCsumOffload) keys[`${this.backendPath}/feature-no-csum-offload`] = '1';
    const state = new State(store.root, store.quota);
    for (const [path, value] of Object.entries(keys)) state.write(path, Buffer.from(value), 0);
    store.replaceRoot(state.root, state.changes);
    this.connect();
  }

  /** Both ends look at each other's keys. They do so only here: a key that changes later changes nothing until then. */
  connect(): void {
    this.#guestMayLeave = this.#key(`${this.backendPath}/feature-no-csum-offload`) !== '1';
    this.#dom0MayLeave = this.#key(`${this.frontendPath}/feature-no-csum-offload`) !== '1';
  }

  /** Whether an end's interface has checksum offload now: its switch, as far as the other end allows it. */
  get guestLeaves(): boolean {
    return this.frontendTx && this.#guestMayLeave;
  }

  get dom0Leaves(): boolean {
    return this.backendTx && this.#dom0MayLeave;
  }

  /** The guest sends. What its interface may not leave is completed first. */
  sendFromGuest(skb: Skb): void {
    const { frame, csum } = prepared(skb, this.guestLeaves);
    const flags =
      csum === 'partial'
        ? NETTXF_csum_blank | NETTXF_data_validated
        : csum === 'unnecessary'
          ? NETTXF_data_validated
          : 0;
    const pages = Math.ceil(frame.length / PAGE);
    if (this.#txRing.free < pages) {
      this.tx.full++;
      return;
    }
    for (let i = 0; i < pages; i++) {
      const part = frame.subarray(i * PAGE, (i + 1) * PAGE);
      const more = i < pages - 1 ? NETTXF_more_data : 0;
      const size = i === 0 ? frame.length : part.length;
      this.#txRing.put(page(part), { gref: i, offset: 0, flags: (i === 0 ? flags : 0) | more, id: i, size });
    }
    this.#backendTakes();
  }

  /** dom0 sends to the guest. */
  sendToGuest(skb: Skb): void {
    const { frame, csum } = prepared(skb, this.dom0Leaves);
    const flags =
      csum === 'partial'
        ? NETRXF_csum_blank | NETRXF_data_validated
        : csum === 'unnecessary'
          ? NETRXF_data_validated
          : 0;
    const pages = Math.ceil(frame.length / PAGE);
    if (this.#rxRing.free < pages) {
      this.rx.full++;
      return;
    }
    for (let i = 0; i < pages; i++) {
      const part = frame.subarray(i * PAGE, (i + 1) * PAGE);
      const more = i < pages - 1 ? NETRXF_more_data : 0;
      this.#rxRing.put(page(part), { id: i, offset: 0, flags: (i === 0 ? flags : 0) | more, status: part.length });
    }
    this.#frontendTakes();
  }

  #backendTakes(): void {
    for (let slot = this.#txRing.take(); slot; slot = this.#txRing.take()) {
      const flags = slot.field('flags');
      const size = slot.field('size');
      const parts = [slot.page.subarray(0, Math.min(size, PAGE))];
      let rest = size - PAGE;
      for (let more = flags & NETTXF_more_data; more; rest -= PAGE) {
        const next = this.#txRing.take();
        if (!next) break;
        parts.push(next.page.subarray(0, Math.min(rest, PAGE)));
        more = next.field('flags') & NETTXF_more_data;
      }
      this.#deliver(parts, stateOf(flags, NETTXF_csum_blank, NETTXF_data_validated), this.tx, this.onBackend);
    }
  }

  #frontendTakes(): void {
    for (let slot = this.#rxRing.take(); slot; slot = this.#rxRing.take()) {
      const flags = slot.field('flags');
      const parts = [slot.page.subarray(0, slot.field('status'))];
      for (let more = flags & NETRXF_more_data; more; ) {
        const next = this.#rxRing.take();
        if (!next) break;
        parts.push(next.page.subarray(0, next.field('status')));
        more = next.field('flags') & NETRXF_more_data;
      }
      this.#deliver(parts, stateOf(flags, NETRXF_csum_blank, NETRXF_data_validated), this.rx, this.onFrontend);
    }
  }

  /** `skb_checksum_setup`: the ring says only that a checksum is blank; where it is, the receiver finds out. */
  #deliver(parts: readonly Uint8Array[], csum: CsumState, counters: VifCounters, to: (skb: Skb) => void): void {
    const frame = new Uint8Array(Buffer.concat(parts));
    if (csum === 'partial') {
      counters.blank++;
      if (!l4Of(frame)) {
        counters.protocolErrors++;
        return;
      }
    }
    counters.frames++;
    to({ frame, csum });
  }

  #key(path: string): string | undefined {
    const node = find(this.#store.root, path);
    return node && Buffer.from(node.value).toString();
  }
}

function stateOf(flags: number, blank: number, validated: number): CsumState {
  return flags & blank ? 'partial' : flags & validated ? 'unnecessary' : 'none';
}

/** What an interface does before it hands a packet to its card. */
function prepared(skb: Skb, mayLeave: boolean): Skb {
  if (skb.csum !== 'partial' || mayLeave) return skb;
  const frame = skb.frame.slice();
  return complete(frame) ? { frame, csum: 'unnecessary' } : skb;
}

function page(part: Uint8Array): Uint8Array {
  const whole = new Uint8Array(PAGE);
  whole.set(part);
  return whole;
}
