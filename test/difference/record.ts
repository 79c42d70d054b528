/**
 * `npm run lab:record`: records the project's own golden files on real Xen, and says how the model does on each.
 *
 *     node build/test/difference/record.js [--out FOLDER] [NAME...]      default: all of them, into test/golden
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { replay } from '#dist/replay/replay.js';
import { expecting } from './expect.js';
import { withSteps } from './generate.js';
import { type Engine, takeOnRealXen } from './lab.js';
import { SCRIPTS } from './scripts.js';

const MACHINES: Readonly<Record<Engine, string>> = {
  bochs: 'real Xen on one Intel CPU emulated by Bochs, recorded by lab:record',
  qemu: 'real Xen on one AMD CPU emulated by QEMU, recorded by lab:record',
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: join('test', 'golden') } },
});
const unknown = positionals.find((name) => !Object.hasOwn(SCRIPTS, name));
if (unknown !== undefined) {
  console.error(`there is no script '${unknown}'; there are: ${Object.keys(SCRIPTS).join(', ')}`);
  process.exit(2);
}
const chosen = positionals.length > 0 ? positionals : Object.keys(SCRIPTS);

for (const engine of ['bochs', 'qemu'] as const) {
  const names = chosen.filter((name) => SCRIPTS[name]?.engine === engine);
  if (names.length > 0) await record(engine, names);
}

async function record(engine: Engine, names: readonly string[]): Promise<void> {
  const sequences = names.map((name) =>
    withSteps(SCRIPTS[name]?.steps ?? [], MACHINES[engine], engine, SCRIPTS[name]?.pci),
  );
  const results = await takeOnRealXen(sequences, { engine, told: true });
  for (const [i, name] of names.entries()) {
    const { steps, ...machine } = sequences[i] ?? withSteps([]);
    const result = results[i];
    if (!result || result.failure !== undefined) throw new Error(`${name}: ${result?.failure ?? 'no result'}`);
    write(name, {
      ...machine,
      xen: '4.17',
      steps: steps.map((step, k) => ({ row: k + 1, ...expecting(step, result.told?.[k]) })),
    });
  }
}

function write(name: string, recording: { readonly steps: readonly object[]; readonly [key: string]: unknown }): void {
  const file = join(values.out, `lab-4.17-${name}.json`);
  const body = recording.steps.map((step) => JSON.stringify(step)).join(',\n');
  const head = JSON.stringify({ ...recording, steps: [] });
  writeFileSync(file, `${head.replace('"steps":[]', `"steps":[\n${body}\n]`)}\n`);
  const { matched, total, mismatches } = replay(recording);
  console.log(`${file}: the model matches ${matched} of ${total}`);
  for (const { row, call, args, differences } of mismatches) {
    const told = differences.map(
      ({ what, expected, got }) => `${what}: real ${JSON.stringify(expected)}, model ${JSON.stringify(got)}`,
    );
    console.log(`  ${row} ${call} ${JSON.stringify(args)}: ${told.join('; ')}`);
  }
}
