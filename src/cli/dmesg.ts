/** `xenctrl dmesg`: what Xen has printed. */

import { xc_readconsolering } from '../xc/console.js';
import type { Command, Context, Outcome } from './command.js';
import { XEN_OPTIONS } from './option_list.js';
import { onXen, type Session } from './session.js';

/** No ring is larger: `conring_size` is at most 2 GiB, and none is in use beyond a few MiB. */
const MOST = 64 << 20;

export function asLines(buffer: Uint8Array): string[] {
  // what was cut off at the front may have begun in the middle of a character
  const text = Buffer.from(buffer).toString('utf8').replace(/^�+/, '').trimEnd();
  return text === '' ? [] : text.split('\n');
}

function dmesg(context: Context, { xen }: Session): Outcome {
  const { buffer, index } = xc_readconsolering(xen.xch, MOST, context.options.has('clear'));
  const lines = asLines(buffer);
  return { json: { lines, index }, text: () => lines };
}

export const dmesgCommand: Command = {
  name: 'dmesg',
  summary: 'show what Xen has printed on its console',
  options: [{ name: 'clear', help: 'let the next reading begin after what is shown now' }, ...XEN_OPTIONS],
  examples: [
    ['dmesg', 'all that the ring holds'],
    ['dmesg --clear', 'and empty it'],
    ['dmesg --json | jq -r ".lines[-1]"', 'the last line'],
  ],
  run: (context) => onXen(context, (session) => dmesg(context, session)),
};
