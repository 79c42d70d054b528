/** A hypervisor with somebody looking on. */

import type { ForeignMapping, Hypervisor } from '../hypervisor/port.js';

/** Hears of what is asked of a hypervisor. */
export interface Observer {
  /** Before a hypercall. @returns what to tell its result and its time in microseconds */
  hypercall(op: number, args: readonly number[]): (rc: number, micros: number) => void;
  /** After a mapping was made; `rc` is 0, or the negative errno that kept it from being made. */
  mapped?(domid: number, gfns: readonly number[], prot: number, rc: number, micros: number): void;
  /** Before the handle is restricted to a domain. */
  restricted?(domid: number): void;
}

type Words = readonly [a1?: number, a2?: number, a3?: number, a4?: number, a5?: number];

/**
 * Puts an observer before a hypervisor. A proxy and no class: whatever else the hypervisor has, now or later, goes
 * straight to it.
 */
export function decorate(inner: Hypervisor, observer: Observer): Hypervisor {
  const clock = (): number => performance.now() * 1000;
  const watched: Partial<Hypervisor> = {
    hypercall(op: number, ...args: Words) {
      const told = observer.hypercall(op, words(args));
      const start = clock();
      const rc = inner.hypercall(op, ...args);
      told(rc, clock() - start);
      return rc;
    },
    hypercall64(op: number, ...args: Words) {
      const told = observer.hypercall(op, words(args));
      const start = clock();
      const rc = inner.hypercall64(op, ...args);
      told(Number(rc), clock() - start);
      return rc;
    },
    async hypercallAsync(op: number, ...args: Words) {
      const told = observer.hypercall(op, words(args));
      const start = clock();
      const rc = await inner.hypercallAsync(op, ...args);
      told(rc, clock() - start);
      return rc;
    },
    mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping {
      const start = clock();
      try {
        const mapping = inner.mapForeign(domid, gfns, prot);
        observer.mapped?.(domid, gfns, prot, 0, clock() - start);
        return mapping;
      } catch (error) {
        observer.mapped?.(domid, gfns, prot, errnoOf(error), clock() - start);
        throw error;
      }
    },
    restrict(domid: number) {
      observer.restricted?.(domid);
      inner.restrict(domid);
    },
  };
  return new Proxy(inner, {
    get(target, key) {
      if (Object.hasOwn(watched, key)) return watched[key as keyof Hypervisor];
      const member: unknown = Reflect.get(target, key, target);
      // methods want the object that their private members are in
      return typeof member === 'function' ? member.bind(target) : member;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
}

function words(args: Words): number[] {
  return args.map((word) => word ?? 0);
}

function errnoOf(error: unknown): number {
  const errno: unknown = Object(error)['errno'];
  return typeof errno === 'number' && errno < 0 ? errno : -1;
}
