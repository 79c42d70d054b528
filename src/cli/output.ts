/** Where the command prints to. */

import { makeStyle, type Style, wantsColour } from './style.js';

/** What is needed of a stream. */
export interface Sink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

type Lines = (style: Style, columns: number) => readonly string[];

export class Output {
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #outStyle: Style;
  readonly #errStyle: Style;

  constructor(out: Sink, err: Sink, env: NodeJS.ProcessEnv) {
    this.#out = out;
    this.#err = err;
    this.#outStyle = makeStyle(wantsColour(env, out.isTTY === true));
    this.#errStyle = makeStyle(wantsColour(env, err.isTTY === true));
  }

  lines(lines: Lines): void {
    write(this.#out, lines(this.#outStyle, columnsOf(this.#out)));
  }

  errorLines(lines: Lines): void {
    write(this.#err, lines(this.#errStyle, columnsOf(this.#err)));
  }

  /** Progress, overwritten by the next; on a terminal only. */
  progress(text: string): void {
    if (this.#err.isTTY) this.#err.write(`\r\u001b[K${text}`);
  }

  json(value: unknown): void {
    this.#out.write(`${JSON.stringify(value, plain, 2)}\n`);
  }

  /** One of many, on a line. */
  jsonLine(value: unknown): void {
    this.#out.write(`${JSON.stringify(value, plain)}\n`);
  }
}

/** JSON has no 64-bit integers. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function write(sink: Sink, lines: readonly string[]): void {
  if (lines.length > 0) sink.write(`${lines.join('\n')}\n`);
}

/** Wide enough for words, narrow enough to be read. */
function columnsOf({ columns = 100 }: Sink): number {
  return Math.min(110, Math.max(60, columns));
}
