/** The commands that talk to Xen, on the model. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boxScenario, fileOf, run, runInside, runJson, runJsonInside } from './run.js';

const MODEL = ['--backend', 'model'];
const STATE_ENDS = /software Xen .* its state has ended with it/;
const UUID = '01234567-89ab-cdef-0123-456789abcdef';

test('list: the default guest of the model, and that its state ends', async () => {
  const { code, stdout, stderr } = await run(['list', ...MODEL]);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /^ID +NAME +UUID +TYPE +VCPUS +MIB +STATE +ALTP2M\n/);
  assert.match(stdout, /\n 1 +guest +[0-9a-f-]{36} +HVM +2 +64 +running +mixed\n/);
  assert.match(stdout, STATE_ENDS);
});

test('list --json: an array, and the note on stderr', async () => {
  const { json, stderr } = await runJson(['list', ...MODEL]);
  assert.match(stderr, STATE_ENDS);
  const [dom0, guest] = json as Record<string, unknown>[];
  assert.equal(dom0?.['domid'], 0);
  assert.deepEqual(
    [guest?.['domid'], guest?.['name'], guest?.['type'], guest?.['vcpus'], guest?.['memoryKiB'], guest?.['altp2m']],
    [1, 'guest', 'hvm', 2, 65536, 'mixed'],
  );
});

test('the backend by the environment; without Xen auto takes the model', async () => {
  const { json } = await runJson(['info'], { env: { XENCTRL_BACKEND: 'model' } });
  assert.equal((json as { backend: string }).backend, 'model');
  const options = await run(['--backend', 'model', 'list']);
  assert.equal(options.code, 0, 'options may come before the command');
});

test('info: text and JSON', async () => {
  const { stdout, code } = await run(['info', ...MODEL, '--release', '4.21']);
  assert.equal(code, 0);
  assert.match(stdout, /^Xen +4\.21.* fully supported\n/);
  for (const row of ['Boot options', 'Guests', 'Processors', 'Memory', 'Abilities', 'altp2m']) {
    assert.match(stdout, new RegExp(`^${row} +\\S`, 'm'));
  }
  const { json } = await runJson(['info', ...MODEL]);
  const info = json as Record<string, unknown>;
  assert.equal(info['backend'], 'model');
  assert.equal(info['major'], 4);
  assert.equal(info['altp2m'], true);
  assert.equal(info['domains'], 2);
});

test('info: a host without altp2m', async () => {
  const file = fileOf('{"altp2m": false}');
  assert.match((await run(['info', '--scenario', file])).stdout, /altp2m +no \(`xenctrl doctor` tells why\)/);
});

test('DOMAIN: an id, a UUID, a name; and what is none', async () => {
  const file = boxScenario();
  for (const domain of ['1', UUID, UUID.toUpperCase(), 'box']) {
    const { json, code } = await runJsonInside(['altp2m', 'status', domain, '--scenario', file]);
    assert.equal(code, 0);
    assert.equal((json as { domid: number }).domid, 1);
  }
  for (const domain of ['9', 'nobody', 'ffffffff-ffff-ffff-ffff-ffffffffffff']) {
    const { code, stderr } = await runInside(['altp2m', 'status', domain, '--scenario', file]);
    assert.equal(code, 1);
    assert.match(stderr, /there is no domain .*\n {2}`xenctrl list` shows/);
  }
});

test('altp2m status: off, on, and where it cannot be', async () => {
  const off = await run(['altp2m', 'status', '1', ...MODEL]);
  assert.match(off.stdout, /altp2m +off\nmode +mixed: the guest may use altp2m itself/);
  assert.match(off.stdout, /xenctrl altp2m enable 1 switches it on/);
  const on = await run(['altp2m', 'status', 'box', '--scenario', boxScenario()]);
  assert.match(on.stdout, /altp2m +on\nmode +external/);
  assert.match(on.stdout, /\n {3}0 +rwx +not told +0 1\n {3}1 +rx +not told +-\n/);
  const pv = await run(['altp2m', 'status', 'pv', '--scenario', boxScenario()]);
  assert.equal(pv.code, 0);
  assert.match(pv.stdout, /Why it is off: .*PV[\s\S]*xenctrl doctor 2 tells how/);
});

test('altp2m status --json', async () => {
  const { json } = await runJson(['altp2m', 'status', 'box', '--scenario', boxScenario()]);
  assert.deepEqual(json, {
    domid: 1,
    uuid: UUID,
    name: 'box',
    mode: 'external',
    enabled: true,
    reason: null,
    vcpus: [
      { vcpu: 0, view: 0 },
      { vcpu: 1, view: 0 },
    ],
    views: [
      { view: 0, defaultAccess: 'rwx', visible: null, vcpus: [0, 1] },
      { view: 1, defaultAccess: 'rx', visible: null, vcpus: [] },
    ],
  });
});

/** Each command in both forms: the sentence, and the JSON. */
const CHANGES: readonly (readonly [line: string, sentence: RegExp, json: Record<string, unknown>])[] = [
  ['enable box', /altp2m is on for domain 1/, { domid: 1, enabled: true }],
  ['disable box', /altp2m is off for domain 1/, { domid: 1, enabled: false }],
  [
    'create box --access rx --hidden',
    /view 2 of domain 1 is made: default access rx, hidden/,
    { domid: 1, view: 2, defaultAccess: 'rx', visible: false, switchedOn: false },
  ],
  ['destroy box 1', /view 1 of domain 1 is destroyed/, { domid: 1, view: 1, destroyed: true }],
  ['switch box 1', /every vCPU of domain 1 runs in view 1/, { domid: 1, view: 1, vcpus: [1, 1] }],
  [
    'hide box 1',
    /view 1 of domain 1 is hidden/,
    { domid: 1, view: 1, visible: false, mode: 'external', protects: true, vcpusInside: 0 },
  ],
  [
    'show box 0x1',
    /view 1 of domain 1 is visible/,
    { domid: 1, view: 1, visible: true, mode: 'external', protects: false, vcpusInside: 0 },
  ],
  ['access box 1 0x41 rw', /frame 0x41 of view 1 of domain 1: rw/, { domid: 1, view: 1, frames: 1, access: 'rw' }],
  ['access box 1 1-3,7 r', /4 frames of view 1 of domain 1: r/, { domid: 1, view: 1, frames: 4, access: 'r' }],
  ['remap box 1 0x40 0x41', /frame 0x40 .* shows the memory of 0x41/, { domid: 1, view: 1, gfn: 0x40, to: 0x41 }],
  ['remap box 1 0x40 --undo', /follows the host again/, { domid: 1, view: 1, gfn: 0x40, to: null }],
];

