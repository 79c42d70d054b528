/** The emulator's process: it never outlives this one, whichever way this one ends. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { findProgram, programPath } from './processes.js';

export interface EmulatorCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Its working folder. */
  readonly cwd: string;
  /** File that takes what it prints. */
  readonly log: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Emulator {
  readonly #child: ChildProcess;
  readonly #killOnExit = (): void => this.#signal();
  #ended: string | null = null;

  constructor({ program, args, cwd, log, environment = {} }: EmulatorCommand) {
    // The kernel ends it when this process dies without a chance to do so.
    const guard = findProgram('setpriv', programPath());
    const [command, words] =
      guard === null ? [program, args] : [guard, ['--pdeathsig', 'KILL', '--', program, ...args]];
    const output = openSync(log, 'w');
    this.#child = spawn(command, words, {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', output, output],
      // A group of its own: Ctrl-C in a terminal reaches this process alone, which then ends things in order.
      detached: true,
    });
    closeSync(output);
    this.#child.once('error', (error) => this.#end(`could not be started: ${error.message}`));
    this.#child.once('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : `signal ${signal}`));
    process.once('exit', this.#killOnExit);
  }

  /** How it ended, or null while it runs. */
  get ended(): string | null {
    return this.#ended;
  }

  /** Ends it at once and waits until it is gone: it has nothing to save. */
  async kill(): Promise<void> {
    if (this.#ended !== null) return;
    const gone = new Promise((done) => {
      this.#child.once('exit', done);
      this.#child.once('error', done);
    });
    this.#signal();
    await gone;
  }

  #signal(): void {
    const { pid } = this.#child;
    if (this.#ended !== null || pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It ended just now.
    }
  }

  #end(how: string): void {
    this.#ended ??= how;
    process.off('exit', this.#killOnExit);
  }
}
