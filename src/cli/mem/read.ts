/** `xenctrl mem read`: shows memory, or saves a piece of it. */

import { writeFileSync } from 'node:fs';
import { hexAddress } from '../../vmi/address.js';
import { MemoryFault } from '../../vmi/fault.js';
import type { Memory } from '../../vmi/memory.js';
import type { Command, Outcome } from '../command.js';
import { EXIT_FAILED, UsageError } from '../exit.js';
import { hexdump } from './hexdump.js';
import {
  ABOUT_TARGET,
  ADDRESS,
  memoryOf,
  onTarget,
  readAddress,
  readSize,
  SPACE_OPTIONS,
  TARGET,
  TARGET_OPTIONS,
  unreadable,
} from './target.js';

const DEFAULT_LENGTH = '256';
/** More belongs into a file. */
const MOST_SHOWN = 2 ** 20;
const MOST = 2 ** 30;

/** What is there, and why there is no more. */
function readUpTo(memory: Memory, address: bigint, length: number): { bytes: Uint8Array; fault: MemoryFault | null } {
  const bytes = new Uint8Array(length);
  const done = memory.readInto(address, bytes);
  if (done === length) return { bytes, fault: null };
  try {
    memory.read(address + BigInt(done), 1);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    if (done === 0) throw error;
    return { bytes: bytes.subarray(0, done), fault: error };
  }
  return { bytes: bytes.subarray(0, done), fault: null };
}

export const read: Command = {
  name: 'read',
  summary: 'show memory, or save a piece of it',
  description: [
    ABOUT_TARGET,
    'Addresses are virtual, as vCPU 0 sees them, and for a file guest-physical, unless an option says otherwise. Memory that is not there ends it: what comes before is shown, and the exit code is 1.',
  ],
  operands: [TARGET, ADDRESS, { name: 'LENGTH', optional: true }],
  options: [
    ...SPACE_OPTIONS,
    { name: 'out', value: 'FILE', help: 'write the bytes to FILE instead' },
    ...TARGET_OPTIONS,
  ],
  examples: [
    ['mem read 1 0xffffffff81000000 64', "64 bytes of a guest's kernel"],
    ['mem read 1 0 4K --physical --out page0', 'its first page, into a file'],
    ['mem read 1 0xffffffff9b100040 --demo', 'try it on a software Xen'],
  ],
  run: (context) => {
    const address = readAddress(context.operands[1] ?? '', 'ADDRESS');
    const length = readSize(context.operands[2] ?? DEFAULT_LENGTH, 'LENGTH');
    const out = context.options.get('out');
    const most = out === undefined ? MOST_SHOWN : MOST;
    if (length > most) throw new UsageError(`LENGTH is at most ${most}${out === undefined ? ' without --out' : ''}`);
    return onTarget(context, (target): Outcome => {
      const { bytes, fault } = readUpTo(memoryOf(target, context), address, length);
      const missing = fault === null ? null : fault.message;
      if (out !== undefined) save(out, bytes);
      const what = out === undefined ? { bytes: Buffer.from(bytes).toString('hex') } : { out };
      return {
        json: { ...target.json, address: hexAddress(address), length: bytes.length, missing, ...what },
        text: (style) => [
          ...(out === undefined
            ? hexdump(address, bytes, style)
            : [`${style.good('done')}  ${bytes.length} bytes are in ${out}`]),
          ...(missing === null ? [] : [`${style.bad('ends')}  ${missing}`]),
        ],
        ...(fault === null ? {} : { code: EXIT_FAILED }),
      };
    });
  },
};

function save(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (error) {
    throw unreadable(path, error);
  }
}