for (const [line, sentence, wanted] of CHANGES) {
  test(`altp2m ${line}`, async () => {
    const args = ['altp2m', ...line.split(' '), '--scenario', boxScenario()];
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^done {2}/);
    assert.match(stdout, sentence);
    const { json } = await runJsonInside(args);
    assert.deepEqual(json, wanted);
  });
}

test('altp2m create: switches altp2m on where it is off', async () => {
  const { json } = await runJson(['altp2m', 'create', '1', ...MODEL]);
  assert.deepEqual(json, { domid: 1, view: 1, defaultAccess: 'rwx', visible: true, switchedOn: true });
});

test('altp2m access: tells, with the frames that the view does not have', async () => {
  const args = ['altp2m', 'access', 'box', '1', '0x3f-0x42', '--scenario', boxScenario()];
  const { stdout } = await run(args);
  assert.match(stdout, /\n0x3f +not in the view yet[^\n]*\n0x40 +r\n0x41-0x42 +not in the view/);
  assert.match(stdout, /\nothers +rx once the guest touches them\n/);
  const { json } = await runJson(args);
  assert.deepEqual(json, {
    domid: 1,
    view: 1,
    defaultAccess: 'rx',
    frames: [
      { gfn: 0x3f, access: null },
      { gfn: 0x40, access: 'r' },
      { gfn: 0x41, access: null },
      { gfn: 0x42, access: null },
    ],
  });
});

test('altp2m hide: a warning in mixed mode, where it protects nothing', async () => {
  const file = boxScenario({ altp2m: 'mixed' });
  const { stdout, stderr, code } = await run(['altp2m', 'hide', 'box', '1', '--scenario', file]);
  assert.equal(code, 0);
  assert.match(stdout, /is hidden/);
  assert.match(stderr, /^warning: .*mixed mode.*protects nothing/);
  const { json } = await runJson(['altp2m', 'hide', 'box', '1', '--scenario', file]);
  assert.equal((json as { protects: boolean }).protects, false);
});

test('altp2m: what Xen refuses says why and what to do', async () => {
  const file = boxScenario({ views: [{ visible: false }] });
  const refused = async (line: string, message: RegExp, scenario = file): Promise<void> => {
    const { code, stdout, stderr } = await runInside(['altp2m', ...line.split(' '), '--scenario', scenario]);
    assert.equal(code, 1, line);
    assert.equal(stdout, '');
    assert.match(stderr, message);
  };
  await refused('switch box 1', /view 1 is hidden\n {2}`xenctrl altp2m show 1 1`/);
  await refused('destroy box 0', /view 0 cannot be destroyed/);
  await refused('destroy box 3', /domain 1 has no view 3; it has 0, 1\n/);
  await refused('hide pv 1', /EOPNOTSUPP: .*PV/);
  await refused('enable pv', /PV/);
  await refused('enable box', /altp2m mode/, boxScenario({ altp2m: 'disabled', views: [] }));
  await refused('hide box 1', /altp2m is off for domain 1/, boxScenario({ views: [], altp2mOn: false }));
  await refused('enable 1', /altp2m=1/, fileOf('{"altp2m": false, "guests": [{"altp2m": "mixed"}]}'));
});

test('dom0 is not changed by mistake', async () => {
  const { code, stderr } = await runInside(['altp2m', 'enable', '0', ...MODEL]);
  assert.equal(code, 1);
  assert.match(stderr, /domain 0 is dom0 itself\n {2}add --force/);
  const forced = await runInside(['altp2m', 'enable', '0', '--force', ...MODEL]);
  assert.equal(forced.code, 1);
  assert.match(forced.stderr, /xc_altp2m_set_domain_state on domain 0: EOPNOTSUPP/);
  assert.equal((await runInside(['altp2m', 'status', '0', ...MODEL])).code, 0, 'looking is free');
});
