/** Calls about the host. What they tell is the machine's own, so recordings hold little of it. */

import * as version from '../abi/version.js';
import { xc_domain_getinfolist } from '../xc/domain_info.js';
import { xc_physinfo } from '../xc/sysctl.js';
import { xc_version } from '../xc/version.js';
import type { CallTable } from './call.js';
import { u32 } from './expected.js';

/** The commands of xc_version, oldest first; XENVER_commandline2 is the last. */
const LAST_COMMAND = version.XENVER_commandline2;

export const HOST_CALLS: CallTable = {
  xc_version: {
    needsNoGuest: true,
    out: { value: u32 },
    prepare: (args) => {
      const cmd = args.integer('cmd', 0, LAST_COMMAND) as typeof version.XENVER_version;
      const submap = args.has('submap') ? args.u32('submap') : 0;
      return ({ xch }) => {
        const answer: unknown = xc_version(xch, cmd, submap);
        return typeof answer === 'number' ? { value: answer } : {};
      };
    },
  },
  xc_physinfo: {
    needsNoGuest: true,
    prepare:
      () =>
      ({ xch }) => {
        xc_physinfo(xch);
      },
  },
  xc_domain_getinfolist: {
    needsNoGuest: true,
    prepare: (args) => {
      const first = args.u16('first_domain');
      const most = args.u32('max_domains');
      return ({ xch }) => {
        xc_domain_getinfolist(xch, first, most);
      };
    },
  },
};
