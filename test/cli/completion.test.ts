import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { run, runInside, runJson, runShell } from './run.js';

const { stdout: BASH } = await runInside(['completion', 'bash']);

function has(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

/** What bash offers for a command line whose last word is being typed. */
async function offered(line: string): Promise<string[]> {
  const script = `
    ${BASH}
    COMP_WORDS=(${line.replace(/ $/, ' ""')}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    _xenctrl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = await runShell('bash', script);
  assert.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

test('bash: commands, their commands, options, values', { skip: !has('bash') }, async () => {
  assert.deepEqual(await offered('xenctrl al'), ['altp2m']);
  assert.ok((await offered('xenctrl ')).includes('doctor'));
  assert.deepEqual(await offered('xenctrl altp2m st'), ['status']);
  assert.deepEqual(await offered('xenctrl altp2m hide 1 --fo'), ['--force']);
  assert.deepEqual(await offered('xenctrl list --backend mo'), ['model']);
  assert.deepEqual(await offered('xenctrl altp2m create 1 --access rx'), ['rx', 'rx2rw']);
  assert.deepEqual(await offered('xenctrl v4v ru'), ['rules']);
  assert.deepEqual(await offered('xenctrl v4v rules s'), ['sim']);
  assert.deepEqual(await offered('xenctrl v4v rules list x --st'), ['--start']);
  assert.deepEqual(await offered('xenctrl completion z'), ['zsh']);
  assert.deepEqual(await offered('xenctrl list --fo'), [], 'list changes nothing');
});

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`${shell}: the script is well-formed`, { skip: !has(shell) }, async () => {
    const script =
      shell === 'fish'
        ? '"$NODE" "$XENCTRL" completion fish | fish --no-execute'
        : `"$NODE" "$XENCTRL" completion ${shell} | ${shell} -n`;
    const { code, stderr } = await runShell('bash', `set -o pipefail; ${script}`);
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });

  test(`${shell}: every command is in it`, async () => {
    const { stdout } = await run(['completion', shell]);
    for (const name of ['demo', 'doctor', 'info', 'list', 'altp2m', 'completion', 'hide', 'remap', 'backend']) {
      assert.ok(stdout.includes(name), name);
    }
    const { json } = await runJson(['completion', shell]);
    assert.deepEqual(json, { shell, script: stdout });
  });
}
