/** Which inner packets belong into a tunnel. */

import { inNetwork, type Network, parseNetwork } from '../address.js';
import type { InnerPacket } from './inner.js';
import type { EspSelectors } from './options.js';

export class Selectors {
  readonly #local: readonly Network[];
  readonly #remote: readonly Network[];
  readonly #any: boolean;

  /** @throws TypeError that names the network */
  constructor({ local = [], remote = [] }: EspSelectors = {}) {
    this.#local = local.map(parseNetwork);
    this.#remote = remote.map(parseNetwork);
    this.#any = local.length === 0 && remote.length === 0;
  }

  /** Whether the packet goes from this end's networks to the other's. */
  outbound(packet: Uint8Array, { addresses, addressLength }: InnerPacket): boolean {
    if (this.#any) return true;
    return (
      inAny(this.#local, packet, addresses, addressLength) &&
      inAny(this.#remote, packet, addresses + addressLength, addressLength)
    );
  }

  /** Whether the packet goes from the other end's networks to this one's. */
  inbound(packet: Uint8Array, { addresses, addressLength }: InnerPacket): boolean {
    if (this.#any) return true;
    return (
      inAny(this.#remote, packet, addresses, addressLength) &&
      inAny(this.#local, packet, addresses + addressLength, addressLength)
    );
  }
}

function inAny(networks: readonly Network[], bytes: Uint8Array, at: number, length: number): boolean {
  if (networks.length === 0) return true;
  for (const network of networks) if (inNetwork(network, bytes, at, length)) return true;
  return false;
}
