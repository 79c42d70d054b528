/** `xenctrl v4v rules check`: whether rules are well-formed, and whether each has an effect. */

import { findings, formatRule } from '../../v4v/rules.js';
import type { Command, Outcome } from '../command.js';
import { EXIT_FAILED, EXIT_OK } from '../exit.js';
import { FILE, readRules } from './rule_file.js';

export const check: Command = {
  name: 'check',
  summary: 'tell whether rules are well-formed, and which never decide anything',
  description: [
    'A rule never decides when one before it matches all that it matches. When the two disagree, that is hardly meant: the exit code is 1.',
  ],
  operands: [FILE],
  examples: [
    ['v4v rules check rules.txt', 'rules without an effect, and why'],
    ['v4v rules check - < rules.txt', 'the same from the standard input'],
  ],
  run: (context): Outcome => {
    const rules = readRules(context);
    const found = findings(rules).map(({ rule, because, kind }) => ({
      rule,
      line: rules[rule - 1]?.line ?? 0,
      text: formatRule(rules[rule - 1] as (typeof rules)[number]),
      because,
      becauseText: formatRule(rules[because - 1] as (typeof rules)[number]),
      kind,
    }));
    const bad = found.some(({ kind }) => kind === 'never');
    return {
      code: bad ? EXIT_FAILED : EXIT_OK,
      json: { ok: !bad, rules: rules.length, findings: found },
      text: (style) => [
        ...found.map(({ rule, line, text, because, becauseText, kind }) => {
          const what = kind === 'never' ? style.bad('never decides') : style.warning('is needless');
          return `rule ${rule} (line ${line}) ${what}: ${text}; rule ${because} comes first: ${becauseText}`;
        }),
        ...(found.length === 0 ? [style.good(`rules: ${rules.length}, each with an effect`)] : []),
      ],
    };
  },
};
