/** `xenctrl mem`: the commands on a guest's memory. */

import { type Command, commands } from '../command.js';
import { ABOUT_TARGET } from './target.js';

export const mem: Command = {
  name: 'mem',
  summary: "look into a guest's memory, live or saved",
  description: [ABOUT_TARGET],
  commands: commands({
    read: async () => (await import('./read.js')).read,
    write: async () => (await import('./write.js')).write,
    dump: async () => (await import('./dump.js')).dump,
    search: async () => (await import('./search.js')).search,
    translate: async () => (await import('./translate.js')).translate,
    processes: async () => (await import('./processes.js')).processes,
    profile: async () => (await import('./profile.js')).profile,
  }),
  examples: [
    ['mem read 1 0xffffffff81000000 64', 'show 64 bytes'],
    ["mem search 1 'Linux version' --text --physical", 'which kernel is it?'],
    ['mem processes 1 --demo', 'try it on a software Xen'],
  ],
};
