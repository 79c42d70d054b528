/** A software Xen with V4V and a driver in each of its guests. */

import { once } from 'node:events';
import { ModelXen } from '#dist/model/index.js';
import { V4vDriver } from '#dist/v4v/index.js';

export interface Machine extends Disposable {
  readonly xen: ModelXen;
  readonly drivers: readonly [V4vDriver, V4vDriver];
}

/** Two guests with 1 MiB for their drivers. */
export function twoDomains(pages = 256): Machine {
  const xen = new ModelXen({ v4v: true });
  const driver = (): V4vDriver =>
    new V4vDriver(xen.v4vPort(xen.createGuest({ memoryPages: 1024 }).domid, { gfn: 16, pages }));
  const drivers = [driver(), driver()] as const;
  return {
    xen,
    drivers,
    [Symbol.dispose]() {
      for (const one of drivers) one.close();
    },
  };
}

/** The arguments of the next event. */
export async function next(emitter: NodeJS.EventEmitter, event: string): Promise<unknown[]> {
  return await once(emitter, event, { signal: AbortSignal.timeout(10_000) });
}

/** Turns of the event loop, enough for whatever was going to happen. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}
