/** `xenctrl v4v rules sim`: what rules would do with a message. */

import { formatAddr, formatRule, simulate } from '../../v4v/rules.js';
import type { Command, Outcome } from '../command.js';
import { FILE, readAddr, readRules } from './rule_file.js';

export const sim: Command = {
  name: 'sim',
  summary: 'tell whether a message would pass, and by which rule',
  description: ['SRC and DST are DOMAIN:PORT. A rejected sender gets ECONNREFUSED, as if nobody listened.'],
  operands: [FILE, { name: 'SRC' }, { name: 'DST' }],
  examples: [
    ['v4v rules sim rules.txt 3:1025 0:80', 'would domain 3 reach port 80 of dom0?'],
    ['v4v rules sim rules.txt 3:1025 0:80 --json | jq .accept', 'the same for programs'],
  ],
  run: (context): Outcome => {
    const src = readAddr(context.operands[1] ?? '', 'SRC');
    const dst = readAddr(context.operands[2] ?? '', 'DST');
    const rules = readRules(context);
    const { accept, rule } = simulate(rules, src, dst);
    const decisive = rule === null ? undefined : rules[rule - 1];
    const why = decisive ? formatRule(decisive) : null;
    return {
      json: { src: formatAddr(src), dst: formatAddr(dst), accept, rule, line: decisive?.line ?? null, text: why },
      text: (style) => {
        const verdict = accept ? style.good('accepted') : style.bad('rejected');
        const reason = why === null ? 'no rule matches' : `rule ${rule} (line ${decisive?.line}): ${why}`;
        return [`${formatAddr(src)} -> ${formatAddr(dst)}: ${verdict}`, `  ${reason}`];
      },
    };
  },
};
