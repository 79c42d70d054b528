/** The code in docs/guest-scripts.md runs as it stands there. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

test('docs/guest-scripts.md', () => {
  const text = readFileSync(`${ROOT}docs/guest-scripts.md`, 'utf8');
  const code = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block).join('\n');
  const show = 'console.log(end, guest.vcpus[0].write(0x40_0000, new Uint8Array(1)).errorCode);';
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code + show], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.equal(stdout, "{ ended: 'returned', value: 67305985n } 3\n");
});
