/**
 * A second process that watches over a session: its end of a pipe is closed when this process is gone, however that came,
 * and it then frees the domain unless it was told that all is well.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { XcInterface } from '../../xc/interface.js';

/** What the guard is told when the session was closed. */
export const ALL_IS_WELL = '.';

const MAIN = fileURLToPath(new URL('./guard_main.js', import.meta.url));

/**
 * Starts the guard of a domain. It has a session of its own, so that Ctrl-C in the terminal does not end it, too.
 *
 * @returns what ends it
 */
export function startGuard(xch: XcInterface, domid: number): () => void {
  const { kind } = xch.hypervisor;
  if (kind === 'model') return () => {};
  return spawnGuard(kind, domid);
}

/** @internal */
export function spawnGuard(backend: string, domid: number): () => void {
  const child = spawn(process.execPath, [MAIN, backend, String(domid)], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  });
  child.on('error', (error) => console.error(`the guard of domain ${domid} could not be started: ${error.message}`));
  child.stdin.on('error', () => {}); // it has ended already
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return () => {
    child.stdin.end(ALL_IS_WELL);
  };
}
