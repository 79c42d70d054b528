/** `xenctrl altp2m switch`. */

import { XenError } from '../../hypervisor/error.js';
import type { Command } from '../command.js';
import { CommandError } from '../exit.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, demandView, done, readView, VIEW } from './operands.js';

export const switchView: Command = {
  name: 'switch',
  summary: 'move every vCPU of a domain into a view',
  operands: [DOMAIN, VIEW],
  options: [...XEN_OPTIONS, FORCE],
  examples: [
    ['altp2m switch 1 2', 'into view 2; refused when it is hidden'],
    ['altp2m switch 1 0', 'back'],
  ],
  run: (context) => {
    const index = readView(context);
    return changing(context, (target) => {
      const { altp2m, domid } = target.domain;
      demandView(target, index);
      try {
        altp2m.switchTo(index);
      } catch (error) {
        if (!(error instanceof XenError) || error.code !== 'EINVAL') throw error;
        throw new CommandError(
          'EINVAL',
          `view ${index} is hidden`,
          `\`xenctrl altp2m show ${domid} ${index}\` shows it`,
        );
      }
      return done(`every vCPU of domain ${domid} runs in view ${index}`, {
        domid,
        view: index,
        vcpus: altp2m.viewOfEach(),
      });
    });
  },
};
