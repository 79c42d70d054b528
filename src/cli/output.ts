/** Where the command prints to. */

import { makeStyle, type Style, wantsColour } from './style.js';

/** What is needed of a stream. */
export interface Sink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
  /** Whether its reader has gone away. */
  gone?(): boolean;
  /** Resolves once what was written is on its way; null: it is. */
  drained?(): Promise<void> | null;
}

type Lines = (style: Style, columns: number) => readonly string[];

export class Output {
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #outStyle: Style;
  readonly #errStyle: Style;
  /** How many lines {@link live} has on the screen. */
  #liveLines = 0;

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
    this.#out.write(`${stringify(value, 2)}\n`);
  }

  /** One of many, on a line. */
  jsonLine(value: unknown): void {
    this.#out.write(`${stringify(value)}\n`);
  }

  /** Shows lines in the place of those of the last time; null: not on a terminal. */
  get live(): ((lines: Lines) => void) | null {
    return this.#out.isTTY ? (lines) => this.#redraw(lines) : null;
  }

  #redraw(lines: Lines): void {
    const up = this.#liveLines > 0 ? `\u001b[${this.#liveLines}A\u001b[J` : '';
    const shown = lines(this.#outStyle, columnsOf(this.#out));
    this.#out.write(`${up}${shown.join('\n')}\n`);
    this.#liveLines = shown.length;
  }

  /** Waits for a slow reader. Resolves to false when it has gone away. */
  async flushed(): Promise<boolean> {
    await this.#out.drained?.();
    return !this.#out.gone?.();
  }
}

/** Most values have no 64-bit integers, and to look at each of a large one for them takes as long as all the rest. */
function stringify(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch {
    return JSON.stringify(value, plain, indent);
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
