/** The lab as a command: `npm run lab -- ...`, and `xenctrl lab ...`, which calls this too. */

import { LAB_USAGE, parseLabArguments } from './arguments.js';
import { EXIT_LAB_FAILED, LabError } from './error.js';
import type { LabOptions, LabOutput } from './options.js';
import { runLab } from './run.js';
import { StatusLine } from './status_line.js';

/** Signals that end a run early, and what a shell calls such an end. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs the lab as a process of its own would.
 *
 * @param words the command line without the program
 * @param run does the work; tests bring their own
 * @returns what to exit with
 */
export async function labMain(words: readonly string[], run: typeof runLab = runLab): Promise<number> {
  const status = new StatusLine(process.stderr, process.env['NO_COLOR']);
  try {
    const request = parseLabArguments(words);
    if (request.kind === 'help') {
      process.stdout.write(LAB_USAGE);
      return 0;
    }
    return await runUntilSignal(request.options, status, run);
  } catch (error) {
    status.clear();
    if (error instanceof LabError) {
      process.stderr.write(`lab: ${error.message}\n`);
      return error.exitCode;
    }
    process.stderr.write(`lab: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return EXIT_LAB_FAILED;
  }
}

async function runUntilSignal(options: LabOptions, status: StatusLine, run: typeof runLab): Promise<number> {
  const stop = new AbortController();
  let early: number | null = null;
  const end = (exitCode: number): void => {
    early ??= exitCode;
    stop.abort();
  };
  const handlers = Object.entries(SIGNALS).map(([signal, exitCode]) => [signal, (): void => end(exitCode)] as const);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  // The reader of our output went away (`| head`): it has all it wanted.
  const broken = (): void => end(0);
  process.stdout.on('error', broken);
  try {
    const { exitCode } = await run({
      ...options,
      stdout: afterClearing(process.stdout, status),
      stderr: afterClearing(process.stderr, status),
      onStage: (stage) => (stage === 'running' ? status.clear() : status.show(stage)),
      signal: stop.signal,
    });
    return exitCode;
  } catch (error) {
    if (early !== null) return early;
    throw error;
  } finally {
    status.clear();
    for (const [signal, handler] of handlers) process.off(signal, handler);
    process.stdout.off('error', broken);
  }
}

/** The command's output never stands on the status line. */
function afterClearing(stream: NodeJS.WriteStream, status: StatusLine): LabOutput {
  return {
    write: (piece) => {
      status.clear();
      return stream.write(piece);
    },
    once: (event, listener) => stream.once(event, listener),
    off: (event, listener) => stream.off(event, listener),
  };
}
