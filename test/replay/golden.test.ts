/** Every recording of real Xen matches, row by row; and what was changed in one does not. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readRecording } from '#dist/replay/file.js';
import { replay } from '#dist/replay/replay.js';
import { golden, goldenPaths, type Recording } from './golden.js';

const CLI = fileURLToPath(new URL('../../../dist/replay/cli.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'xenctrl-replay-'));
after(() => rmSync(folder, { recursive: true }));

function run(...files: string[]): { status: number | null; lines: string[]; errors: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...files], { encoding: 'utf8' });
  return { status, lines: stdout.trimEnd().split('\n'), errors: stderr };
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('recordings of real Xen', () => {
  for (const path of goldenPaths()) {
    test(`${basename(path)} matches in full`, () => {
      const { matched, total, mismatches } = replay(readRecording(path));
      assert.deepEqual(mismatches, []);
      assert.equal(matched, total);
      assert.ok(total > 0);
    });
  }

  test('every step counts', () => {
    assert.equal(replay(golden('mixed')).total, 507);
  });

  test('no expected value goes unheeded: changed, it is a mismatch of its row', () => {
    for (const path of goldenPaths('xen-recording/1')) {
      for (let nth = 0, changed = 1; changed > 0; nth++) {
        const recording = readRecording(path) as Recording;
        changed = 0;
        for (const { expect, events = [] } of recording.steps) {
          const told = events.flatMap((event) => [event.expect, event['answerCall']]);
          const change = [expect, ...told].flatMap((one) => changes(Object(one)))[nth];
          if (!change) continue;
          change();
          changed++;
        }
        assert.equal(replay(recording).mismatches.length, changed, `${basename(path)}, value ${nth} of each row`);
      }
    }
  });
});

/** One change for each value below an object. */
function changes(object: Record<string, unknown>): (() => void)[] {
  return Object.entries(object).flatMap(([key, value]): (() => void)[] => {
    if (typeof value === 'object' && value !== null) return changes(value as Record<string, unknown>);
    return [
      () => {
        object[key] = another(key, value);
      },
    ];
  });
}

function another(key: string, value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return key === 'state' || key === 'sve' ? 1 - value : value === 0 ? 1 : value - 1;
  if (value === null) return 13;
  if (!String(value).startsWith('0x')) return 'EXDEV';
  return value === '0x1' ? '0x2' : '0x1';
}

describe('the command', () => {
  const [first = ''] = goldenPaths();

  test('ends with the sum of all files', () => {
    const { status, lines } = run(...goldenPaths());
    assert.equal(status, 0);
    assert.match(lines.at(-1) ?? '', /^(\d+) of \1 calls match$/);
  });

  test('reads compressed files, whatever their name', () => {
    const packed = gzipSync(readFileSync(first));
    for (const name of ['packed.json.gz', 'packed.json']) {
      const { status, lines } = run(file(name, packed));
      assert.equal(status, 0);
      assert.equal(lines.length, 1);
    }
  });

  test('prints a mismatch on a line and exits 1', () => {
    const recording = golden('mixed');
    for (const step of recording.steps) if (step['row'] === 413 && step.expect) step.expect['exception'] = null;
    const { status, lines } = run(file('wrong.json', JSON.stringify(recording)));
    assert.equal(status, 1);
    assert.equal(lines.length, 2);
    assert.match(
      lines[0] ?? '',
      /wrong\.json: row 413 \[guest-vmfunc\] guest vmfunc {"leaf":0,"index":3}: expected exception = null; got exception = 20$/,
    );
    assert.equal(lines[1], '506 of 507 calls match');
  });

  test('exits 2 for what is no recording, and says why', () => {
    const bad: readonly [name: string, content: string, reason: RegExp][] = [
      ['no.json', '{', /no\.json: .*JSON/],
      ['list.json', '[]', /the recording must be an object/],
      ['other.json', '{"format":"xen-recording/9"}', /format: xen-recording\/9 is not known/],
      ['gz.json', Buffer.from([0x1f, 0x8b, 1, 2]).toString('latin1'), /gz\.json: /],
    ];
    for (const [name, content, reason] of bad) {
      const { status, lines, errors } = run(file(name, content));
      assert.equal(status, 2);
      assert.match(errors, reason);
      assert.deepEqual(lines, ['']);
    }
    const both = run(join(folder, 'none.json'), first);
    assert.equal(both.status, 2);
    assert.match(both.errors, /ENOENT/);
    assert.match(both.lines.at(-1) ?? '', /^(\d+) of \1 calls match$/);
    assert.equal(run().status, 2);
  });

  test('npm run replay is the same', () => {
    const root = fileURLToPath(new URL('../../../', import.meta.url));
    const output = execFileSync('npm', ['run', '--silent', 'replay', '--', first], { cwd: root, encoding: 'utf8' });
    assert.match(output.trimEnd(), /^(\d+) of \1 calls match$/);
  });
});
