/** `xenctrl argo`: messages between domains through the hypervisor. */

import { type Command, commands } from '../command.js';

export const argo: Command = {
  name: 'argo',
  summary: 'messages between domains through the hypervisor (Argo)',
  description: [
    'A domain registers a ring on a port; what others send there, Xen copies into it. Xen has to be built with Argo and booted with argo=1, and with argo=1,mac-permissive=1 for rings that any domain may send to. Numbers may be hexadecimal.',
  ],
  commands: commands({
    probe: async () => (await import('./probe.js')).probe,
    send: async () => (await import('./send.js')).send,
    listen: async () => (await import('./listen.js')).listen,
  }),
  examples: [
    ['argo probe', 'does this Xen have it?'],
    ['argo listen 80 --from 3', 'print what domain 3 sends to port 80 of dom0'],
    ['argo send 3 1025 hello', 'send to port 1025 of domain 3'],
  ],
};
