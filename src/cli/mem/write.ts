/** `xenctrl mem write`: changes memory. */

import { hexAddress } from '../../vmi/address.js';
import type { Command, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { FORCE } from '../option_list.js';
import {
  ABOUT_TARGET,
  ADDRESS,
  memoryOf,
  onTarget,
  readAddress,
  SPACE_OPTIONS,
  TARGET,
  TARGET_OPTIONS,
} from './target.js';

function readBytes(text: string): Uint8Array {
  const digits = text.replace(/[\s:]+/g, '');
  if (/^([0-9a-f]{2})+$/i.test(digits)) return Uint8Array.from(Buffer.from(digits, 'hex'));
  throw new UsageError(`BYTES must be pairs of hexadecimal digits such as '90 90 c3', not '${text}'`);
}

export const write: Command = {
  name: 'write',
  summary: 'change memory',
  description: [
    ABOUT_TARGET,
    'All bytes are written or none. The guest keeps running meanwhile, and its own write protection does not apply.',
  ],
  operands: [TARGET, ADDRESS, { name: 'BYTES' }],
  options: [...SPACE_OPTIONS, ...TARGET_OPTIONS, FORCE],
  examples: [["mem write 1 0xffffffff81000040 '90 90'", 'two bytes']],
  run: (context) => {
    const address = readAddress(context.operands[1] ?? '', 'ADDRESS');
    const bytes = readBytes(context.operands[2] ?? '');
    const run = (target: Parameters<typeof memoryOf>[0]): Outcome => {
      if (target.vmi.domid === null) {
        throw new CommandError('EROFS', 'a file is not changed: it is what the memory was');
      }
      memoryOf(target, context).write(address, bytes);
      return {
        json: { ...target.json, address: hexAddress(address), length: bytes.length },
        text: (style) => [`${style.good('done')}  ${bytes.length} bytes of ${target.name} are written`],
      };
    };
    return onTarget(context, run, true);
  },
};
