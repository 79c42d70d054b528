/** A guest, its listener and the end of both, for the tests of events. */

import { HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import * as xc from '#dist/index.js';
import type { MonitorEnd } from '#dist/vmi/monitor/domain_end.js';
import type { MonitorEvent } from '#dist/vmi/monitor/event.js';
import { type MonitorOptions, MonitorSession } from '#dist/vmi/monitor/session.js';
import { createHvm, store } from './hvm.js';
import type { Target } from './target.js';
import { startWatched, type WatchedGuest } from './watched_guest.js';

/** The frame that a toolstack sets aside for the ring. */
export const RING_GFN = 0xf0;
export const at = (gfn: number): number => gfn * 4096;

/** Frames with known contents: two with a number, one with code that returns 0x12345678. */
export const A = 0x40;
export const B = 0x41;
export const CODE = 0x42;

/** A started guest that can be watched. */
export function watchable(target: Target, altp2mMode = 0): WatchedGuest {
  const { xch } = target;
  const domid = createHvm(xch, { altp2mMode });
  xc.xc_hvm_param_set(xch, domid, HVM_PARAM_MONITOR_RING_PFN, RING_GFN);
  for (const [gfn, value] of [
    [A, 0xaaaa_0001],
    [B, 0xbbbb_0002],
  ] as const) {
    store(xch, domid, gfn, new Uint8Array(new Uint32Array([value]).buffer));
  }
  store(xch, domid, CODE, new Uint8Array([0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3]));
  return startWatched(target, domid);
}

/** Takes a guest away, whatever state it is in. */
export function endGuest(xch: xc.XcInterface, guest: WatchedGuest): void {
  guest[Symbol.dispose]();
  try {
    xc.xc_domain_destroy(xch, guest.domid);
  } catch (error) {
    if (!(error instanceof xc.XenError) || error.code !== 'ESRCH') throw error;
  }
}

export interface Watch {
  readonly guest: WatchedGuest;
  readonly session: MonitorSession;
  /** What has been reported so far. */
  readonly seen: readonly Told[];
  /** Why the loop ended. */
  readonly end: Promise<MonitorEnd>;
}

/** An event as JSON has it, and when it came. */
export type Told = Readonly<Record<string, unknown>>;

export interface WatchOptions {
  readonly sources: MonitorOptions;
  /** Answers; without it every event is let go on. */
  readonly answer?: (event: MonitorEvent, count: number) => void;
  readonly altp2mMode?: number;
}

/** Has a guest watched while `body` runs. */
export async function watch(
  target: Target,
  { sources, answer, altp2mMode = 0 }: WatchOptions,
  body: (watch: Watch) => Promise<void>,
): Promise<void> {
  const guest = watchable(target, altp2mMode);
  try {
    using session = MonitorSession.open(target.xch, guest.domid, sources);
    const seen: Told[] = [];
    const end = session.serve((event) => {
      seen.push(JSON.parse(JSON.stringify(event)));
      answer?.(event, seen.length);
    });
    end.catch(() => {}); // for those who look at it
    await body({ guest, session, seen, end });
  } finally {
    endGuest(target.xch, guest);
  }
}
