/** One line at the bottom of a terminal that says what the lab is doing; nothing at all anywhere else. */

export interface TerminalLike {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const REFRESH_MS = 1000;
const ERASE = '\r\x1b[K';
const FAINT = '\x1b[2m';
const PLAIN = '\x1b[0m';

export class StatusLine {
  readonly #terminal: TerminalLike;
  readonly #colour: boolean;
  readonly #began = Date.now();
  #stage = '';
  #timer: NodeJS.Timeout | null = null;

  /** @param noColour the environment's NO_COLOR: any text but the empty one means plain */
  constructor(terminal: TerminalLike, noColour: string | undefined) {
    this.#terminal = terminal;
    this.#colour = noColour === undefined || noColour === '';
  }

  show(stage: string): void {
    if (this.#terminal.isTTY !== true) return;
    this.#stage = stage;
    this.#timer ??= setInterval(() => this.#draw(), REFRESH_MS).unref();
    this.#draw();
  }

  /** Takes the line away, before anything else is written. */
  clear(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#terminal.write(ERASE);
  }

  #draw(): void {
    const seconds = Math.round((Date.now() - this.#began) / 1000);
    const text = `lab: ${this.#stage}, ${seconds} s`.slice(0, (this.#terminal.columns ?? 80) - 1);
    this.#terminal.write(ERASE + (this.#colour ? FAINT + text + PLAIN : text));
  }
}
