#!/usr/bin/env node
/** Assembles the conformance tests' guest, test/conformance/guest/guest.S, to build/test/guest.bin. */

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'build', 'test');
mkdirSync(out, { recursive: true });

const steps = [
  ['as', '--32', '-o', 'guest.o', join(root, 'test', 'conformance', 'guest', 'guest.S')],
  ['ld', '-m', 'elf_i386', '-Ttext', '0x10000', '-e', '_start', '-o', 'guest.elf', 'guest.o'],
  ['objcopy', '-O', 'binary', 'guest.elf', 'guest.bin'],
];
for (const [command, ...args] of steps) {
  const { status, error } = spawnSync(command, args, { cwd: out, stdio: 'inherit' });
  if (error || status !== 0) {
    console.error(
      `build-guest: ${command} failed${error ? ` (${error.message})` : ''}; apt-get install binutils provides it`,
    );
    process.exit(1);
  }
}
