/** However the agent's process ends, the guest is not left frozen. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./exit_program.js', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves when the program and whatever holds its stderr have ended. */
function program(how: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, how], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

const FREE = 'free, 0 wait\n';

for (const [how, code, signal, stdout] of [
  ['exit', 3, null, FREE],
  ['throw', 1, null, FREE],
  ['SIGTERM', null, 'SIGTERM', FREE],
  ['SIGINT', null, 'SIGINT', FREE],
  ['listener', 5, null, `mine\n${FREE}`],
  ['not', 3, null, ''],
] as const) {
  test(`a process that ends by ${how} ${stdout === '' ? 'and does not want to' : ''} lets the guest go`, async () => {
    const ended = await program(how);
    assert.deepEqual([ended.code, ended.signal, ended.stdout], [code, signal, stdout], ended.stderr);
  });
}

test('a guard frees the domain of an agent that was killed', async () => {
  const { signal, stderr } = await program('guard');
  assert.equal(signal, 'SIGKILL');
  // the guard's own software Xen has no such domain: it was asked all the same
  assert.match(stderr, /the agent of domain 7 is gone: letting the domain go\n.*xc_domain_getinfo_single.*ESRCH/s);
});

test('a guard that is told of a closed session does nothing', async () => {
  const { code, stderr } = await program('guard-closed');
  assert.equal(code, 0);
  assert.equal(stderr, '');
});
