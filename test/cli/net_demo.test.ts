import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInside } from './run.js';

test('net demo: every scene ends as it did, the wrong ones with bad checksums at the host', async () => {
  const { code, stdout } = await runInside(['net', 'demo', '--json']);
  assert.equal(code, 0);
  const { scenes } = JSON.parse(stdout) as { scenes: { scene: string; arrived: number; csumErrors: number }[] };
  assert.deepEqual(
    scenes.map(({ arrived, csumErrors }) => [arrived, csumErrors]),
    [
      [12, 0],
      [0, 12],
      [12, 0],
      [0, 12],
      [0, 12],
      [12, 0],
      [12, 0],
      [0, 0],
      [0, 12],
    ],
  );
});
