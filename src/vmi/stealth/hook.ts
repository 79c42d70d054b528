/** What is hidden in a guest, and where. */

import { checkCount, checkObject } from '../../hypervisor/check.js';
import { type Address, toBigint } from '../address.js';
import type { AddressSpace } from '../address_space.js';
import { MemoryFault } from '../fault.js';
import type { MonitorEvent } from '../monitor/index.js';
import type { HookedPage, Overlay } from './hooked_page.js';

export type BreakpointEvent = Extract<MonitorEvent, { reason: 'software_breakpoint' }>;

/**
 * Is told that a vCPU has come to the hook. The instruction there has not been done: it is done, invisibly, once the
 * handler returns (or its promise settles), unless the handler has answered the event itself.
 */
export type HookHandler = (event: BreakpointEvent, hook: StealthHook) => void | Promise<void>;

/** Where a hook goes: a guest-physical address, or a virtual one in an address space. */
export type HookPlace = { readonly physical: number } | { readonly space: AddressSpace; readonly address: Address };

/** Something hidden, made by {@link StealthHooks.add} or {@link StealthHooks.patch}. */
export interface StealthHook extends Disposable {
  /** Guest-physical address. */
  readonly physical: number;
  /** What is executed there. */
  readonly bytes: Uint8Array;
  /** How often vCPUs came to it; of a patch nobody knows. */
  readonly hits: number;
  readonly removed: boolean;
  /** Takes it out. Twice is harmless. */
  remove(): void;
}

/** @internal */
export interface Hook extends StealthHook, Overlay {
  readonly handler: HookHandler | null;
  readonly page: HookedPage;
  hits: number;
  removed: boolean;
}

/** @throws MemoryFault, RangeError */
export function locate(place: HookPlace): number {
  checkObject(place, 'place');
  if ('physical' in place) {
    checkCount(place.physical, 'place.physical');
    return place.physical;
  }
  const physical = place.space.translate(place.address);
  if (physical >= 0) return physical;
  place.space.read(place.address, 1); // says why
  throw new MemoryFault(toBigint(place.address), 'no-memory');
}
