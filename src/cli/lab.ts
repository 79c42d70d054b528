/** `xenctrl lab`: a command in the dom0 of a real Xen, booted in an emulator. The lab itself is `src/lab`. */

import type { Command } from './command.js';

export const lab: Command = {
  name: 'lab',
  summary: 'run a command in the dom0 of a real Xen, booted in an emulator',
  description: [
    'The command runs as root in this folder, without a shell; its standard output is all that comes on standard output. The exit code is its own; 124: not done in time; 125: the lab itself failed. Options come before the command; -- ends them.',
  ],
  operands: [{ name: 'COMMAND' }, { name: 'ARGUMENT...', optional: true }],
  options: [
    {
      name: 'engine',
      value: 'NAME',
      values: ['qemu', 'bochs'],
      help: 'qemu boots in seconds, an AMD machine without altp2m; bochs takes longer, an Intel one with altp2m',
    },
    { name: 'xen-args', value: 'WORDS', help: "more words for Xen's command line" },
    { name: 'device', value: 'SPEC', help: "a PCI device, in the words of QEMU's -device; may be repeated" },
    { name: 'memory', value: 'MIB', help: 'memory of the whole machine' },
    { name: 'timeout', value: 'SECONDS', help: 'how long it may take' },
    { name: 'out', value: 'FOLDER', help: 'what the command writes to /run/out arrives here' },
    { name: 'include', value: 'PATH', help: 'a file or folder that the command needs; may be repeated (bochs)' },
  ],
  examples: [
    ['lab npx xenctrl doctor', 'what the doctor says of a real Xen on an AMD machine'],
    ['lab --engine bochs node script.mjs', 'a script of yours on a real Xen with altp2m'],
  ],
  // loaded when it is needed: it is large, and the other commands do without
  raw: async (words) => (await import('../lab/main.js')).labMain(words),
};
