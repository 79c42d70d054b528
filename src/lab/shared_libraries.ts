/** Which shared libraries a program needs, as the machine's own loader finds them. */

import { closeSync, openSync, readSync } from 'node:fs';
import { isElf } from './elf.js';
import { capture } from './processes.js';

/** `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)` and `/lib64/ld-linux-x86-64.so.2 (0x...)`. */
const LIBRARY = /^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm;

/** Paths of the libraries; none for a static program or something that is no program. */
export async function sharedLibraries(file: string): Promise<readonly string[]> {
  if (!startsAsElf(file)) return [];
  const { stdout } = await capture('ldd', [file]);
  return parseLdd(stdout);
}

export function parseLdd(text: string): readonly string[] {
  return [...text.matchAll(LIBRARY)].map((match) => match[1] ?? '').filter((path) => path !== '');
}

function startsAsElf(file: string): boolean {
  const fd = openSync(file, 'r');
  try {
    const magic = Buffer.alloc(4);
    readSync(fd, magic, 0, 4, 0);
    return isElf(magic);
  } finally {
    closeSync(fd);
  }
}
