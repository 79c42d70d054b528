/**
 * Bochs' terminal display draws on a pseudo-terminal and stops when nobody reads what it draws. This reads it.
 */

import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { LabError } from './error.js';

/** What Bochs prints about it when it starts. */
const SCREEN = /connected to screen "([^"]+)"/;

export class TerminalDrain {
  readonly #log: string;
  #stream: ReadStream | null = null;

  /** @param log file that takes what Bochs prints */
  constructor(log: string) {
    this.#log = log;
  }

  /** Attaches as soon as it is known where. */
  update(): void {
    if (this.#stream) return;
    const screen = SCREEN.exec(readFileSync(this.#log, 'latin1'))?.[1];
    if (screen === undefined) return;
    this.#stream = attach(screen);
    // When Bochs ends, so does its terminal, with an error.
    this.#stream.on('error', () => this.close());
    this.#stream.setRawMode(true);
    this.#stream.resume();
    this.#stream.unref();
  }

  close(): void {
    this.#stream?.destroy();
  }
}

function attach(screen: string): ReadStream {
  let fd: number | null = null;
  try {
    fd = openSync(screen, constants.O_RDONLY | constants.O_NOCTTY);
    return new ReadStream(fd);
  } catch (error) {
    if (fd !== null) closeSync(fd);
    const why = error instanceof Error ? error.message : String(error);
    throw new LabError(`Bochs draws on ${screen}, which cannot be read (${why}): is /dev/pts mounted?`);
  }
}
