/** Reading the command line. */

import { parseArgs } from 'node:util';
import type { Operand, Option } from './command.js';
import { UsageError } from './exit.js';
import { nearest } from './suggest.js';

/** The options that were given. */
export class ParsedOptions {
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(values: ReadonlyMap<string, string | true>) {
    this.#values = values;
  }

  /** Whether a switch was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option, if it was given. */
  get(name: string): string | undefined {
    const value = this.#values.get(name);
    return value === true ? undefined : value;
  }
}

export interface ParsedLine {
  readonly operands: readonly string[];
  readonly options: ParsedOptions;
}

type Tokens = ReturnType<typeof tokenize>;

function tokenize(args: readonly string[], options: readonly Option[]) {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      options.map(({ name, short, value }) => [
        name,
        { type: value === undefined ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) } as const,
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens ?? [];
}

/** Position of the first operand, which names the command; -1: there is none. */
export function findCommand(args: readonly string[], options: readonly Option[]): number {
  return tokenize(args, options).find((token) => token.kind === 'positional')?.index ?? -1;
}

/**
 * Reads what follows the command's name.
 *
 * @throws UsageError for what nobody knows, with the nearest that somebody does
 */
export function parseLine(
  args: readonly string[],
  options: readonly Option[],
  operands: readonly Operand[],
): ParsedLine {
  const tokens = tokenize(args, options);
  const values = new Map<string, string | true>();
  for (const token of tokens) {
    if (token.kind === 'option') readOption(token, options, values);
  }
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  // asked for help, nothing else needs to be right
  if (!values.has('help')) checkOperands(words, operands);
  return { operands: words, options: new ParsedOptions(values) };
}

function readOption(
  token: Extract<Tokens[number], { kind: 'option' }>,
  options: readonly Option[],
  values: Map<string, string | true>,
): void {
  const option = options.find(({ name }) => name === token.name);
  if (!option) throw unknownOption(token.rawName, options);
  const { value } = token;
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`--${option.name} takes no value`);
    values.set(option.name, true);
    return;
  }
  const missing = value === undefined || value === '' || (!token.inlineValue && value.startsWith('-'));
  if (missing) throw new UsageError(`--${option.name} needs a value: --${option.name} ${option.value}`);
  if (option.values && !option.values.includes(value)) {
    const near = nearest(value, option.values);
    throw new UsageError(
      `--${option.name} must be one of ${option.values.join(', ')}, not '${value}'`,
      near === undefined ? undefined : `did you mean --${option.name} ${near}?`,
    );
  }
  values.set(option.name, value);
}

function unknownOption(raw: string, options: readonly Option[]): UsageError {
  const near = nearest(
    raw.replace(/^-+/, ''),
    options.map(({ name }) => name),
  );
  return new UsageError(`unknown option ${raw}`, near === undefined ? undefined : `did you mean --${near}?`);
}

function checkOperands(words: readonly string[], operands: readonly Operand[]): void {
  const missing = operands.filter(({ optional }) => !optional)[words.length];
  if (missing) throw new UsageError(`${missing.name} is missing`);
  const extra = words[operands.length];
  if (extra !== undefined) throw new UsageError(`'${extra}' is one operand too many`);
  words.forEach((word, i) => {
    const operand = operands[i];
    if (!operand?.values || operand.values.includes(word)) return;
    const near = nearest(word, operand.values);
    throw new UsageError(
      `${operand.name} must be one of ${operand.values.join(', ')}, not '${word}'`,
      near === undefined ? undefined : `did you mean '${near}'?`,
    );
  });
}
