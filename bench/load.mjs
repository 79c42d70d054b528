// How long a program waits for the package: importing it, and loading the addon. Aims: 60 ms and 5 ms.

import { execFileSync } from 'node:child_process';
import { orSkipped, ROOT, requireAddon } from './lib/compile.mjs';
import { summary } from './lib/interleave.mjs';

const PROCESSES = 15;

const IMPORT = `const start = performance.now(); await import('#dist/index.js'); console.log(performance.now() - start);`;
const ADDON = `const { loadAddon } = await import('#dist/native/load.js');
const start = performance.now(); if (loadAddon().addon === null) process.exit(1); console.log(performance.now() - start);`;

/** A script's own measurement, each in a fresh process. */
function measure(script) {
  const samples = Array.from({ length: PROCESSES }, () =>
    Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, encoding: 'utf8' })),
  );
  return summary(samples);
}

export async function* bench() {
  const whole = measure(IMPORT);
  yield { case: 'import xenctrl, best', ours: whole.best, unit: 'ms' };
  yield { case: 'import xenctrl, median', ours: whole.median, unit: 'ms' };
  yield* orSkipped('addon', function* () {
    requireAddon();
    const { best, median } = measure(ADDON);
    yield { case: 'load the addon, best', ours: best, unit: 'ms' };
    yield { case: 'load the addon, median', ours: median, unit: 'ms' };
  });
}
