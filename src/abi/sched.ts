/** `sched.h`: commands of the sched_op hypercall. */

import { struct } from './layout.js';

export const SCHEDOP_remote_shutdown = 4;

export const SHUTDOWN_poweroff = 0;
export const SHUTDOWN_reboot = 1;
export const SHUTDOWN_suspend = 2;
export const SHUTDOWN_crash = 3;
export const SHUTDOWN_watchdog = 4;
export const SHUTDOWN_soft_reset = 5;

export const sched_remote_shutdown = struct('sched_remote_shutdown', 'sched.h', 8, {
  domain_id: [0, 2],
  reason: [4, 4],
});
