/** Calls on a software Xen with the environment that tracing and recording look at. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `body` with variables of the environment set, or unset where the value is undefined. */
export function withEnvironment<T>(variables: Readonly<Record<string, string | undefined>>, body: () => T): T {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  const set = ([name, value]: readonly [string, string | undefined]): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  Object.entries(variables).forEach(set);
  try {
    return body();
  } finally {
    before.forEach(set);
  }
}

/** A folder that is gone when the tests are. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-trace-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
