/** Reading a file of rules for the commands. */

import { readFileSync } from 'node:fs';
import type { V4vAddr } from '../../abi/v4v_rules.js';
import { parseAddr, parseRules, type RuleLine, V4vRuleError } from '../../v4v/rules.js';
import type { Context, Operand } from '../command.js';
import { UsageError } from '../exit.js';

export const FILE: Operand = { name: 'FILE' };

const NEXT = '`xenctrl v4v rules --help` tells how rules are written';

/** The rules of the file that the command names. @throws UsageError that names the line */
export function readRules({ operands: [file = ''] }: Context): RuleLine[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    return parseRules(text);
  } catch (error) {
    if (!(error instanceof V4vRuleError)) throw error;
    throw new UsageError(`${file}:${error.line}: ${error.message}`, NEXT);
  }
}

/** An end of a message, from the command line. @throws UsageError */
export function readAddr(text: string, name: string): V4vAddr {
  if (/\*|any/.test(text)) throw new UsageError(`${name} is one end of one message, not '${text}'`);
  try {
    return parseAddr(text);
  } catch (error) {
    if (!(error instanceof V4vRuleError)) throw error;
    throw new UsageError(`${name}: ${error.message}`, NEXT);
  }
}
