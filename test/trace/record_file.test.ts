/** The file of a recording is whole at every moment, whatever ends the program that writes it. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { replay } from '#dist/replay/replay.js';
import { RecordFile } from '#dist/trace/record_file.js';
import { scratchFolder } from '../scratch.js';

const folder = scratchFolder();

describe('the file of a recording', () => {
  test('is whole JSON after every step and note', () => {
    const path = join(folder, 'growing.json');
    const file = new RecordFile(path, { format: 'xen-recording/1' });
    const read = (): { steps: unknown[] } => JSON.parse(readFileSync(path, 'utf8'));
    assert.deepEqual(read(), { format: 'xen-recording/1', steps: [], exact: true });
    const texts = fc.array(fc.tuple(fc.boolean(), fc.string({ unit: 'binary' })), { maxLength: 20 });
    const steps: unknown[] = [];
    fc.assert(
      fc.property(texts, (list) => {
        for (const [isNote, text] of list) {
          if (isNote) file.note(text);
          else steps.push({ text });
          if (!isNote) file.step({ text });
          assert.deepEqual(read(), {
            format: 'xen-recording/1',
            steps,
            exact: file.notes.length === 0,
            ...(file.notes.length > 0 && { notes: file.notes }),
          });
        }
      }),
      { numRuns: 20 },
    );
    file.close();
    file.step({ late: true });
    assert.equal(read().steps.length, steps.length);
  });

  const module = (name: string): string => JSON.stringify(pathToFileURL(join(process.cwd(), 'dist', name)).href);
  const program = `
    import { ModelXen } from ${module('model/index.js')};
    import { xc_interface_open } from ${module('xc/interface.js')};
    import { xc_altp2m_get_domain_state } from ${module('xc/altp2m.js')};
    const xen = new ModelXen();
    const { domid } = xen.createGuest({ altp2m: 'mixed' });
    const xch = xc_interface_open({ hypervisor: xen });
    for (let i = 0; i < 100; i++) xc_altp2m_get_domain_state(xch, domid);
    process.stdout.write('on');
    END
  `;
  const ends: readonly [how: string, end: string, signal: NodeJS.Signals | null][] = [
    ['its end', '', null],
    ['process.exit', 'process.exit(3);', null],
    ['an exception', 'throw new Error("out of luck");', null],
    ['abort', 'process.abort();', null],
    ['SIGINT', 'setInterval(() => xc_altp2m_get_domain_state(xch, domid), 0);', 'SIGINT'],
    ['SIGTERM', 'setInterval(() => xc_altp2m_get_domain_state(xch, domid), 0);', 'SIGTERM'],
    ['SIGKILL', 'for (;;) xc_altp2m_get_domain_state(xch, domid);', 'SIGKILL'],
  ];
  for (const [how, end, signal] of ends) {
    test(`can be replayed after ${how}`, async () => {
      const path = join(folder, `end-${how}.json`);
      const script = join(folder, `end-${how}.mjs`);
      writeFileSync(script, program.replace('END', end));
      const env = { ...process.env, XENCTRL_RECORD: path, XENCTRL_TRACE: '' };
      if (signal === null) {
        spawnSync(process.execPath, [script], { env });
      } else {
        const child = spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'ignore'] });
        child.stdout.once('data', () => child.kill(signal));
        await new Promise((resolve) => child.once('close', resolve));
      }
      const recording = JSON.parse(readFileSync(path, 'utf8'));
      assert.ok(recording.steps.length > 100);
      assert.deepEqual(replay(recording).mismatches, []);
    });
  }

  const skip = existsSync('/dev/full') ? false : 'there is no /dev/full';
  test('a full disk ends the recording or the trace, and not the session', { skip }, () => {
    const script = join(folder, 'full.mjs');
    writeFileSync(script, program.replace('END', ''));
    const run = (env: Record<string, string>): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, [script], { env: { ...process.env, ...env }, encoding: 'utf8' });
    const traced = run({ XENCTRL_TRACE: '/dev/full' });
    assert.equal(traced.stdout, 'on');
    assert.equal(String(traced.stderr).match(/the trace \/dev\/full ends here: Error: ENOSPC/g)?.length, 1);
    const recorded = run({ XENCTRL_RECORD: '/dev/full' });
    assert.match(String(recorded.stderr), /Error: XENCTRL_RECORD=\/dev\/full: ENOSPC/);
  });
});
