// Inspecting a saved dump of 500 PCI devices, against lspci decoding the same file: whole processes, and what of ours is
// not node's start.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspectAll, parseLspci } from '../../dist/pci/index.js';
import { ROOT } from './compile.mjs';

const DEVICES = 500;
const TURNS = 7;

/** A real machine's `lspci -xxxx`, as often as it takes, each time in a PCI domain of its own. */
function dumpText() {
  const blocks = readFileSync(`${ROOT}/test/pci/dumps/q35-xxxx.txt`, 'utf8').trimEnd().split('\n\n');
  const all = Array.from({ length: DEVICES }, (_, i) => {
    const domain = Math.floor(i / blocks.length)
      .toString(16)
      .padStart(4, '0');
    return `${domain}:${blocks[i % blocks.length]}\n`;
  });
  return all.join('\n');
}

/** Milliseconds that an action takes. */
function timed(action) {
  const start = performance.now();
  action();
  return performance.now() - start;
}

function run(program, args) {
  const { status, error, stderr } = spawnSync(program, args, { maxBuffer: 2 ** 28 });
  if (error || status !== 0) throw error ?? new Error(`${program}: ${stderr}`);
}

export async function* inspectCases() {
  const name = `inspect a dump of ${DEVICES} devices`;
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-bench-'));
  try {
    const file = join(folder, 'dump.txt');
    const text = dumpText();
    writeFileSync(file, text);
    const rivalMissing = spawnSync('lspci', ['--version']).error !== undefined;
    const times = { ours: [], rival: [], inside: [] };
    for (let turn = 0; turn < TURNS; turn++) {
      times.ours.push(timed(() => run(process.execPath, [`${ROOT}/bin/xenctrl.js`, 'pci', 'inspect', file, '--json'])));
      if (!rivalMissing) times.rival.push(timed(() => run('lspci', ['-F', file, '-vv'])));
      times.inside.push(timed(() => inspectAll(parseLspci(text))));
    }
    const best = (of) => Math.min(...of) / 1000;
    const rival = rivalMissing ? {} : { rival: best(times.rival), rivalName: 'lspci -F FILE -vv' };
    yield { case: `${name}: the command`, ours: best(times.ours), unit: 's', ...rival };
    yield { case: `${name}: without node's start`, ours: best(times.inside), unit: 's', ...rival };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
