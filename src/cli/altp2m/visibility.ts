/** `xenctrl altp2m hide` and `show`. */

import type { Command, Context, Outcome } from '../command.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { changing, DOMAIN, demandView, done, readView, VIEW } from './operands.js';

const MIXED =
  'the domain is in mixed mode: the guest can make the view visible again by a hypercall of its own, so this protects nothing (use external or limited)';

function set(context: Context, visible: boolean): Promise<Outcome> {
  const index = readView(context);
  return changing(context, (target) => {
    const { altp2m, domid } = target.domain;
    demandView(target, index);
    const view = altp2m.view(index);
    if (visible) view.show();
    else view.hide();
    const { mode } = altp2m;
    if (!visible && mode === 'mixed') context.note(`warning: ${MIXED}`);
    const inside = altp2m.viewOfEach().filter((one) => one === index).length;
    const still = visible || inside === 0 ? '' : `; ${inside} vCPU${inside === 1 ? '' : 's'} in it stay there`;
    const state = visible ? 'visible' : 'hidden';
    return done(`view ${index} of domain ${domid} is ${state}${still}`, {
      domid,
      view: index,
      visible,
      mode,
      protects: !visible && mode !== 'mixed',
      vcpusInside: inside,
    });
  });
}

export const hide: Command = {
  name: 'hide',
  summary: 'hide a view, so that VMFUNC and switch cannot enter it',
  description: [
    'Nobody is evicted: a vCPU in the view stays, may leave, and may not come back. It protects in external and limited mode; in mixed mode the guest can undo it.',
  ],
  operands: [DOMAIN, VIEW],
  options: [...XEN_OPTIONS, FORCE],
  examples: [['altp2m hide 1 2', 'view 2 of domain 1']],
  run: (context) => set(context, false),
};

export const show: Command = {
  name: 'show',
  summary: 'make a hidden view visible again',
  operands: [DOMAIN, VIEW],
  options: [...XEN_OPTIONS, FORCE],
  examples: [['altp2m show 1 2', 'view 2 of domain 1']],
  run: (context) => set(context, true),
};
