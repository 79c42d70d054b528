import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { commandScript, dom0Environment, quote } from '#dist/lab/dom0.js';
import { LabError } from '#dist/lab/error.js';
import { modulesInOrder, withoutSignature } from '#dist/lab/modules.js';

const AWKWARD = ['a b', '', "it's", '"', '$HOME', '`id`', '*', '\\', '-n', 'x\ny', '--', ';&|<>(){}', 'ü'];

test('words reach the command untouched by the shell on the way', () => {
  for (const word of AWKWARD) {
    assert.equal(execFileSync('/bin/sh', ['-c', `printf %s ${quote(word)}`], { encoding: 'utf8' }), word);
  }
});

test('the command gets its arguments, its folder and nothing but its environment', () => {
  const print = 'console.log(JSON.stringify([process.argv.slice(1), process.cwd(), process.env.A, process.env.HOME]))';
  const script = commandScript({
    argv: [process.execPath, '-e', print, '--', ...AWKWARD],
    cwd: '/usr',
    environment: { A: "1 '2'" },
  });
  const output = execFileSync('/bin/sh', ['-c', `${script} exec env -i "$@"`], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), [AWKWARD, '/usr', "1 '2'", null]);
});

test('a folder that is not there fails the command, with the folder in the message', () => {
  const script = commandScript({ argv: ['true'], cwd: '/nonexistent', environment: {} });
  assert.throws(() => execFileSync('/bin/sh', ['-c', `${script} exec env -i "$@"`], { stdio: 'pipe' }), /nonexistent/);
});

test("of the caller's environment, the path, the home and what is meant for this package come along", () => {
  const environment = dom0Environment('bochs', {
    PATH: '/a:/b',
    HOME: '/home/u',
    XENCTRL_TEST_TARGET: 'privcmd',
    CI: '1',
  });
  assert.equal(environment['HOME'], '/home/u');
  assert.equal(environment['XENCTRL_TEST_TARGET'], 'privcmd');
  assert.equal(environment['XENCTRL_LAB'], 'bochs');
  assert.equal(environment['CI'], undefined);
  assert.match(environment['PATH'] ?? '', /\/a:\/b:/);
});

const DEP = `kernel/a/sd_mod.ko: kernel/b/scsi_mod.ko kernel/b/scsi_common.ko
kernel/b/scsi_mod.ko: kernel/b/scsi_common.ko
kernel/b/scsi_common.ko:
kernel/c/xen-privcmd.ko:
`;

test('modules come after those that they need, each once', () => {
  assert.deepEqual(modulesInOrder(DEP, ['xen-privcmd', 'sd_mod', 'scsi_mod']), [
    'kernel/c/xen-privcmd.ko',
    'kernel/b/scsi_common.ko',
    'kernel/b/scsi_mod.ko',
    'kernel/a/sd_mod.ko',
  ]);
});

test('a module that the kernel has not is named', () => {
  assert.throws(
    () => modulesInOrder(DEP, ['overlay']),
    (error) => error instanceof LabError && /overlay/.test(error.message),
  );
});

test('a signature is cut off a module, and only a signature', () => {
  const code = Buffer.from('code of a module');
  const info = Buffer.alloc(12);
  info.writeUInt32BE(5, 8);
  const signed = Buffer.concat([code, Buffer.from('SIGNS'), info, Buffer.from('~Module signature appended~\n')]);
  assert.equal(withoutSignature(signed).toString(), code.toString());
  assert.equal(withoutSignature(code).toString(), code.toString());
});
