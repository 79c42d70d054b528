/** Operands and options of the Argo commands. */

import { readNumber } from '../altp2m/operands.js';
import type { Context, Option } from '../command.js';
import type { Session } from '../session.js';

const U32_MAX = 0xffff_ffff;
const U16_MAX = 0xffff;

/** What the message type of a datagram is, for Linux' Argo driver and for V4V. */
export const DATAGRAM = 0x3c2c_1db8;

export const TYPE: Option = {
  name: 'type',
  value: 'NUMBER',
  help: `the message type, any 32 bits; default 0x${DATAGRAM.toString(16)}, a datagram`,
};

export function readPort(text: string, what: string): number {
  return readNumber(text, what, U32_MAX);
}

/** The number that an option gives, if it does. */
export function numberOption(context: Context, name: string, most = U32_MAX): number | undefined {
  const text = context.options.get(name);
  return text === undefined ? undefined : readNumber(text, `--${name}`, most);
}

/** A domain by its id, which need not be known to this caller, or by a name or UUID. */
export function readDomid(session: Session, text: string): number {
  return /^(0x[0-9a-f]+|\d+)$/i.test(text) ? readNumber(text, 'DOMAIN', U16_MAX) : session.domain(text).domid;
}
