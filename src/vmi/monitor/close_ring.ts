/** The end of a ring: nobody is left waiting, and Xen has let go of it. */

import { XenError } from '../../hypervisor/error.js';
import type { ForeignMapping } from '../../hypervisor/port.js';
import { xc_domain_pause, xc_domain_unpause } from '../../xc/domain.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_monitor_disable } from '../../xc/monitor.js';
import type { MonitorLoop } from './loop.js';
import { letGo, sleep, vcpusOf } from './recover.js';
import { MonitorRingError } from './ring.js';

const ATTEMPTS = 20;
const PAUSE_MS = 2;

/**
 * Answers what is in the ring, and has Xen let go of it with the domain paused, so that nothing more comes. vCPUs that
 * were answered get some time first: they have to run to do what was held up, and those that queue for room in the ring
 * have to run to put their events in.
 *
 * @param loop null: nothing was ever taken from the ring
 * @param failed the ring's counters make no sense, so the vCPUs are let go by another
 */
export function closeRing(
  xch: XcInterface,
  domid: number,
  mapping: ForeignMapping,
  loop: MonitorLoop | null,
  failed: boolean,
): void {
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      if (disabledNow(xch, domid, loop, attempt === ATTEMPTS)) break;
      sleep(PAUSE_MS);
    }
    mapping.close(); // the frame is free then, and there is room for another
    if (failed) letGo(xch, domid, vcpusOf(xch, domid));
  } catch (error) {
    // a domain that is gone has nobody waiting
    if (!(error instanceof XenError)) throw error;
  } finally {
    mapping.close();
  }
}

/** False: there were more events, or vCPUs queue for room. */
function disabledNow(xch: XcInterface, domid: number, loop: MonitorLoop | null, last: boolean): boolean {
  if (finish(loop) > 0 && !last) return false;
  xc_domain_pause(xch, domid);
  try {
    if (finish(loop) > 0 && !last) return false;
    xc_monitor_disable(xch, domid);
    return true;
  } catch (error) {
    if (error instanceof XenError && error.code === 'EBUSY') return false;
    throw error;
  } finally {
    xc_domain_unpause(xch, domid);
  }
}

/** How many events were answered. */
function finish(loop: MonitorLoop | null): number {
  try {
    return loop?.finish() ?? 0;
  } catch (error) {
    if (error instanceof MonitorRingError) return 0;
    throw error;
  }
}
