/** `xenctrl v4v rules list`: rules as V4V itself holds and lists them. */

import { ModelXen } from '../../model/xen.js';
import { v4v_tables_add, v4v_tables_list } from '../../v4v/calls.js';
import { formatAddr } from '../../v4v/rules.js';
import { xc_interface_open } from '../../xc/interface.js';
import type { Command, Context, Outcome } from '../command.js';
import { UsageError } from '../exit.js';
import { table } from '../style.js';
import { FILE, readRules } from './rule_file.js';

function number({ options }: Context, name: string, otherwise: number): number {
  const text = options.get(name);
  if (text === undefined) return otherwise;
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new UsageError(`--${name} must be a number from 1 on, not '${text}'`);
}

export const list: Command = {
  name: 'list',
  summary: 'list rules with their numbers, as V4V holds them',
  description: ['The rules are added to a software Xen (tables_add), and listed by it (tables_list).'],
  operands: [FILE],
  options: [
    { name: 'start', value: 'N', help: 'from rule number N on; the first is 1' },
    { name: 'count', value: 'N', help: 'N rules at most' },
  ],
  examples: [
    ['v4v rules list rules.txt', 'all of them'],
    ['v4v rules list rules.txt --start 3 --count 2 --json', 'the third and the fourth, for programs'],
  ],
  run: (context): Outcome => {
    const start = number(context, 'start', 1);
    const count = number(context, 'count', Number.POSITIVE_INFINITY);
    const rules = readRules(context);
    using xen = new ModelXen({ v4v: true });
    using xch = xc_interface_open({ hypervisor: xen });
    for (const rule of rules) v4v_tables_add(xch, rule);
    const listed = v4v_tables_list(xch, start, count).map(({ src, dst, accept }, i) => ({
      rule: start + i,
      verdict: accept ? 'accept' : 'reject',
      src: formatAddr(src),
      dst: formatAddr(dst),
    }));
    return {
      json: { rules: listed, otherwise: 'accept' },
      text: (style) => [
        ...table(
          [
            ['RULE', 'VERDICT', 'FROM', 'TO'].map(style.heading),
            ...listed.map(({ rule, verdict, src, dst }) => [
              String(rule),
              verdict === 'accept' ? style.good(verdict) : style.bad(verdict),
              src,
              dst,
            ]),
            ['-', style.good('accept'), '*:*', style.quiet('*:*  what no rule matches')],
          ],
          [0],
        ),
      ],
    };
  },
};
