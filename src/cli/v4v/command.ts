/** `xenctrl v4v`: what concerns V4V. */

import { type Command, commands } from '../command.js';

const rules: Command = {
  name: 'rules',
  summary: 'look at filter rules: who may send to whom',
  description: [
    'A file of rules has one a line: "accept 3:1025 -> 0:80", or "reject". Each end is DOMAIN:PORT; * is any. The first rule that matches a message decides; without one it passes. What follows a # is a comment. The file - is the standard input.',
  ],
  commands: commands({
    check: async () => (await import('./check.js')).check,
    list: async () => (await import('./list.js')).list,
    sim: async () => (await import('./sim.js')).sim,
  }),
  examples: [
    ['v4v rules check rules.txt', 'are they well-formed, and does each have an effect?'],
    ['v4v rules sim rules.txt 3:1025 0:80', 'would a message of domain 3 reach port 80 of dom0?'],
  ],
};

export const v4v: Command = {
  name: 'v4v',
  summary: 'filter rules of V4V, the messages between domains that came before Argo',
  description: [
    'No release of Xen has V4V: hypercall 39 is Argo there, and V4V is never asked of it. These commands work with files, and with a software Xen (docs/v4v.md).',
  ],
  commands: commands({ rules: async () => rules }),
  examples: [['v4v rules list rules.txt', 'the rules with their numbers, as V4V holds them']],
};
