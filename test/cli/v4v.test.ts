import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileOf, runInside, runJsonInside, runShell } from './run.js';

const FILE = fileOf('accept 3:1025 -> 0:80 # web\nreject *:* -> 0:*\n\naccept 4:* -> 5:*\n');
const BAD = fileOf('reject 3:* -> 0:*\naccept 3:1025 -> 0:80\nreject 3:1 -> 0:80\n');

test('v4v rules check: all is well', async () => {
  const { code, stdout } = await runInside(['v4v', 'rules', 'check', FILE]);
  assert.deepEqual([code, stdout], [0, 'rules: 3, each with an effect\n']);
  assert.deepEqual((await runJsonInside(['v4v', 'rules', 'check', FILE])).json, { ok: true, rules: 3, findings: [] });
});

test('v4v rules check: rules that never decide', async () => {
  const { code, stdout } = await runInside(['v4v', 'rules', 'check', BAD]);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^rule 2 \(line 2\) never decides: accept 3:1025 -> 0:80; rule 1 comes first: reject 3:\* -> 0:\*$/m,
  );
  assert.match(stdout, /^rule 3 \(line 3\) is needless/m);
  const { json } = await runJsonInside(['v4v', 'rules', 'check', BAD]);
  const { ok, findings } = json as { ok: boolean; findings: { rule: number; kind: string }[] };
  assert.equal(ok, false);
  assert.deepEqual(
    findings.map(({ rule, kind }) => [rule, kind]),
    [
      [2, 'never'],
      [3, 'needless'],
    ],
  );
});

test('v4v rules check: from the standard input', async () => {
  const { code, stdout } = await runShell('bash', `echo 'accept 1:1 -> 2:2' | "$NODE" "$XENCTRL" v4v rules check -`);
  assert.deepEqual([code, stdout], [0, 'rules: 1, each with an effect\n']);
});

test('v4v rules list: with numbers, in pieces', async () => {
  const { code, stdout } = await runInside(['v4v', 'rules', 'list', FILE]);
  assert.equal(code, 0);
  assert.match(stdout, /RULE {2}VERDICT {2}FROM +TO\n +1 {2}accept +3:1025 {2}0:80\n +2 {2}reject +\*:\* +0:\*\n/);
  const { json } = await runJsonInside(['v4v', 'rules', 'list', FILE, '--start', '2', '--count', '1']);
  assert.deepEqual(json, {
    rules: [{ rule: 2, verdict: 'reject', src: '*:*', dst: '0:*' }],
    otherwise: 'accept',
  });
  assert.deepEqual((await runJsonInside(['v4v', 'rules', 'list', FILE, '--start', '9'])).json, {
    rules: [],
    otherwise: 'accept',
  });
});

test('v4v rules sim: the verdict and the rule', async () => {
  const { code, stdout } = await runInside(['v4v', 'rules', 'sim', FILE, '3:1025', '0:80']);
  assert.deepEqual([code, stdout], [0, '3:1025 -> 0:80: accepted\n  rule 1 (line 1): accept 3:1025 -> 0:80\n']);
  const { json } = await runJsonInside(['v4v', 'rules', 'sim', FILE, '3:1026', '0:80']);
  assert.deepEqual(json, {
    src: '3:1026',
    dst: '0:80',
    accept: false,
    rule: 2,
    line: 2,
    text: 'reject *:* -> 0:*',
  });
  assert.match((await runInside(['v4v', 'rules', 'sim', FILE, '1:1', '2:2'])).stdout, /accepted\n {2}no rule matches/);
});

const MISTAKES: readonly (readonly [args: readonly string[], error: RegExp])[] = [
  [
    ['check', fileOf('accept 1:1 -> 2:2\npermit 1:1 -> 2:2\n')],
    /\.json:2: a rule begins with accept or reject, not 'permit'/,
  ],
  [['check', '/does/not/exist'], /cannot be read: ENOENT/],
  [['sim', FILE, '3', '0:80'], /SRC: '3' is no DOMAIN:PORT/],
  [['sim', FILE, '3:1', '*:80'], /DST is one end of one message/],
  [['list', FILE, '--start', '0'], /--start must be a number from 1 on/],
  [['sim', FILE, '3:1'], /DST is missing\n {2}`xenctrl v4v rules sim --help` explains/],
];

for (const [args, error] of MISTAKES) {
  test(`mistake: v4v rules ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await runInside(['v4v', 'rules', ...args]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, error);
    assert.equal(stderr.trimEnd().split('\n').length, 2, 'what is wrong, and what to do');
  });
}
