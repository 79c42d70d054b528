/**
 * A recording that is a whole JSON file after every step. The end of the file (what closes the list, and the notes) is
 * written again behind each new step, over the one before, and both go to the kernel in one write: an exit, a signal, even
 * a kill leaves a file that can be read. There is nothing to flush and no handler to install.
 */

import { closeSync, openSync, writeSync } from 'node:fs';

export class RecordFile {
  readonly path: string;
  readonly #fd: number;
  /** Where the end of the file begins. */
  #at: number;
  #empty = true;
  readonly #notes: string[] = [];
  #open = true;

  /** @param head the recording's members, without `steps`, `exact` and `notes` */
  constructor(path: string, head: Readonly<Record<string, unknown>>) {
    this.path = path;
    this.#fd = openSync(path, 'w');
    const members = Object.entries(head).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},\n`);
    const begin = `{${members.join('')}"steps":[`;
    writeSync(this.#fd, `${begin}${this.#end()}`, 0);
    this.#at = Buffer.byteLength(begin);
  }

  /** The reasons why a replay might not answer the same. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /** Adds a step; its members must be JSON. */
  step(step: Readonly<Record<string, unknown>>): void {
    if (!this.#open) return;
    this.#write(`${this.#empty ? '' : ','}\n${JSON.stringify(step)}`);
    this.#empty = false;
  }

  /** Says why the replay of this recording may differ. Once is enough for each reason. */
  note(reason: string): void {
    if (!this.#open || this.#notes.includes(reason)) return;
    this.#notes.push(reason);
    this.#write('');
  }

  /** Nothing is added from now on. The file is whole without it. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  /** A disk that is full ends the recording, and not the session. */
  #write(text: string): void {
    try {
      writeSync(this.#fd, `${text}${this.#end()}`, this.#at);
      this.#at += Buffer.byteLength(text);
    } catch (error) {
      this.close();
      process.emitWarning(`the recording ${this.path} ends here: ${String(error)}`, { code: 'XENCTRL_RECORD' });
    }
  }

  #end(): string {
    const exact = this.#notes.length === 0;
    const notes = exact ? '' : `,\n"notes":${JSON.stringify(this.#notes, null, 1)}`;
    return `\n],\n"exact":${exact}${notes}}\n`;
  }
}
