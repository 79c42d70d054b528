/** `xenctrl pci plan`, `attach`, `detach` and `recover`: giving devices to guests and taking them back. */

import type { Command, Operand } from '../command.js';
import { DOM0_OPTIONS } from './options.js';

const SBDF: Operand = { name: 'SBDF' };
const DOMAIN: Operand = { name: 'DOMAIN' };

/** What they do is loaded when one of them is called: the software Xen comes with it. */
const giving = () => import('./giving.js');

export const plan: Command = {
  name: 'plan',
  summary: 'tell what giving a device to a domain takes, and what forbids it',
  description: [
    'Changes nothing. The steps are those of `xl pci-attach`, in its order; "toolstack" is what only the toolstack can do, as its device model and xenstore are its own. The exit code is 1 when something forbids it.',
  ],
  operands: [SBDF, DOMAIN],
  options: DOM0_OPTIONS,
  examples: [
    ['pci plan 03:00.0 2', 'what it would take to give it to domain 2'],
    ['pci plan 00:10.0 1 --demo', 'try it on a software Xen'],
  ],
  run: async (context) => (await giving()).runPlan(context),
};

export const attach: Command = {
  name: 'attach',
  summary: 'give a device to a domain, all or nothing',
  description: [
    'Does what `plan` tells. When a step fails, those before it are taken back. It is never forced: what `plan` refuses is not done.',
    'Each step is noted on disk first, so that `recover` can take back what a run left that was killed, and `detach` what was given.',
  ],
  operands: [SBDF, DOMAIN],
  options: [...DOM0_OPTIONS, { name: 'dry-run', help: 'as `plan`: only tell' }],
  examples: [
    ['pci attach 03:00.0 2 --dry-run', 'what would be done'],
    ['pci attach 03:00.0 2', 'do it'],
    ['pci attach 00:10.0 1 --demo', 'try it on a software Xen'],
  ],
  run: async (context) => (await giving()).runAttach(context),
};

export const detach: Command = {
  name: 'detach',
  summary: 'take a device back that `attach` gave away',
  description: [
    'The device goes back to the driver that it had. When a step fails, the domain has it as before. Have the toolstack unplug it from the domain first: what its device model has mapped it keeps.',
  ],
  operands: [SBDF],
  options: DOM0_OPTIONS,
  examples: [
    ['pci detach 03:00.0', 'take it back'],
    ['pci detach 00:10.0 --demo', 'try it on a software Xen, where it is given away first'],
  ],
  run: async (context) => (await giving()).runDetach(context),
};

export const recover: Command = {
  name: 'recover',
  summary: 'take back what an attach or a detach left that was killed',
  description: [
    "The device is dom0's again, with the driver that it had. May be said twice. Without SBDF, all devices with which a run was cut off; those that are given away in order are left alone.",
  ],
  operands: [{ name: 'SBDF', optional: true }],
  options: DOM0_OPTIONS,
  examples: [
    ['pci recover', 'whatever was cut off'],
    ['pci recover 03:00.0', 'this one, also when it is given away in order'],
  ],
  run: async (context) => (await giving()).runRecover(context),
};
