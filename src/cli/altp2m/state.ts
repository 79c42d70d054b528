/** `xenctrl altp2m enable` and `disable`. */

import type { Command } from '../command.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, done } from './operands.js';

export const enable: Command = {
  name: 'enable',
  summary: 'switch altp2m on for a domain: its vCPUs then run in view 0',
  operands: [DOMAIN],
  options: [...XEN_OPTIONS, FORCE],
  examples: [['altp2m enable 1', 'the domain needs an altp2m mode in its xl.cfg: altp2m="external"']],
  run: (context) =>
    changing(context, ({ domain }) => {
      domain.altp2m.enable();
      return done(`altp2m is on for domain ${domain.domid}`, { domid: domain.domid, enabled: true });
    }),
};

export const disable: Command = {
  name: 'disable',
  summary: 'switch altp2m off for a domain, which destroys all its views',
  operands: [DOMAIN],
  options: [...XEN_OPTIONS, FORCE],
  examples: [['altp2m disable 1', 'all vCPUs see the memory as the host does again']],
  run: (context) =>
    changing(context, ({ domain }) => {
      domain.altp2m.disable();
      return done(`altp2m is off for domain ${domain.domid}`, { domid: domain.domid, enabled: false });
    }),
};
