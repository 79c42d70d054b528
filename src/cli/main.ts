/** The `xenctrl` command: finds the sub-command, runs it, prints what it has to say. */

import { readFileSync } from 'node:fs';
import { type Command, type Commands, type Emitted, loadAll, type Outcome } from './command.js';
import { COMMANDS } from './commands.js';
import { EXIT_OK, EXIT_USAGE, UsageError } from './exit.js';
import { commandHelp, generalHelp } from './help.js';
import { COMMON, XEN_OPTIONS } from './option_list.js';
import { findCommand, parseLine } from './options.js';
import type { Output } from './output.js';
import { report } from './report.js';
import { nearest } from './suggest.js';

/** What a command line runs with. */
export interface Shell {
  readonly output: Output;
  /** Fires when the command is to stop. */
  readonly signal: AbortSignal;
}

/**
 * Runs a command line.
 *
 * @param args what follows `xenctrl`
 * @returns the exit code
 */
export async function main(args: readonly string[], shell: Shell): Promise<number> {
  try {
    return await dispatch(args, shell);
  } catch (error) {
    return report(error, args, shell.output);
  }
}

async function dispatch(args: readonly string[], shell: Shell): Promise<number> {
  const { name, rest } = takeCommand(args);
  if (name === undefined) return await withoutCommand(args, shell);
  if (name === 'help') return await dispatch([...rest, '--help'], shell);
  const command = await COMMANDS.get(name)?.();
  if (!command) throw unknownCommand(name, COMMANDS, 'xenctrl');
  if (command.raw && !wantsHelp(rest)) return await command.raw(rest);
  return await run(command, `xenctrl ${name}`, rest, shell);
}

/** Help on a raw command is asked for by the word right behind it. */
function wantsHelp([first]: readonly string[]): boolean {
  return first === '--help' || first === '-h';
}

/** The first operand is the command; options may come before it. */
function takeCommand(args: readonly string[]): { name: string | undefined; rest: readonly string[] } {
  const at = findCommand(args, [...COMMON, ...XEN_OPTIONS]);
  return { name: args[at], rest: at < 0 ? args : args.toSpliced(at, 1) };
}

function unknownCommand(name: string, commands: Commands, path: string): UsageError {
  const near = nearest(name, [...commands.keys()]);
  const next = near === undefined ? `\`${path} --help\` lists the commands` : `did you mean \`${path} ${near}\`?`;
  return new UsageError(`unknown command '${name}'`, next);
}

async function withoutCommand(args: readonly string[], { output }: Shell): Promise<number> {
  const { options } = parseLine(args, COMMON, []);
  if (options.has('version')) return version(output, options.has('json'));
  const commands = await loadAll(COMMANDS);
  if (options.has('help')) {
    output.lines((style, columns) => generalHelp(commands, style, columns));
    return EXIT_OK;
  }
  output.errorLines((style, columns) => generalHelp(commands, style, columns));
  return EXIT_USAGE;
}

function version(output: Output, json: boolean): number {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version: number } = JSON.parse(text) as { readonly version: string };
  if (json) output.json({ version: number });
  else output.lines(() => [number]);
  return EXIT_OK;
}

async function run(command: Command, path: string, args: readonly string[], shell: Shell): Promise<number> {
  const { output, signal } = shell;
  if (command.commands) {
    const { name, rest } = takeCommand(args);
    const below = name === undefined ? undefined : await command.commands.get(name)?.();
    if (below) return await run(below, `${path} ${below.name}`, rest, shell);
    if (name !== undefined && !command.run) {
      throw unknownCommand(name, command.commands, path);
    }
  }
  const line = parseLine(args, [...(command.options ?? []), ...COMMON], command.operands ?? []);
  if (line.options.has('version')) return version(output, line.options.has('json'));
  if (line.options.has('help')) {
    const below = await loadAll(command.commands);
    output.lines((style, columns) => commandHelp(command, below, path, style, columns));
    return EXIT_OK;
  }
  if (!command.run) {
    const below = await loadAll(command.commands);
    output.errorLines((style, columns) => commandHelp(command, below, path, style, columns));
    return EXIT_USAGE;
  }
  const note = (text: string): void => output.errorLines(() => [text]);
  const progress = (text: string): void => output.progress(text);
  const inJson = line.options.has('json');
  const emit = ({ json, text }: Emitted): Promise<boolean> => {
    if (inJson) output.jsonLine(json);
    else output.lines(text);
    return output.flushed();
  };
  const live = inJson ? null : output.live;
  const outcome = await command.run({ ...line, note, emit, live, progress, signal });
  return print(outcome, inJson, output);
}

function print(outcome: Outcome, json: boolean, output: Output): number {
  const { aside } = outcome;
  if (json) {
    if (outcome.json !== undefined) output.json(outcome.json);
    if (aside !== undefined) output.errorLines(() => [aside]);
  } else {
    output.lines((style, columns) => [
      ...outcome.text(style, columns),
      ...(aside === undefined ? [] : ['', style.quiet(aside)]),
    ]);
  }
  return outcome.code ?? EXIT_OK;
}
