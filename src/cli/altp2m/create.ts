/** `xenctrl altp2m create`. */

import { ACCESS_NAMES } from '../../xen/access.js';
import type { Command } from '../command.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, done, readAccess } from './operands.js';

export const create: Command = {
  name: 'create',
  summary: 'make a view, with altp2m switched on if it is off',
  description: ['Prints the number of the view. It is empty and fills as the guest touches memory.'],
  operands: [DOMAIN],
  options: [
    {
      name: 'access',
      value: 'ACCESS',
      values: ACCESS_NAMES,
      help: 'access of the frames that the view takes over from the host (default rwx)',
    },
    { name: 'hidden', help: 'hide it as soon as it is made' },
    ...XEN_OPTIONS,
    FORCE,
  ],
  examples: [
    ['altp2m create 1', 'a view that shows what the host shows'],
    ['altp2m create 1 --access rx --hidden', 'one that forbids writes and that VMFUNC cannot enter'],
  ],
  run: (context) => {
    const access = readAccess(context.options.get('access') ?? 'rwx', '--access');
    const visible = !context.options.has('hidden');
    return changing(context, ({ domain }) => {
      const { altp2m, domid } = domain;
      const switchedOn = !altp2m.enabled;
      if (switchedOn) altp2m.enable();
      const { index } = altp2m.createView({ defaultAccess: access, visible });
      const before = switchedOn ? ', after switching altp2m on' : '';
      return done(
        `view ${index} of domain ${domid} is made: default access ${access}, ${visible ? 'visible' : 'hidden'}${before}`,
        { domid, view: index, defaultAccess: access, visible, switchedOn },
      );
    });
  },
};
