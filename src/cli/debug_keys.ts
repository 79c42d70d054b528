/** `xenctrl debug-keys`: presses Xen's debug keys, and shows what they print. */

import { xc_readconsolering, xc_send_debug_keys } from '../xc/console.js';
import { operand } from './altp2m/operands.js';
import type { Command, Context, Outcome } from './command.js';
import { asLines } from './dmesg.js';
import { UsageError } from './exit.js';
import { XEN_OPTIONS } from './option_list.js';
import { onXen, type Session } from './session.js';

const MOST = 64 << 20;
/** Keys that end the host, at once. */
const DEADLY: ReadonlyMap<string, string> = new Map([
  ['C', 'crashes the host into its crash kernel'],
  ['R', 'restarts the host at once'],
  ['%', 'stops the host in its debugger'],
]);

function press(context: Context, { xen }: Session): Outcome {
  const keys = operand(context, 0);
  const deadly = [...keys].find((key) => DEADLY.has(key));
  if (deadly !== undefined && !context.options.has('force')) {
    throw new UsageError(`key '${deadly}' ${DEADLY.get(deadly)}: --force does it`);
  }
  if (!/^[ -~]+$/.test(keys)) throw new UsageError(`KEYS must be printable ASCII characters, not '${keys}'`);
  const { index } = xc_readconsolering(xen.xch, MOST);
  xc_send_debug_keys(xen.xch, keys);
  const lines = asLines(xc_readconsolering(xen.xch, MOST, false, true, index).buffer);
  return {
    json: { keys, lines },
    text: (style) => (lines.length > 0 ? lines : [style.quiet('Xen has printed nothing')]),
  };
}

export const debugKeys: Command = {
  name: 'debug-keys',
  summary: "press Xen's debug keys and show what they print",
  description: ["Key 'h' lists the keys. Some print later than the command ends: `xenctrl dmesg` shows that."],
  operands: [{ name: 'KEYS' }],
  options: [{ name: 'force', help: 'really press a key that ends the host' }, ...XEN_OPTIONS],
  examples: [
    ['debug-keys h', 'which keys are there?'],
    ['debug-keys q', 'what Xen knows of the domains'],
  ],
  run: (context) => onXen(context, (session) => press(context, session)),
};
