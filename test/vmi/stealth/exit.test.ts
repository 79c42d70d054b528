/** However the agent's process ends, the hooks go with it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./exit_program.js', import.meta.url));

for (const [how, code, signal] of [
  ['exit', 3, null],
  ['throw', 1, null],
  ['SIGTERM', null, 'SIGTERM'],
  ['SIGINT', null, 'SIGINT'],
] as const) {
  test(`a process that ends by ${how} leaves no hook`, () => {
    const ended = spawnSync(process.execPath, [PROGRAM, how], { encoding: 'utf8', timeout: 20_000 });
    assert.deepEqual([ended.status, ended.signal, ended.stdout], [code, signal, 'undone\n'], ended.stderr);
  });
}
