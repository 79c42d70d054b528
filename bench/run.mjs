// npm run bench [-- SUBJECT... --json]: measures, and says how we stand against the rival.
//
// A subject is a file of this folder. It exports `bench()`, an async generator of rows
// `{case, ours, unit, rival, rivalName}` (no rival: leave the last two out) or of `{case, skipped}` with the reason.

import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const folder = dirname(fileURLToPath(import.meta.url));
const subjects = readdirSync(folder)
  .filter((file) => file.endsWith('.mjs') && file !== 'run.mjs')
  .map((file) => basename(file, '.mjs'));

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean' } } });
const unknown = positionals.find((name) => !subjects.includes(name));
if (unknown !== undefined) {
  console.error(`no subject '${unknown}'; there are: ${subjects.join(', ')}`);
  process.exit(2);
}
if (!existsSync(join(folder, '..', 'dist', 'index.js'))) {
  console.error('dist/ is not built: npm run build');
  process.exit(2);
}

process.stdout.on('error', () => process.exit(0)); // `| head` has enough

const WIDTHS = [52, 12, 12, 7];

function print(row) {
  if (values.json) {
    console.log(JSON.stringify(row));
    return;
  }
  const ratio = row.ratio === null ? '' : row.ratio.toFixed(2);
  const rival = row.rival === null ? '' : `${short(row.rival)} ${row.unit}`;
  const cells = [row.case, `${short(row.ours)} ${row.unit}`, rival, ratio];
  console.log(`  ${cells.map((cell, i) => pad(cell, i)).join(' ')}  ${row.rivalName ?? ''}`.trimEnd());
}

function pad(cell, column) {
  return column === 0 ? cell.padEnd(WIDTHS[0]) : cell.padStart(WIDTHS[column]);
}

function short(value) {
  return Number(value.toPrecision(4)).toString();
}

for (const subject of positionals.length > 0 ? positionals : subjects) {
  const { bench } = await import(`./${subject}.mjs`);
  if (!values.json) console.log(`${subject}\n  ${['', 'ours', 'rival', 'ratio'].map(pad).join(' ')}`);
  for await (const { case: name, ours, unit, rival = null, rivalName = null, skipped } of bench()) {
    if (skipped) console.error(`${subject}: ${name}: skipped: ${skipped}`);
    else print({ subject, case: name, ours, rival, rivalName, unit, ratio: rival === null ? null : ours / rival });
  }
}
