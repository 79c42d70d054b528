/** The command as a process: its streams, its signals, its exit code. */

import { main } from './main.js';
import { Output, type Sink } from './output.js';

/** A stream whose reader may go away. */
function sink(stream: NodeJS.WriteStream): Sink {
  let gone = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    gone = true;
  });
  return {
    isTTY: stream.isTTY,
    columns: stream.columns,
    write: (text) => !gone && stream.write(text),
    gone: () => gone,
    drained: () => (gone || !stream.writableNeedDrain ? null : drained(stream)),
  };
}

/** Resolves when the stream takes more, or nobody reads it any more. */
function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('error', done);
      resolve();
    };
    stream.on('drain', done).on('error', done);
  });
}

/**
 * Runs the command line of this process.
 *
 * The first SIGINT or SIGTERM asks the command to stop between two steps, the second ends it as it stands. Once it has
 * stopped, the process ends by that very signal, so that a shell sees what happened (130 or 143).
 */
export async function runProcess(): Promise<void> {
  const output = new Output(sink(process.stdout), sink(process.stderr), process.env);
  const stop = new AbortController();
  let received: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    received = name;
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    stop.abort(new Error(`stopped by ${name}`));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  process.exitCode = await main(process.argv.slice(2), { output, signal: stop.signal });
  if (received !== undefined) process.kill(process.pid, received);
}
