/** Whether a domain can still cause events, and what became of it if not. */

import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from '../../abi/sched.js';
import { XenError } from '../../hypervisor/error.js';
import { xc_domain_getinfo_single } from '../../xc/domain_info.js';
import type { XcInterface } from '../../xc/interface.js';

const SHUTDOWNS: Readonly<Record<number, string>> = {
  [SHUTDOWN_poweroff]: 'poweroff',
  [SHUTDOWN_reboot]: 'reboot',
  [SHUTDOWN_suspend]: 'suspend',
  [SHUTDOWN_crash]: 'crash',
  [SHUTDOWN_watchdog]: 'watchdog',
  [SHUTDOWN_soft_reset]: 'soft_reset',
};

/** Why a loop came to its end. */
export type MonitorEnd =
  /** The agent closed the session, or left the loop. */
  | { readonly cause: 'closed' }
  /** The signal of the options was aborted. */
  | { readonly cause: 'aborted'; readonly reason: unknown }
  /** The domain has shut down: `'poweroff'`, `'reboot'`, `'suspend'`, `'crash'`, `'watchdog'`, `'soft_reset'` or a number. */
  | { readonly cause: 'shutdown'; readonly reason: string }
  /** The domain is being torn down, or is gone. */
  | { readonly cause: 'gone' }
  /** A handler threw, or the ring cannot be used any more. The loop throws this error. */
  | { readonly cause: 'failed'; readonly error: unknown };

/** One sentence for people. */
export function describeEnd(end: MonitorEnd, domid: number): string {
  switch (end.cause) {
    case 'closed':
      return `monitoring of domain ${domid} was ended`;
    case 'aborted':
      return `monitoring of domain ${domid} was aborted`;
    case 'shutdown':
      return `domain ${domid} has shut down: ${end.reason}`;
    case 'gone':
      return `domain ${domid} is gone`;
    case 'failed':
      return `monitoring of domain ${domid} failed: ${end.error instanceof Error ? end.error.message : String(end.error)}`;
  }
}

/** What became of the domain; null while it is alive. */
export function domainEnd(xch: XcInterface, domid: number): MonitorEnd | null {
  try {
    const info = xc_domain_getinfo_single(xch, domid);
    if (info.dying) return { cause: 'gone' };
    const code = info.shutdown_reason;
    return code === null ? null : { cause: 'shutdown', reason: SHUTDOWNS[code] ?? String(code) };
  } catch (error) {
    if (error instanceof XenError && error.code === 'ESRCH') return { cause: 'gone' };
    throw error;
  }
}
