/** `xenctrl mem search`: looks for bytes or text. */

import { hexAddress } from '../../vmi/address.js';
import { type Pattern, pattern, textPattern } from '../../vmi/pattern.js';
import type { SearchOptions } from '../../vmi/search.js';
import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { hexdump } from './hexdump.js';
import {
  ABOUT_TARGET,
  memoryOf,
  onTarget,
  readAddress,
  readSize,
  SPACE_OPTIONS,
  TARGET,
  TARGET_OPTIONS,
  type Target,
} from './target.js';

const DEFAULT_LIMIT = '100';
const SHOWN = 16;

function patternOf({ operands, options }: Context): Pattern {
  const text = operands[1] ?? '';
  if (options.has('text') && options.has('utf16')) throw new UsageError('give one of --text and --utf16');
  if (options.has('text')) return textPattern(text);
  return options.has('utf16') ? textPattern(text, 'utf16le') : pattern(text);
}

function rangeOf({ options, signal, progress }: Context): SearchOptions {
  const start = options.get('start');
  const length = options.get('length');
  const align = options.get('align');
  return {
    signal,
    onProgress: (done, total) => progress(`${Math.floor((done / total) * 100)} %`),
    ...(start === undefined ? {} : { start: readAddress(start, '--start') }),
    ...(length === undefined ? {} : { length: readSize(length, '--length') }),
    ...(align === undefined ? {} : { align: Math.max(1, readSize(align, '--align')) }),
  };
}

async function find(context: Context, target: Target, wanted: Pattern, limit: number): Promise<Outcome> {
  const memory = memoryOf(target, context);
  const hits: { readonly address: bigint; readonly bytes: Uint8Array }[] = [];
  let more = false;
  try {
    for await (const address of memory.search(wanted, rangeOf(context))) {
      more = hits.length === limit;
      if (more) break;
      const bytes = new Uint8Array(SHOWN);
      hits.push({ address, bytes: bytes.subarray(0, memory.readInto(address, bytes)) });
    }
  } finally {
    context.progress('');
  }
  return {
    json: {
      ...target.json,
      hits: hits.map(({ address, bytes }) => ({
        address: hexAddress(address),
        bytes: Buffer.from(bytes).toString('hex'),
      })),
      more,
    },
    text: (style) => [
      ...hits.flatMap(({ address, bytes }) => hexdump(address, bytes, style)),
      hits.length === 0
        ? `${style.warning('nothing found')}`
        : `${hits.length} found${more ? `; there are more: --limit shows them` : ''}`,
    ],
  };
}

export const search: Command = {
  name: 'search',
  summary: 'look for bytes or text',
  description: [
    ABOUT_TARGET,
    "PATTERN is bytes in hexadecimal; ? stands for half a byte that may be anything: '48 8b ?? 4?'. Everything is looked at that is there: all memory with --physical, and else all that is mapped.",
  ],
  operands: [TARGET, { name: 'PATTERN' }],
  options: [
    { name: 'text', help: 'PATTERN is a text' },
    { name: 'utf16', help: 'PATTERN is a text that Windows would have in memory, two bytes a character' },
    { name: 'start', value: 'ADDRESS', help: 'where to begin; default 0' },
    { name: 'length', value: 'BYTES', help: 'how much to look at; default all that follows' },
    { name: 'align', value: 'BYTES', help: 'find only what begins at a multiple of this' },
    { name: 'limit', value: 'N', help: `stop after N hits; default ${DEFAULT_LIMIT}` },
    ...SPACE_OPTIONS,
    ...TARGET_OPTIONS,
  ],
  examples: [
    ["mem search 1 'Linux version' --text --physical", 'which kernel is it?'],
    ["mem search 1 '0f 01 d4' --start 0xffffffff80000000", 'VMFUNC instructions in its kernel'],
    ['mem search file:guest.lime 4d5a90 --align 4096', 'programs for Windows in saved memory'],
  ],
  run: (context) => {
    const limit = readSize(context.options.get('limit') ?? DEFAULT_LIMIT, '--limit');
    return onTarget(context, (target) => find(context, target, patternOf(context), limit));
  },
};
