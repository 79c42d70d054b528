/** Xen's own xenstore daemons, those of Debian's xen-utils-4.17, in a dom0 that has none yet. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const BIN = '/usr/lib/xen-4.17/bin';
export const SOCKET = '/run/xenstored/socket';

/** Why a daemon cannot be started; false: it can. */
export function noXenstored(program: string): string | false {
  return existsSync(`${BIN}/${program}`) ? false : `there is no ${BIN}/${program}: apt install xen-utils-4.17`;
}

/** Starts `xenstored` or `oxenstored` with an empty store. */
export async function startXenstored(program: string): Promise<AsyncDisposable> {
  for (const folder of ['/run/xenstored', '/run/xen', '/var/lib/xenstored', '/var/log/xen']) {
    mkdirSync(folder, { recursive: true });
  }
  for (const left of [SOCKET, '/var/lib/xenstored/tdb', '/run/xen/xenstored.pid', '/run/xenstored.pid']) {
    rmSync(left, { force: true });
  }
  const flags = program === 'xenstored' ? ['-N'] : ['--no-fork'];
  const child = spawn(`${BIN}/${program}`, flags, { stdio: ['ignore', 'inherit', 'inherit'] });
  for (let waited = 0; waited < 200 && !existsSync(SOCKET); waited++) await sleep(50);
  assert.ok(existsSync(SOCKET), `${program} does not listen`);
  return {
    async [Symbol.asyncDispose]() {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGKILL');
      await ended;
    },
  };
}
