/** `event_channel.h`: commands of the event_channel_op hypercall. */

import { struct } from './layout.js';

export const EVTCHNOP_bind_interdomain = 0;
export const EVTCHNOP_bind_virq = 1;
export const EVTCHNOP_close = 3;
export const EVTCHNOP_send = 4;
export const EVTCHNOP_status = 5;
export const EVTCHNOP_alloc_unbound = 6;
export const EVTCHNOP_bind_ipi = 7;
export const EVTCHNOP_bind_vcpu = 8;
export const EVTCHNOP_unmask = 9;
export const EVTCHNOP_reset = 10;

/** `evtchn_status.status`. */
export const EVTCHNSTAT_closed = 0;
/** Waits for another domain to connect. */
export const EVTCHNSTAT_unbound = 1;
export const EVTCHNSTAT_interdomain = 2;
/** Bound to a physical interrupt. */
export const EVTCHNSTAT_pirq = 3;
export const EVTCHNSTAT_virq = 4;
/** Between the virtual processors of one domain. */
export const EVTCHNSTAT_ipi = 5;

const H = 'event_channel.h';

export const evtchn_alloc_unbound = struct('evtchn_alloc_unbound', H, 8, {
  dom: [0, 2],
  remote_dom: [2, 2],
  port: [4, 4],
});
export const evtchn_bind_interdomain = struct('evtchn_bind_interdomain', H, 12, {
  remote_dom: [0, 2],
  remote_port: [4, 4],
  local_port: [8, 4],
});
export const evtchn_bind_virq = struct('evtchn_bind_virq', H, 12, { virq: [0, 4], vcpu: [4, 4], port: [8, 4] });
export const evtchn_bind_ipi = struct('evtchn_bind_ipi', H, 8, { vcpu: [0, 4], port: [4, 4] });
export const evtchn_bind_vcpu = struct('evtchn_bind_vcpu', H, 8, { port: [0, 4], vcpu: [4, 4] });
export const evtchn_close = struct('evtchn_close', H, 4, { port: [0, 4] });
export const evtchn_send = struct('evtchn_send', H, 4, { port: [0, 4] });
export const evtchn_unmask = struct('evtchn_unmask', H, 4, { port: [0, 4] });
export const evtchn_reset = struct('evtchn_reset', H, 2, { dom: [0, 2] });
export const evtchn_status = struct('evtchn_status', H, 24, {
  dom: [0, 2],
  port: [4, 4],
  status: [8, 4],
  vcpu: [12, 4],
  'u.unbound.dom': [16, 2],
  'u.interdomain.dom': [16, 2],
  'u.interdomain.port': [20, 4],
  'u.pirq': [16, 4],
  'u.virq': [16, 4],
});
