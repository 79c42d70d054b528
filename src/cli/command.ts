/** What a command is. */

import type { ParsedOptions } from './options.js';
import type { Style } from './style.js';

export interface Option {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** What its value is called; none: a switch. */
  readonly value?: string;
  /** The values that there are, when they can be listed. */
  readonly values?: readonly string[];
  readonly help: string;
}

/** An operand; the names are for the usage line and the completion. */
export interface Operand {
  readonly name: string;
  readonly optional?: boolean;
  readonly values?: readonly string[];
}

/** Something that happened while a command ran, in both forms. */
export interface Emitted {
  /** For `--json`: a line of its own. */
  readonly json: unknown;
  readonly text: (style: Style, columns: number) => readonly string[];
}

/** What a command did, in both forms. */
export interface Outcome {
  /** The result for `--json`; undefined: all was emitted already. */
  readonly json: unknown;
  /** The result for people: lines. */
  readonly text: (style: Style, columns: number) => readonly string[];
  /** Default 0. */
  readonly code?: number;
  /** What else is to be known: after the text, or with `--json` on stderr. */
  readonly aside?: string;
}

/** What a command gets. */
export interface Context {
  readonly operands: readonly string[];
  readonly options: ParsedOptions;
  /** Says something beside the result, on stderr. */
  readonly note: (line: string) => void;
  /** Prints something that happened, ahead of the result. Resolves, once there is room for more, to whether anybody reads. */
  readonly emit: (event: Emitted) => Promise<boolean>;
  /** Shows lines in the place of those of the last time; null where that cannot be: no terminal, or `--json`. */
  readonly live: ((lines: (style: Style, columns: number) => readonly string[]) => void) | null;
  /** Says how far it is; empty: done. Shown on terminals only. */
  readonly progress: (text: string) => void;
  /** Fires on the first Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Commands by their names. Each is loaded when it is called, so that one does not pay for the others. */
export type Commands = ReadonlyMap<string, () => Promise<Command>>;

/** Makes {@link Commands}. */
export function commands(loaders: Readonly<Record<string, () => Promise<Command>>>): Commands {
  return new Map(Object.entries(loaders));
}

/** For those who need all of them: help and completion. */
export async function loadAll(some: Commands | undefined): Promise<readonly Command[]> {
  return await Promise.all([...(some?.values() ?? [])].map((load) => load()));
}

export interface Command {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** More about it, paragraphs. */
  readonly description?: readonly string[];
  readonly operands?: readonly Operand[];
  readonly options?: readonly Option[];
  /** A command line after `xenctrl`, and what it does. */
  readonly examples?: readonly (readonly [line: string, what: string])[];
  /** Instead of {@link run}, or beside it: then its first operand is none of their names. */
  readonly commands?: Commands;
  readonly run?: (context: Context) => Outcome | Promise<Outcome>;
  /** Instead of {@link run}, for a command that reads its line and prints by itself. Gives the exit code. */
  readonly raw?: (words: readonly string[]) => Promise<number>;
}
