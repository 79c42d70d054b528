/**
 * What must be undone before this process ends: on `process.exit()` and uncaught errors, SIGINT and SIGTERM. (Nothing can
 * be done about SIGKILL here: see guard.ts.)
 *
 * A program that listens to SIGINT or SIGTERM itself decides what they do; what is registered here is undone when it
 * exits.
 */

import { isMainThread } from 'node:worker_threads';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

const pending = new Set<() => void>();

/** Runs everything registered, newest first. */
function runAll(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      undo();
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
    }
  }
}

function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  runAll();
  uninstall();
  process.kill(process.pid, signal); // ends the process the way it would have ended without us
}

function install(): void {
  process.on('exit', runAll);
  // before the program's own, which may take itself off when it is called
  if (isMainThread) for (const signal of SIGNALS) process.prependListener(signal, onSignal);
}

function uninstall(): void {
  process.off('exit', runAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/** Has `undo` run when the process ends. Returns what takes that back. */
export function atExit(undo: () => void): () => void {
  if (pending.size === 0) install();
  pending.add(undo);
  return () => {
    if (pending.delete(undo) && pending.size === 0) uninstall();
  };
}
