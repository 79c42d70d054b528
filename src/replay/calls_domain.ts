/** Calls on domains as a whole: their life, their parameters and their memory. */

import * as sched from '../abi/sched.js';
import { expandFrames } from '../trace/frames.js';
import { HVM_PARAM_NAMES } from '../trace/names.js';
import {
  xc_domain_destroy,
  xc_domain_max_vcpus,
  xc_domain_pause,
  xc_domain_set_access_required,
  xc_domain_sethandle,
  xc_domain_shutdown,
  xc_domain_unpause,
} from '../xc/domain.js';
import { xc_domain_getinfo_single } from '../xc/domain_info.js';
import { xc_domain_hvm_getcontext, xc_domain_hvm_setcontext } from '../xc/hvm_context.js';
import { xc_hvm_param_get, xc_hvm_param_set } from '../xc/hvm_param.js';
import {
  xc_domain_decrease_reservation,
  xc_domain_decrease_reservation_exact,
  xc_domain_increase_reservation,
  xc_domain_maximum_gpfn,
  xc_domain_populate_physmap,
  xc_domain_populate_physmap_exact,
  xc_domain_setmaxmem,
  xc_get_paging_mempool_size,
  xc_set_paging_mempool_size,
} from '../xc/memory.js';
import type { CallTable } from './call.js';
import { RecordingError } from './error.js';
import { flag, s32, u32, u64, wide } from './expected.js';
import type { Fields } from './fields.js';

/** Frame of the ring when a row does not say: the recorder's own. */
const RING_FRAME = 1008;
/** No list of a recording is longer. */
const MOST_FRAMES = 2 ** 20;
const MOST_CONTEXT = 2 ** 20;

const REASONS: Readonly<Record<string, number>> = {
  poweroff: sched.SHUTDOWN_poweroff,
  reboot: sched.SHUTDOWN_reboot,
  suspend: sched.SHUTDOWN_suspend,
  crash: sched.SHUTDOWN_crash,
  watchdog: sched.SHUTDOWN_watchdog,
  soft_reset: sched.SHUTDOWN_soft_reset,
};

