/** `xenctrl altp2m destroy`. */

import { XenError } from '../../hypervisor/error.js';
import type { Command } from '../command.js';
import { CommandError } from '../exit.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, demandView, done, readView, VIEW } from './operands.js';

export const destroy: Command = {
  name: 'destroy',
  summary: 'destroy a view',
  operands: [DOMAIN, VIEW],
  options: [
    { name: 'evict', help: 'move every vCPU of the domain to view 0 first, when one runs in the view' },
    ...XEN_OPTIONS,
    FORCE,
  ],
  examples: [
    ['altp2m destroy 1 2', 'refused while a vCPU runs in view 2'],
    ['altp2m destroy 1 2 --evict', 'whoever runs in it'],
  ],
  run: (context) => {
    const index = readView(context);
    const evict = context.options.has('evict');
    return changing(context, (target) => {
      const { altp2m, domid } = target.domain;
      demandView(target, index);
      try {
        altp2m.view(index).destroy({ evict });
      } catch (error) {
        if (!(error instanceof XenError) || error.code !== 'EBUSY') throw error;
        if (index === 0)
          throw new CommandError('EBUSY', 'view 0 cannot be destroyed: it lasts as long as altp2m is on');
        throw new CommandError(
          'EBUSY',
          `a vCPU runs in view ${index}`,
          'add --evict to move all vCPUs to view 0 first',
        );
      }
      return done(`view ${index} of domain ${domid} is destroyed`, { domid, view: index, destroyed: true });
    });
  },
};
