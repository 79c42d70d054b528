/** `xenctrl altp2m remap`. */

import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, demandView, done, hex, operand, readFrame, readView, VIEW } from './operands.js';

function remapFrame(context: Context): Promise<Outcome> {
  const index = readView(context);
  const gfn = readFrame(operand(context, 2), 'GFN');
  const undo = context.options.has('undo');
  const text = context.operands[3];
  if (undo === (text !== undefined)) throw new UsageError('give either TO or --undo');
  const to = text === undefined ? null : readFrame(text, 'TO');
  return changing(context, (target) => {
    const { altp2m, domid } = target.domain;
    demandView(target, index);
    const view = altp2m.view(index);
    if (to === null) view.unremap(gfn);
    else view.remap(gfn, to);
    const what = to === null ? 'follows the host again' : `shows the memory of ${hex(to)}`;
    return done(`frame ${hex(gfn)} in view ${index} of domain ${domid} ${what}`, { domid, view: index, gfn, to });
  });
}

export const remap: Command = {
  name: 'remap',
  summary: 'make a frame show the memory of another in a view',
  operands: [DOMAIN, VIEW, { name: 'GFN' }, { name: 'TO', optional: true }],
  options: [
    { name: 'undo', help: "take the frame's entry out of the view: it follows the host again" },
    ...XEN_OPTIONS,
    FORCE,
  ],
  examples: [
    ['altp2m remap 1 2 0x40 0x41', 'who reads frame 0x40 in view 2 sees frame 0x41'],
    ['altp2m remap 1 2 0x40 --undo', 'no more'],
  ],
  run: remapFrame,
};