export const DOMAIN_CALLS: CallTable = {
  xc_domain_pause: {
    prepare:
      () =>
      ({ xch }, domid) =>
        xc_domain_pause(xch, domid),
  },
  xc_domain_unpause: {
    prepare: () => (session, domid) => {
      xc_domain_unpause(session.xch, domid);
      session.wake(domid);
    },
  },
  xc_domain_destroy: {
    prepare: () => (session, domid) => {
      session.letGo(domid);
      xc_domain_destroy(session.xch, domid);
    },
  },
  xc_domain_shutdown: {
    out: { now: s32 },
    prepare: (args) => {
      const reason = shutdownReason(args);
      return (session, domid) => {
        session.halt(domid);
        xc_domain_shutdown(session.xch, domid, reason);
      };
    },
    always: (session, domid) => ({ now: session.shutdownOf(domid) }),
  },
  xc_domain_max_vcpus: {
    prepare: (args) => {
      const max = args.u32('max');
      return ({ xch }, domid) => xc_domain_max_vcpus(xch, domid, max);
    },
  },
  xc_domain_sethandle: {
    prepare: (args) => {
      const handle = args.string('handle');
      return ({ xch }, domid) => xc_domain_sethandle(xch, domid, handle);
    },
  },
  xc_domain_set_access_required: {
    prepare: (args) => {
      const required = args.flag('required');
      return ({ xch }, domid) => xc_domain_set_access_required(xch, domid, required);
    },
  },
  xc_domain_getinfo_single: {
    out: { dying: flag, paused: flag, shutdown_reason: s32, hvm: flag, hap: flag, max_vcpu_id: s32 },
    prepare:
      () =>
      ({ xch }, domid) => {
        const info = xc_domain_getinfo_single(xch, domid);
        return {
          dying: Number(info.dying),
          paused: Number(info.paused),
          shutdown_reason: info.shutdown_reason ?? -1,
          hvm: Number(info.hvm_guest),
          hap: Number(info.hap),
          max_vcpu_id: info.max_vcpu_id ?? -1,
        };
      },
  },
  xc_domain_hvm_getcontext: {
    prepare: (args) => {
      // the size is what the recorded machine needed; another one may need another
      args.ignore('size');
      return ({ xch }, domid) => {
        xc_domain_hvm_getcontext(xch, domid);
      };
    },
  },
  xc_domain_hvm_setcontext: {
    prepare: (args) => {
      const context = args.bytes('context', { most: MOST_CONTEXT });
      return ({ xch }, domid) => xc_domain_hvm_setcontext(xch, domid, context);
    },
  },
  xc_hvm_param_get: {
    out: { value: u64 },
    prepare: (args) => {
      const param = hvmParam(args);
      return ({ xch }, domid) => ({ value: wide(xc_hvm_param_get(xch, domid, param)) });
    },
  },
  xc_hvm_param_set: {
    prepare: (args) => {
      const ring = args.raw('param') === 'MONITOR_RING_PFN' && !args.has('value');
      const param = hvmParam(args);
      const value = ring ? RING_FRAME : args.u64('value');
      return ({ xch }, domid) => xc_hvm_param_set(xch, domid, param, value);
    },
  },
  xc_domain_setmaxmem: {
    prepare: (args) => {
      const kilobytes = args.u64('max_memkb');
      return ({ xch }, domid) => xc_domain_setmaxmem(xch, domid, kilobytes);
    },
  },
  xc_get_paging_mempool_size: {
    out: { bytes: u64 },
    prepare:
      () =>
      ({ xch }, domid) => ({ bytes: wide(xc_get_paging_mempool_size(xch, domid)) }),
  },
  xc_set_paging_mempool_size: {
    prepare: (args) => {
      const bytes = args.u64('bytes');
      return ({ xch }, domid) => xc_set_paging_mempool_size(xch, domid, bytes);
    },
  },
  xc_domain_maximum_gpfn: {
    out: { gpfn: u64 },
    prepare:
      () =>
      ({ xch }, domid) => ({ gpfn: xc_domain_maximum_gpfn(xch, domid) }),
  },
  xc_domain_populate_physmap_exact: {
    prepare: (args) => {
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => xc_domain_populate_physmap_exact(xch, domid, 0, 0, [gfn]);
    },
  },
  xc_domain_decrease_reservation_exact: {
    prepare: (args) => {
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => xc_domain_decrease_reservation_exact(xch, domid, 0, [gfn]);
    },
  },
  xc_domain_populate_physmap: {
    out: { done: u32 },
    prepare: (args) => {
      const { order, frames } = extents(args);
      const flags = args.u32('flags');
      return ({ xch }, domid) => ({ done: xc_domain_populate_physmap(xch, domid, order, flags, frames) });
    },
  },
  xc_domain_decrease_reservation: {
    out: { done: u32 },
    prepare: (args) => {
      const { order, frames } = extents(args);
      return ({ xch }, domid) => ({ done: xc_domain_decrease_reservation(xch, domid, order, frames) });
    },
  },
  xc_domain_increase_reservation: {
    out: { done: u32 },
    prepare: (args) => {
      const count = args.integer('nr', 0, MOST_FRAMES);
      const order = args.u8('order');
      const flags = args.u32('flags');
      return ({ xch }, domid) => ({ done: xc_domain_increase_reservation(xch, domid, count, order, flags) });
    },
  },
};

function extents(args: Fields): { order: number; frames: (number | bigint)[] } {
  const order = args.u8('order');
  const frames = expandFrames(args.list('frames'), order, MOST_FRAMES);
  if (frames === null) {
    throw new RecordingError(`${args.place('frames')} must hold frames, and runs of them as [first, count]`);
  }
  return { order, frames };
}

function hvmParam(args: Fields): number {
  if (typeof args.raw('param') === 'number') return args.u32('param');
  const name = args.string('param');
  const number = HVM_PARAM_NAMES.indexOf(name);
  if (number < 0) throw new RecordingError(`${args.place('param')}: ${name} is no parameter of an HVM domain`);
  return number;
}

function shutdownReason(args: Fields): number {
  if (typeof args.raw('reason') === 'number') return args.u32('reason');
  const name = args.string('reason');
  const reason = Object.hasOwn(REASONS, name) ? REASONS[name] : undefined;
  if (reason === undefined) throw new RecordingError(`${args.place('reason')}: ${name} is no reason to shut down`);
  return reason;
}
