/** What a tunnel is made of. */

import type { EspKeys } from './algorithm.js';
import type { EspCrypto } from './cipher.js';
import type { OuterOptions } from './outer.js';

/** What both directions have: a security association, in RFC 4301's words. */
interface EspSa {
  /** 256 to 2^32 - 1; it tells the receiver which keys. */
  readonly spi: number;
  readonly keys: EspKeys;
  /** Extended sequence numbers: 64 bits, of which 32 are sent. Both ends must agree. */
  readonly esn?: boolean;
}

export interface EspOutbound extends EspSa {
  /** The sequence number that was last used with these keys; default 0. */
  readonly sequence?: bigint;
  /**
   * With AES-GCM: 8 bytes that are XORed with the sequence number to give the IV. Default: random ones, so that a
   * tunnel that is made again with the same keys meets no nonce of the time before. With bytes of one's own (for test
   * vectors) it is the caller who keeps `sequence` from going back.
   */
  readonly ivMask?: Uint8Array;
}

export interface EspInbound extends EspSa {
  /** How many numbers back a packet may come late: 32 to 4096, default 64; 0: replayed packets are not refused. */
  readonly replayWindow?: number;
  /** The highest sequence number that came already; default 0. */
  readonly sequence?: bigint;
}

/** The networks at the two ends, such as `10.0.1.0/24`. Empty or missing: any. */
export interface EspSelectors {
  readonly local?: readonly string[];
  readonly remote?: readonly string[];
}

/**
 * What ESP did to blank checksums on Xen in July 2005:
 * - `2005-07`: dom0 built the ESP packet and dropped it with ENOMEM, for it took it for the one with the blank checksum.
 * - `2005-07-let-through`: with ESP let through there, the other end found the inner packet's checksum wrong.
 */
export type EspHistoric = '2005-07' | '2005-07-let-through';

export interface EspTunnelOptions extends OuterOptions {
  /** Missing: nothing can be encapsulated. */
  readonly outbound?: EspOutbound;
  /** Missing: nothing can be decapsulated. */
  readonly inbound?: EspInbound;
  /** Of the path to the other end: the longest outer packet that it takes unfragmented. Default 1500. */
  readonly mtu?: number;
  readonly selectors?: EspSelectors;
  /** The interface or file that packets come from, for errors. */
  readonly device?: string;
  /** Default: the addon's where it can, else node:crypto's. */
  readonly crypto?: EspCrypto;
  /** To show what went wrong then. */
  readonly historic?: EspHistoric;
}
