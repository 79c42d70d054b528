/** `xenctrl mem dump`: saves all memory to a file. */

import { dumpMemory } from '../../vmi/dump.js';
import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { ABOUT_TARGET, onTarget, readSize, TARGET, TARGET_OPTIONS, type Target, unreadable } from './target.js';

const FORMATS = ['lime', 'raw'] as const;

async function save(context: Context, { vmi, json, name }: Target, out: string): Promise<Outcome> {
  const { options, signal, progress } = context;
  const format = FORMATS.find((one) => one === options.get('format')) ?? 'lime';
  const start = readSize(options.get('start') ?? '0', '--start');
  const length = options.get('length');
  if (start % 4096 !== 0) throw new UsageError('--start must be the address of a page: a multiple of 4096');
  const range = length === undefined ? {} : { count: Math.ceil(readSize(length, '--length') / 4096) };
  const onProgress = (done: number, total: number): void => {
    progress(`${Math.floor(done / 256)} of ${Math.ceil(total / 256)} MiB`);
  };
  using _paused = options.has('pause') ? vmi.pause() : null;
  try {
    const { pages } = await dumpMemory(vmi.source, out, { format, first: start / 4096, ...range, signal, onProgress });
    return {
      json: { ...json, out, format, pages, bytes: pages * 4096 },
      text: (style) => [`${style.good('done')}  ${pages} pages of ${name} are in ${out} (${format})`],
    };
  } catch (error) {
    throw unreadable(out, error);
  } finally {
    progress('');
  }
}

export const dump: Command = {
  name: 'dump',
  summary: 'save all memory to a file',
  description: [
    ABOUT_TARGET,
    'The guest keeps running, so that pages are of different moments, unless --pause is given. LiME keeps what is there and where; in a raw file byte n is byte n of the range, and holes are zeroes.',
  ],
  operands: [TARGET],
  options: [
    { name: 'out', value: 'FILE', help: 'the file; it is overwritten' },
    { name: 'format', value: 'NAME', values: FORMATS, help: 'default lime' },
    { name: 'start', value: 'ADDRESS', help: 'guest-physical address to begin at; default 0' },
    { name: 'length', value: 'BYTES', help: 'how much; default all that follows' },
    { name: 'pause', help: 'pause the guest meanwhile' },
    ...TARGET_OPTIONS,
  ],
  examples: [
    ['mem dump 1 --out guest.lime --pause', 'all of it, of one moment'],
    ['mem dump 1 --out low.raw --format raw --length 1M', 'its first MiB as it stands'],
  ],
  run: (context) => {
    const out = context.options.get('out');
    if (out === undefined) throw new UsageError('--out FILE is missing');
    return onTarget(context, (target) => save(context, target, out));
  },
};
