/** `xenctrl argo probe`: whether Argo can be used, and why not. */

import { argo_probe } from '../../xc/argo.js';
import type { Command, Outcome } from '../command.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onXen } from '../session.js';
import { table } from '../style.js';

export const probe: Command = {
  name: 'probe',
  summary: 'tell whether this Xen has Argo, and if not, why',
  description: [
    'Asks Xen with a call that sends nothing; domains that wait for room in rings of this domain take a look. STATE is enabled, no-domain-state, not-on-command-line, not-compiled-in, denied or unknown.',
  ],
  options: XEN_OPTIONS,
  examples: [
    ['argo probe', 'this Xen'],
    ['argo probe --json | jq -r .state', 'a word, for scripts'],
  ],
  run: (context) =>
    onXen(context, ({ xen }): Outcome => {
      const { state, reason } = argo_probe(xen.xch);
      return {
        json: { state, reason },
        text: (style) =>
          table([
            [style.heading('STATE'), style.heading('REASON')],
            [state === 'enabled' ? style.good(state) : style.warning(state), reason],
          ]),
      };
    }),
};
