/**
 * `npm run lab:record`: records the project's own golden files on real Xen in Bochs, and says how the model does on each.
 *
 *     node build/test/difference/record.js [FOLDER]      default: test/golden
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { replay } from '#dist/replay/replay.js';
import { expecting } from './expect.js';
import { withSteps } from './generate.js';
import { takeOnRealXen } from './lab.js';
import { SCRIPTS } from './scripts.js';

const [folder = join('test', 'golden')] = process.argv.slice(2);
const names = Object.keys(SCRIPTS);
const sequences = names.map((name) => withSteps(SCRIPTS[name] ?? []));
const results = await takeOnRealXen(sequences, { engine: 'bochs', told: true });
for (const [i, name] of names.entries()) {
  const { steps, ...machine } = sequences[i] ?? withSteps([]);
  const result = results[i];
  if (!result || result.failure !== undefined) throw new Error(`${name}: ${result?.failure ?? 'no result'}`);
  const recording = {
    ...machine,
    xen: '4.17',
    hypervisor: 'real Xen on one Intel CPU emulated by Bochs, recorded by lab:record',
    steps: steps.map((step, k) => ({ row: k + 1, ...expecting(step, result.told?.[k]) })),
  };
  const file = join(folder, `lab-4.17-${name}.json`);
  const body = recording.steps.map((step) => JSON.stringify(step)).join(',\n');
  writeFileSync(
    file,
    `${JSON.stringify({ ...recording, steps: [] }).replace('"steps":[]', `"steps":[\n${body}\n]`)}\n`,
  );
  const { matched, total, mismatches } = replay(recording);
  console.log(`${file}: the model matches ${matched} of ${total}`);
  for (const { row, call, args, differences } of mismatches) {
    const told = differences.map(
      ({ what, expected, got }) => `${what}: real ${JSON.stringify(expected)}, model ${JSON.stringify(got)}`,
    );
    console.log(`  ${row} ${call} ${JSON.stringify(args)}: ${told.join('; ')}`);
  }
}
