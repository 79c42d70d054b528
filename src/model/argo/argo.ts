/**
 * Argo: messages between domains that Xen copies into rings which their receivers have registered (`common/argo.c`).
 * This file knows which rings there are; `ring.ts` what is in one; `op.ts` the hypercall.
 */

import { XEN_ARGO_DOMID_ANY } from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import { VIRQ_ARGO } from '../../abi/xen.js';
import type { Domain } from '../domain.js';
import { ArgoRing, type ArgoRingState } from './ring.js';

/**
 * Whether Xen has Argo: `'not-compiled-in'` as distributions build it; `false`: not on the command line; true: `argo=1`;
 * `'mac-permissive'`: `argo=1,mac-permissive=1`, without which rings for any sender are refused; `'no-domain-state'`: on,
 * but the security policy kept it from every domain when it was made; `'denied'`: on, but the policy refuses each call.
 */
export type ArgoMode = boolean | 'mac-permissive' | 'not-compiled-in' | 'no-domain-state' | 'denied';

export const ARGO_MODES: readonly ArgoMode[] = [
  true,
  false,
  'mac-permissive',
  'not-compiled-in',
  'no-domain-state',
  'denied',
];

/** What the security module answers (`xsm_argo_*`): 0, or a negative errno. Without FLASK all is allowed. */
export interface ArgoPolicy {
  enable(domain: Domain): number;
  registerSingleSource(domain: Domain, partner: Domain): number;
  registerAnySource(domain: Domain): number;
  send(from: Domain, to: Domain): number;
}

/** What a domain has registered. */
export interface ArgoDomain {
  readonly rings: Map<number, ArgoRing>;
  /** As Xen counts: every successful registration of a ring anew counts again, and its removal only once. */
  ringCount: number;
}

/** A saved {@link Argo}: plain JSON. */
export type ArgoState = readonly {
  readonly domid: number;
  readonly ringCount: number;
  readonly rings: readonly ArgoRingState[];
}[];

const ALLOW_ALL: ArgoPolicy = {
  enable: () => 0,
  registerSingleSource: () => 0,
  registerAnySource: () => 0,
  send: () => 0,
};

/** Key of a ring among its owner's. */
function keyOf(aport: number, partner: number): number {
  return aport * 0x1_0000 + partner;
}

export class Argo {
  readonly mode: ArgoMode;
  /** May be replaced, for tests of a security policy. Functions are no state: a snapshot does not hold it. */
  policy: ArgoPolicy;
  readonly domains: ReadonlyMap<number, Domain>;
  readonly #states = new Map<Domain, ArgoDomain>();

  constructor(mode: ArgoMode, domains: ReadonlyMap<number, Domain>) {
    this.mode = mode;
    this.policy = mode === 'denied' ? { ...ALLOW_ALL, enable: () => -errno.EACCES } : ALLOW_ALL;
    this.domains = domains;
  }

  /** `argo=1` on the command line of a Xen that has it. */
  get on(): boolean {
    return this.mode !== false && this.mode !== 'not-compiled-in';
  }

  /** Argo's part of a domain; null: it has none (a zombie, say). */
  of(domain: Domain): ArgoDomain | null {
    if (!this.on || this.mode === 'no-domain-state' || domain.dying) return null;
    let state = this.#states.get(domain);
    if (!state) {
      state = { rings: new Map(), ringCount: 0 };
      this.#states.set(domain, state);
    }
    return state;
  }

  /** The ring of exactly this port and partner. */
  ring(owner: ArgoDomain, aport: number, partner: number): ArgoRing | null {
    return owner.rings.get(keyOf(aport, partner)) ?? null;
  }

  /** The ring that a message from `sender` to this port goes to: the one for that sender alone, else the one for any. */
  match(owner: ArgoDomain, aport: number, sender: number): ArgoRing | null {
    return this.ring(owner, aport, sender) ?? this.ring(owner, aport, XEN_ARGO_DOMID_ANY);
  }

  /** Tells a domain that a message is there for it, or room for one of its own. */
  signal(domain: Domain): void {
    domain.events.raiseVirq(VIRQ_ARGO);
  }

  add(owner: ArgoDomain, ring: ArgoRing): void {
    owner.rings.set(keyOf(ring.aport, ring.partner), ring);
  }

  /** Takes a ring away, and the waits for it without a signal. The count is the caller's affair. */
  remove(owner: ArgoDomain, ring: ArgoRing): void {
    owner.rings.delete(keyOf(ring.aport, ring.partner));
    ring.detach();
  }

  /**
   * A domain dies or is reset: its rings go, so do those of others that it alone could send to, and its waits for room.
   */
  teardown(domain: Domain): void {
    const own = this.#states.get(domain);
    if (own) for (const ring of own.rings.values()) this.remove(own, ring);
    this.#states.delete(domain);
    for (const state of this.#states.values()) {
      for (const ring of state.rings.values()) {
        ring.waiters.delete(domain.domid);
        if (ring.partner !== domain.domid) continue;
        this.remove(state, ring);
        state.ringCount--;
      }
    }
  }

  save(): ArgoState {
    return [...this.#states].map(([{ domid }, { rings, ringCount }]) => ({
      domid,
      ringCount,
      rings: [...rings.values()].map((ring) => ring.save()),
    }));
  }

  restore(saved: ArgoState): void {
    for (const { domid, ringCount, rings } of saved) {
      const domain = this.domains.get(domid);
      const state = domain ? this.of(domain) : null;
      if (!domain || !state) continue;
      state.ringCount = ringCount;
      for (const ring of rings) this.add(state, ArgoRing.restore(domain, ring));
    }
  }
}
