/** The altp2m calls of dom0. */

import { encodeAccess } from '../abi/memory.js';
import {
  xc_altp2m_change_gfn,
  xc_altp2m_create_view,
  xc_altp2m_destroy_view,
  xc_altp2m_get_domain_state,
  xc_altp2m_get_mem_access,
  xc_altp2m_get_suppress_ve,
  xc_altp2m_get_vcpu_p2m_idx,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_mem_access,
  xc_altp2m_set_suppress_ve,
  xc_altp2m_set_vcpu_disable_notify,
  xc_altp2m_set_vcpu_enable_notify,
  xc_altp2m_set_visibility,
  xc_altp2m_switch_to_view,
} from '../xc/altp2m.js';
import { xc_altp2m_set_mem_access_multi, xc_altp2m_set_supress_ve_multi } from '../xc/altp2m_multi.js';
import { readAccessLists } from './access_lists.js';
import type { CallTable } from './call.js';
import { flag, s32, u32, u64, wide } from './expected.js';

export const ALTP2M_CALLS: CallTable = {
  xc_altp2m_get_domain_state: {
    out: { state: flag },
    prepare:
      () =>
      ({ xch }, domid) => ({ state: Number(xc_altp2m_get_domain_state(xch, domid)) }),
  },
  xc_altp2m_set_domain_state: {
    prepare: (args) => {
      const state = args.flag('state');
      return ({ xch }, domid) => xc_altp2m_set_domain_state(xch, domid, state);
    },
  },
  xc_altp2m_create_view: {
    out: { view: u32 },
    prepare: (args) => {
      const access = args.u16('default_access');
      return ({ xch }, domid) => ({ view: xc_altp2m_create_view(xch, domid, access) });
    },
  },
  xc_altp2m_destroy_view: {
    prepare: (args) => {
      const view = args.u16('view');
      return ({ xch }, domid) => xc_altp2m_destroy_view(xch, domid, view);
    },
  },
  xc_altp2m_switch_to_view: {
    out: { vcpu0IdxAfter: s32 },
    prepare: (args) => {
      const view = args.u16('view');
      return ({ xch }, domid) => xc_altp2m_switch_to_view(xch, domid, view);
    },
    always: (session, domid) => ({ vcpu0IdxAfter: session.viewOf(domid, 0) }),
  },
  xc_altp2m_set_visibility: {
    prepare: (args) => {
      const view = args.u16('view');
      const visible = args.flag('visible');
      return ({ xch }, domid) => xc_altp2m_set_visibility(xch, domid, view, visible);
    },
  },
  xc_altp2m_get_vcpu_p2m_idx: {
    out: { idx: u32 },
    prepare: (args) => {
      const vcpu = args.u32('vcpu');
      return ({ xch }, domid) => ({ idx: xc_altp2m_get_vcpu_p2m_idx(xch, domid, vcpu) });
    },
  },
  xc_altp2m_set_mem_access: {
    prepare: (args) => {
      const view = args.u16('view');
      const gfn = args.u64('gfn');
      const access = args.u16('access');
      return ({ xch }, domid) => xc_altp2m_set_mem_access(xch, domid, view, gfn, access);
    },
  },
  xc_altp2m_get_mem_access: {
    out: { access: u32 },
    prepare: (args) => {
      const view = args.u16('view');
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => ({ access: encodeAccess(xc_altp2m_get_mem_access(xch, domid, view, gfn), xch.abi) });
    },
  },
  xc_altp2m_set_mem_access_multi: {
    prepare: (args) => {
      const view = args.u16('view');
      const { gfns, access } = readAccessLists(args);
      return ({ xch }, domid) => xc_altp2m_set_mem_access_multi(xch, domid, view, access, gfns);
    },
  },
  xc_altp2m_change_gfn: {
    prepare: (args) => {
      const view = args.u16('view');
      const oldGfn = args.u64('old_gfn');
      const newGfn = args.u64('new_gfn');
      return ({ xch }, domid) => xc_altp2m_change_gfn(xch, domid, view, oldGfn, newGfn);
    },
  },
  xc_altp2m_set_suppress_ve: {
    prepare: (args) => {
      const view = args.u16('view');
      const gfn = args.u64('gfn');
      const suppress = args.flag('sve');
      return ({ xch }, domid) => xc_altp2m_set_suppress_ve(xch, domid, view, gfn, suppress);
    },
  },
  xc_altp2m_get_suppress_ve: {
    out: { sve: flag },
    prepare: (args) => {
      const view = args.u16('view');
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => ({ sve: Number(xc_altp2m_get_suppress_ve(xch, domid, view, gfn)) });
    },
  },
  xc_altp2m_set_supress_ve_multi: {
    out: { error_gfn: u64, error_code: s32 },
    prepare: (args) => {
      const view = args.u16('view');
      const first = args.u64('first');
      const last = args.u64('last');
      const suppress = args.flag('sve');
      return ({ xch }, domid) => {
        const { error_gfn, error_code } = xc_altp2m_set_supress_ve_multi(xch, domid, view, first, last, suppress);
        return { error_gfn: wide(error_gfn), error_code };
      };
    },
    // C gives both through pointers, which a refused call leaves as they were
    always: () => ({ error_gfn: 0, error_code: 0 }),
  },
  xc_altp2m_set_vcpu_enable_notify: {
    prepare: (args) => {
      const vcpu = args.u32('vcpu');
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => xc_altp2m_set_vcpu_enable_notify(xch, domid, vcpu, gfn);
    },
  },
  xc_altp2m_set_vcpu_disable_notify: {
    prepare: (args) => {
      const vcpu = args.u32('vcpu');
      return ({ xch }, domid) => xc_altp2m_set_vcpu_disable_notify(xch, domid, vcpu);
    },
  },
};
