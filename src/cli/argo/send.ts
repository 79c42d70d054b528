/** `xenctrl argo send`: one message to a ring of another domain. */

import { readFileSync } from 'node:fs';
import { XenError } from '../../hypervisor/error.js';
import { type ArgoAddress, argo_notify, argo_sendv } from '../../xc/argo.js';
import type { XcInterface } from '../../xc/interface.js';
import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onXen } from '../session.js';
import { DATAGRAM, numberOption, readDomid, readPort, TYPE } from './operands.js';

/** The message: an operand as text or in hexadecimal, or the standard input. */
function readPayload({ operands, options }: Context): Uint8Array {
  const [, , text = '-'] = operands;
  if (!options.has('hex')) return text === '-' ? readFileSync(0) : Buffer.from(text);
  const digits = (text === '-' ? readFileSync(0, 'latin1') : text).replace(/\s+/g, '');
  if (digits.length % 2 === 0 && /^[0-9a-f]*$/i.test(digits)) return Buffer.from(digits, 'hex');
  throw new UsageError('MESSAGE must be pairs of hexadecimal digits');
}

/** A full ring makes this domain wait for room in it; the command does not stay to hear of it. */
export function orStopWaiting(xch: XcInterface, to: ArgoAddress, sendIt: () => number): number {
  try {
    return sendIt();
  } catch (error) {
    if (error instanceof XenError && error.code === 'EAGAIN') argo_notify(xch, [to]);
    throw error;
  }
}

export const send: Command = {
  name: 'send',
  summary: 'send one message to a ring of another domain',
  description: [
    'The whole message arrives or nothing does. EAGAIN: the ring is full. ECONNREFUSED: there is none on that port, or it is for another sender.',
  ],
  operands: [{ name: 'DOMAIN' }, { name: 'PORT' }, { name: 'MESSAGE', optional: true }],
  options: [
    ...XEN_OPTIONS,
    { name: 'from', value: 'PORT', help: 'the port that the receiver is told it comes from; default 0' },
    TYPE,
    { name: 'hex', help: 'MESSAGE is hexadecimal' },
  ],
  examples: [
    ['argo send 3 1025 hello', 'five bytes to port 1025 of domain 3'],
    ['argo send 3 1025 --hex "de ad be ef" --type 1', 'bytes, with a message type of your own'],
    ['argo send 3 1025 < message.bin', 'the standard input'],
  ],
  run: (context) => {
    const payload = readPayload(context);
    const aport = readPort(context.operands[1] ?? '', 'PORT');
    const source_port = numberOption(context, 'from') ?? 0;
    const message_type = numberOption(context, 'type') ?? DATAGRAM;
    return onXen(context, (session): Outcome => {
      const domid = readDomid(session, context.operands[0] ?? '');
      const { xch } = session.xen;
      const to = { aport, domain_id: domid };
      const bytes = orStopWaiting(xch, to, () => argo_sendv(xch, source_port, to, payload, message_type));
      return {
        json: { domid, aport, source_port, message_type, bytes },
        text: () => [`sent ${bytes} bytes to port ${aport} of domain ${domid}`],
      };
    });
  },
};
