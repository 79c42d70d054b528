/** `xenctrl mem`: the commands on a guest's memory. */

import type { Command } from '../command.js';
import { dump } from './dump.js';
import { processes } from './processes.js';
import { read } from './read.js';
import { search } from './search.js';
import { ABOUT_TARGET } from './target.js';
import { translate } from './translate.js';
import { write } from './write.js';

export const mem: Command = {
  name: 'mem',
  summary: "look into a guest's memory, live or saved",
  description: [ABOUT_TARGET],
  commands: [read, write, dump, search, translate, processes],
  examples: [
    ['mem read 1 0xffffffff81000000 64', 'show 64 bytes'],
    ["mem search 1 'Linux version' --text --physical", 'which kernel is it?'],
    ['mem processes 1 --demo', 'try it on a software Xen'],
  ],
};
