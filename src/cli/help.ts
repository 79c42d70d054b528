/** Help texts, made from what the commands say about themselves. */

import type { Command, Operand, Option } from './command.js';
import { COMMON } from './option_list.js';
import { padEnd, type Style, wrap } from './style.js';

const CODES: readonly string[] = [
  '0  all is well',
  '1  Xen refused, a check failed, or something is missing',
  '2  the command line is wrong; nothing was done',
  '3  there is no Xen to talk to',
];

/** The usage line's operands. */
export function usage(operands: readonly Operand[]): string {
  return operands.map(({ name, optional }) => (optional ? `[${name}]` : name)).join(' ');
}

function section(title: string, lines: readonly string[], style: Style): string[] {
  return lines.length === 0 ? [] : ['', style.heading(title), ...lines];
}

function listing(entries: readonly (readonly [string, string])[], columns: number, style: Style): string[] {
  const room = Math.min(30, Math.max(...entries.map(([name]) => name.length)) + 2);
  return entries.flatMap(([name, help]) => {
    const [first = '', ...rest] = wrap(help, columns, ' '.repeat(room + 2));
    return [`  ${padEnd(style.literal(name), room)}${first.trimStart()}`, ...rest];
  });
}

function optionEntry({ name, short, value, values, help }: Option): readonly [string, string] {
  const wanted = value === undefined ? '' : ` ${value}`;
  const choice = values === undefined ? '' : `: ${values.join(', ')}`;
  return [`${short === undefined ? '' : `-${short}, `}--${name}${wanted}`, `${help}${choice}`];
}

/** Help on all commands. */
export function generalHelp(commands: readonly Command[], style: Style, columns: number): string[] {
  const entries = commands.map(({ name, summary }) => [name, summary] as const);
  return [
    `${style.heading('xenctrl')} - look at and control a Xen host, or a software Xen where there is none`,
    ...section('Usage', [`  xenctrl COMMAND [OPTION]...`, `  xenctrl COMMAND --help`], style),
    ...section('Commands', listing(entries, columns, style), style),
    ...section('Options of every command', listing(COMMON.map(optionEntry), columns, style), style),
    ...section(
      'Exit codes',
      CODES.map((line) => `  ${line}`),
      style,
    ),
    ...section(
      'To begin with',
      listing(
        [
          ['xenctrl demo', 'what altp2m views are and what hiding one does, on any machine'],
          ['xenctrl doctor', 'what this machine offers, and how to get what it lacks'],
        ],
        columns,
        style,
      ),
      style,
    ),
  ];
}

/** Help on one command and those below it; `path` is its name after those of the commands above it. */
export function commandHelp(
  command: Command,
  commands: readonly Command[],
  path: string,
  style: Style,
  columns: number,
): string[] {
  const { summary, description = [], operands = [], options = [], examples = [] } = command;
  const common = command.raw ? COMMON.filter(({ name }) => name === 'help') : COMMON;
  const line = commands.length > 0 ? 'COMMAND' : usage(operands);
  const summaries = commands.map(
    ({ name, operands: of = [], summary: what }) => [`${name} ${usage(of)}`, what] as const,
  );
  return [
    `${style.heading(path)} - ${summary}`,
    ...section(
      'Usage',
      [command.raw ? `  ${path} [OPTION]... ${line}` : `  ${path}${line && ` ${line}`} [OPTION]...`],
      style,
    ),
    ...description.flatMap((paragraph) => ['', ...wrap(paragraph, columns)]),
    ...section('Commands', commands.length > 0 ? listing(summaries, columns, style) : [], style),
    ...section('Options', listing([...options, ...common].map(optionEntry), columns, style), style),
    ...section(
      'Examples',
      examples.flatMap(([example, what]) => exampleLines(example, what, style)),
      style,
    ),
  ];
}

function exampleLines(example: string, what: string, style: Style): string[] {
  return [`  ${style.literal(`xenctrl ${example}`)}`, `      ${style.quiet(what)}`];
}
