/** What V4V keeps for a domain: its rings, its limits, and the event channel that it is signalled on. */

import { V4V_DOMID_ANY, V4V_MAX_NOTIFY, V4V_MAX_RINGS, V4V_MAX_SEND_SIZE, V4V_MAX_SENDV } from '../../abi/v4v.js';
import type { Domain } from '../domain.js';
import { V4vHang } from './as_posted.js';
import type { V4vRing } from './ring.js';

/** What one domain may do; more is EACCES. */
export interface V4vLimits {
  /** Rings that it may have at a time. */
  readonly maxRings: number;
  /** Pieces of one sendv. */
  readonly maxSendv: number;
  /** Entries of one notify. */
  readonly maxNotify: number;
  /** Bytes of one sendv. */
  readonly maxSendSize: number;
}

export const DEFAULT_LIMITS: V4vLimits = {
  maxRings: V4V_MAX_RINGS,
  maxSendv: V4V_MAX_SENDV,
  maxNotify: V4V_MAX_NOTIFY,
  maxSendSize: V4V_MAX_SEND_SIZE,
};

export class V4vDomain {
  readonly domain: Domain;
  /** The domain's port that signals are sent from; its kernel binds the other end. */
  readonly port: number;
  limits: V4vLimits;
  /** Drivers in the domain's kernel. */
  readonly ports = new Set<{ close(): void }>();
  readonly #rings = new Map<number, V4vRing>();
  /** Read locks on the rings that were taken and, as posted, never released. */
  lostReadLocks = 0;

  constructor(domain: Domain, port: number, limits: V4vLimits) {
    this.domain = domain;
    this.port = port;
    this.limits = limits;
  }

  get domid(): number {
    return this.domain.domid;
  }

  get ringCount(): number {
    return this.#rings.size;
  }

  get rings(): IterableIterator<V4vRing> {
    return this.#rings.values();
  }

  ring(port: number, partner: number): V4vRing | undefined {
    return this.#rings.get(keyOf(port, partner));
  }

  /** The ring that a message of `sender` to `port` arrives in: one for this sender alone comes before one for all. */
  ringFor(port: number, sender: number): V4vRing | undefined {
    return this.ring(port, sender) ?? this.ring(port, V4V_DOMID_ANY);
  }

  add(ring: V4vRing): void {
    this.#lockForWriting();
    this.#rings.set(keyOf(ring.port, ring.partner), ring);
  }

  remove(ring: V4vRing): void {
    this.#lockForWriting();
    this.#rings.delete(keyOf(ring.port, ring.partner));
    ring.release();
  }

  #lockForWriting(): void {
    if (this.lostReadLocks > 0) {
      throw new V4vHang(`domain ${this.domid} waits for ever for the readers of its rings, who never let go of them`);
    }
  }
}

function keyOf(port: number, partner: number): number {
  return port * 0x1_0000 + partner;
}
