/** The demo, word by word. `XENCTRL_GOLDEN=write` writes the transcript anew: read the difference. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { RELEASES } from '#dist/abi/release.js';
import { demo } from '#dist/cli/demo/command.js';
import { makeStyle } from '#dist/cli/style.js';
import { run, runJson, runJsonInside } from './run.js';

const GOLDEN = new URL('../../../test/cli/golden/demo.txt', import.meta.url);

interface Demo {
  readonly ok: boolean;
  readonly release: string;
  readonly steps: readonly { who: string; call: string; wanted: string; got: string; ok: boolean }[];
}

test('the transcript', async () => {
  const { code, stdout, stderr } = await run(['demo']);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  if (process.env['XENCTRL_GOLDEN'] === 'write') writeFileSync(GOLDEN, stdout);
  assert.equal(stdout, readFileSync(GOLDEN, 'utf8'));
});

test('on every release it goes as on Xen', async () => {
  const answers = await Promise.all(RELEASES.map((release) => runJsonInside(['demo', '--release', release])));
  for (const { code, json } of answers) {
    const { ok, release, steps } = json as Demo;
    assert.equal(code, 0, release);
    assert.equal(ok, true);
    assert.ok(steps.length > 40);
    assert.ok(steps.every((step) => step.ok && step.got === step.wanted));
  }
});

test('it tells all of the story', async () => {
  const { steps } = (await runJson(['demo'])).json as Demo;
  const told = steps.map(({ who, call, got }) => `${who}: ${call} -> ${got}`);
  const wanted = [
    'guest: vmfunc  eax=0, ecx=0 -> #UD',
    'dom0: xc_altp2m_set_vcpu_enable_notify(1, 0, 0x50) -> ok',
    'guest: vmfunc  eax=0, ecx=1 -> in view 1',
    'dom0: xc_altp2m_set_visibility(1, 1, false) -> ok',
    'guest: vmfunc  eax=0, ecx=1 -> #UD',
    'dom0: xc_altp2m_switch_to_view(1, 1) -> EINVAL',
    'dom0: xc_altp2m_set_visibility(1, 1, true) -> ok',
    'guest: vmfunc  eax=0, ecx=1 -> in view 1',
    'guest: vmcall  HVMOP_altp2m set_visibility(self, 1, visible) -> ok',
    'guest: vmcall  HVMOP_altp2m set_visibility(self, 1, visible) -> EPERM',
  ];
  let from = 0;
  for (const line of wanted) {
    const at = told.indexOf(line, from);
    assert.ok(at >= 0, `${line} is not told after step ${from}`);
    from = at + 1;
  }
});

test('a step that goes otherwise shows', async () => {
  assert.ok(demo.run);
  const outcome = await demo.run({
    operands: [],
    options: { has: () => false, get: () => undefined } as never,
    note: () => {},
    emit: async () => true,
    live: null,
    progress: () => {},
    signal: new AbortController().signal,
  });
  const { steps } = outcome.json as { steps: { ok: boolean; wanted: string }[] };
  const [first] = steps;
  assert.ok(first);
  Object.assign(first, { ok: false, wanted: 'something else' });
  const text = outcome.text(makeStyle(false), 100).join('\n');
  assert.match(text, /✗ dom0 .*expected: something else/);
  assert.match(text, /1 of \d+ steps went otherwise/);
});
