/** `xenctrl completion`: what a shell needs to complete the command line, made from what the commands say of themselves. */

import { type Command, loadAll, type Operand, type Option, type Outcome } from './command.js';
import { COMMANDS } from './commands.js';
import { COMMON } from './option_list.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One path of command names, and what may follow it. */
interface Node {
  readonly path: string;
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
  readonly operands: readonly Operand[];
}

/** Those of a path and of all below it. */
async function nodes(node: Node): Promise<Node[]> {
  const below = node.commands.map(async (command) => {
    const { name, options = [], operands = [], raw } = command;
    const path = node.path === '' ? name : `${node.path} ${name}`;
    const common = raw ? [] : COMMON;
    return nodes({ path, commands: await loadAll(command.commands), options: [...options, ...common], operands });
  });
  return [node, ...(await Promise.all(below)).flat()];
}

/** Words that may follow a path: commands, values of operands, options. */
function words({ commands, operands, options }: Node): string[] {
  return [
    ...commands.map(({ name }) => name),
    ...operands.flatMap(({ values = [] }) => values),
    ...options.map(({ name }) => `--${name}`),
  ];
}

/** The options whose values are to be completed, each once. */
function valued(all: readonly Node[]): Map<string, Option> {
  const found = new Map<string, Option>();
  for (const { options } of all)
    for (const option of options) if (option.value !== undefined) found.set(option.name, option);
  return found;
}

/** One branch of a shell's `case` for each option with a value: list `values`, or files. */
function valueCases(all: readonly Node[], listed: (words: string) => string, files: string): string {
  return [...valued(all).values()]
    .map(({ name, values }) => `    --${name}) ${values === undefined ? files : listed(values.join(' '))}; return ;;`)
    .join('\n');
}

/** Paths with a slash for each blank, so that each is one word. */
function slashed(path: string): string {
  return path.replaceAll(' ', '/');
}

/** The loop that finds out which command the line is about so far; the same in bash and zsh but for the array's name. */
function walk(all: readonly Node[], first: number, end: string, word: string): string {
  const known = all.flatMap(({ path }) => (path === '' ? [] : [slashed(path)])).join(' ');
  return `  for ((i = ${first}; i < ${end}; i++)); do
    case " ${known} " in
      *" \${node:+$node/}\${${word}} "*) node="\${node:+$node/}\${${word}}" ;;
    esac
  done`;
}

function bash(all: readonly Node[]): string {
  const listed = (list: string): string => `COMPREPLY=($(compgen -W '${list}' -- "$cur"))`;
  const cases = all.map((node) => `    '${slashed(node.path)}') ${listed(words(node).join(' '))} ;;`);
  return `# xenctrl completion for bash: source <(xenctrl completion bash)
_xenctrl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} node='' i
  case $prev in
${valueCases(all, listed, 'COMPREPLY=($(compgen -f -- "$cur"))')}
  esac
${walk(all, 1, 'COMP_CWORD', 'COMP_WORDS[i]')}
  case $node in
${cases.join('\n')}
  esac
}
complete -F _xenctrl xenctrl
`;
}

function zsh(all: readonly Node[]): string {
  const listed = (list: string): string => `compadd -- ${list}`;
  const cases = all.map((node) => `    '${slashed(node.path)}') ${listed(words(node).join(' '))} ;;`);
  return `#compdef xenctrl
# xenctrl completion for zsh: source <(xenctrl completion zsh), or as _xenctrl in a folder of fpath
_xenctrl() {
  local node='' i
  case \${words[CURRENT-1]} in
${valueCases(all, listed, '_files')}
  esac
${walk(all, 2, 'CURRENT', 'words[i]')}
  case $node in
${cases.join('\n')}
  esac
}
if [[ \${funcstack[1]} == _xenctrl ]]; then _xenctrl "$@"; else compdef _xenctrl xenctrl; fi
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "\\'")}'`;
}

function fishCondition(path: string, commands: readonly Command[]): string {
  if (path === '') return '__fish_use_subcommand';
  const seen = path.split(' ').map((name) => `__fish_seen_subcommand_from ${name}`);
  const none =
    commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.map(({ name }) => name).join(' ')}`];
  return [...seen, ...none].join('; and ');
}

function fish(all: readonly Node[]): string {
  const lines = ['# xenctrl completion for fish: xenctrl completion fish | source', 'complete -c xenctrl -f'];
  for (const { path, commands, options, operands } of all) {
    const when = `complete -c xenctrl -n ${quoted(fishCondition(path, commands))}`;
    for (const { name, summary } of commands) lines.push(`${when} -a ${name} -d ${quoted(summary)}`);
    for (const { values } of operands) if (values) lines.push(`${when} -a ${quoted(values.join(' '))}`);
    for (const { name, short, value, values, help } of path === '' ? COMMON : options) {
      const letter = short === undefined ? '' : ` -s ${short}`;
      const takes = value === undefined ? '' : values === undefined ? ' -r -F' : ` -x -a ${quoted(values.join(' '))}`;
      lines.push(`${when} -l ${name}${letter}${takes} -d ${quoted(help)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const MAKERS: Readonly<Record<string, (all: readonly Node[]) => string>> = { bash, zsh, fish };

export const completion: Command = {
  name: 'completion',
  summary: 'print a script with which a shell completes xenctrl command lines',
  operands: [{ name: 'SHELL', values: SHELLS }],
  examples: [
    ['completion bash > /etc/bash_completion.d/xenctrl', 'for all users of bash'],
    ['completion zsh > ~/.zfunc/_xenctrl', 'for zsh, with ~/.zfunc in its fpath'],
    ['completion fish > ~/.config/fish/completions/xenctrl.fish', 'for fish'],
  ],
  async run({ operands }): Promise<Outcome> {
    const shell = operands[0] ?? 'bash';
    const root: Node = { path: '', commands: await loadAll(COMMANDS), options: COMMON, operands: [] };
    const script = MAKERS[shell]?.(await nodes(root)) ?? '';
    return { json: { shell, script }, text: () => [script.trimEnd()] };
  },
};
