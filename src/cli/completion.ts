/** `xenctrl completion`: what a shell needs to complete the command line, made from what the commands say of themselves. */

import type { Command, Operand, Option, Outcome } from './command.js';
import { loadAllCommands } from './commands.js';
import { COMMON } from './option_list.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One path of command names, and what may follow it. */
interface Node {
  readonly path: string;
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
  readonly operands: readonly Operand[];
}

function nodes(commands: readonly Command[]): Node[] {
  const root: Node = { path: '', commands, options: COMMON, operands: [] };
  const below = (command: Command, path: string): Node[] => {
    const { commands: more = [], options = [], operands = [] } = command;
    const common = command.raw ? [] : COMMON;
    const node: Node = { path, commands: more, options: [...options, ...common], operands };
    return [node, ...more.flatMap((one) => below(one, `${path} ${one.name}`))];
  };
  return [root, ...commands.flatMap((command) => below(command, command.name))];
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

function bash(all: readonly Node[]): string {
  const values = [...valued(all).values()].map(({ name, values: list }) =>
    list === undefined
      ? `    --${name}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`
      : `    --${name}) COMPREPLY=($(compgen -W '${list.join(' ')}' -- "$cur")); return ;;`,
  );
  const cases = all.map((node) => `    '${node.path}') words='${words(node).join(' ')}' ;;`);
  return `# xenctrl completion for bash: source <(xenctrl completion bash)
_xenctrl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path='' words='' i
  case $prev in
${values.join('\n')}
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case " ${pathWords(all).join(' ')} " in
      *" \${path:+$path/}\${COMP_WORDS[i]} "*) path="\${path:+$path/}\${COMP_WORDS[i]}" ;;
    esac
  done
  case \${path//\\// } in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _xenctrl xenctrl
`;
}

/** Paths with a slash for each blank, so that each is one word. */
function pathWords(all: readonly Node[]): string[] {
  return all.flatMap(({ path }) => (path === '' ? [] : [path.replaceAll(' ', '/')]));
}

function zsh(all: readonly Node[]): string {
  return `#compdef xenctrl
# xenctrl completion for zsh: source <(xenctrl completion zsh)
autoload -U +X bashcompinit && bashcompinit
${bash(all).split('\n').slice(1).join('\n')}`;
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
    const script = MAKERS[shell]?.(nodes(await loadAllCommands())) ?? '';
    return { json: { shell, script }, text: () => [script.trimEnd()] };
  },
};
