/** Folders for what tests write. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];

/**
 * A folder that is gone when the test's process is.
 *
 * @param base where it is; memory, say, for a test that has thousands of writes brought to the disk
 */
export function scratchFolder(base = tmpdir()): string {
  const folder = mkdtempSync(join(base, 'xenctrl-test-'));
  if (folders.push(folder) === 1) {
    process.on('exit', () => {
      for (const one of folders) rmSync(one, { recursive: true, force: true });
    });
  }
  return folder;
}
