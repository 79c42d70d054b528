/** `xenctrl monitor recover`. */

import type { Domain } from '../../xen/domain.js';
import { DOMAIN, operand } from '../altp2m/operands.js';
import type { Command, Outcome } from '../command.js';
import { FORCE, XEN_OPTIONS } from '../option_list.js';
import { guardDom0, onXen } from '../session.js';

function recovered(domain: Domain): Outcome {
  const { ring, answered, vcpus, view0 } = domain.monitor.recover();
  const { domid } = domain;
  return {
    json: { domid, ring, answered, vcpus, view0 },
    text: (style) => [
      `${style.good('done')}  domain ${domid} has no listener; each of its ${vcpus} vCPUs goes on`,
      ring ? `it had a ring${answered > 0 ? `, with ${answered} events that are answered now` : ''}` : 'it had no ring',
      ...(view0 ? ['every vCPU is in view 0'] : []),
    ],
  };
}

export const recover: Command = {
  name: 'recover',
  summary: 'free a domain whose listener died and left its vCPUs frozen',
  description: [
    'Takes the ring from Xen, lets every vCPU go and moves it to altp2m view 0. A listener that is alive loses the domain, too. What was in the ring is lost: the instructions are done again, and held-up writes of registers do not happen.',
  ],
  operands: [DOMAIN],
  options: [...XEN_OPTIONS, FORCE],
  examples: [['monitor recover 3', 'after the agent of domain 3 was killed']],
  run: (context) =>
    onXen(context, (session) => recovered(guardDom0(session.domain(operand(context, 0)), context.options))),
};
