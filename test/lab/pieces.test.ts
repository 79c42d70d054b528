import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BOCHS_LINUX_ARGUMENTS, bochsConfig, bochsXenArguments } from '#dist/lab/bochs_config.js';
import { parseStatus } from '#dist/lab/bochs_status.js';
import { collectFiles, withAbsoluteProgram } from '#dist/lab/carry.js';
import { tailOf } from '#dist/lab/console.js';
import { GrowingFile } from '#dist/lab/growing_file.js';
import { cacheFolder, prepareKernel } from '#dist/lab/kernel.js';
import { qemuArguments } from '#dist/lab/qemu.js';
import { parseLdd } from '#dist/lab/shared_libraries.js';
import { StatusLine } from '#dist/lab/status_line.js';

const folder = mkdtempSync(join(tmpdir(), 'lab-test-'));
after(() => rmSync(folder, { recursive: true }));

test('QEMU gets no network, no display, no monitor; shares and devices as asked', () => {
  const plan = { xenArgs: 'loglvl=all', devices: ['nvme,serial=a'], memoryMiB: 3000, out: '/a,b/out' };
  const args = qemuArguments(plan).join(' ');
  assert.match(args, /-nodefaults -no-user-config -display none -monitor none/);
  assert.match(args, /-m 3000 /);
  assert.match(args, /dom0_mem=1500M,max:1500M .* loglvl=all -initrd/);
  assert.match(args, /id=hostroot,path=\/,security_model=none,readonly=on/);
  assert.match(args, /id=out,path=\/a,,b\/out,security_model=none -device/, 'a comma in a path is doubled');
  assert.match(args, /-device nvme,serial=a$/);
  assert.doesNotMatch(args, /-netdev|-nic|-vnc|tcp:|listen/);
});

test('Bochs gets a display that listens nowhere, and Xen altp2m', () => {
  const files = { bios: 'B', vgaBios: 'V', disk: 'D', console: 'C', log: 'L' };
  const config = bochsConfig({ memoryMiB: 1024, ...files });
  for (const line of [
    'memory: guest=1024, host=1024',
    'romimage: file=B',
    'vgaromimage: file=V',
    'display_library: term',
    'ata0-master: type=disk, path=D, mode=flat',
    'com1: enabled=1, mode=file, dev=C',
    'log: L',
  ]) {
    assert.ok(config.split('\n').includes(line), line);
  }
  assert.doesNotMatch(config, /rfb|socket/);
  assert.match(bochsXenArguments(1024, 'altp2m=0'), /^xen .*dom0_mem=512M,max:512M .*altp2m=1 altp2m=0$/);
  assert.match(BOCHS_LINUX_ARGUMENTS, /^vmlinux console=hvc0 /);
});

test('the status sector is understood, and half a one is not', () => {
  const sector = (text: string): Buffer => Buffer.from(text.padEnd(512, '\0'), 'latin1');
  assert.deepEqual(parseStatus(sector('state=done stdout=5 stderr=0 exit=137 files=ok\n')), {
    done: true,
    stdout: 5,
    stderr: 0,
    exitCode: 137,
    filesComplete: true,
  });
  assert.equal(parseStatus(sector('state=running stdout=5 stderr=0 exit= files=none\n'))?.done, false);
  assert.equal(parseStatus(sector('')), null);
  assert.equal(parseStatus(sector('state=done stdout=5')), null);
});

test('a growing file is read on from where the last reading ended', () => {
  const path = join(folder, 'growing');
  const file = new GrowingFile(path, 2);
  assert.equal(file.next().length, 0, 'not there yet');
  writeFileSync(path, '..abc');
  assert.equal(file.next(2).toString(), 'ab', 'no further than told');
  assert.equal(file.next().toString(), 'c');
  assert.equal(file.next().length, 0);
  appendFileSync(path, 'de');
  assert.equal(file.next().toString(), 'de');
  assert.equal(file.position, 5);
});

test('the libraries of a program are those that the loader prints a path for', () => {
  const text = `\tlinux-vdso.so.1 (0x00007ffd3a1f2000)
\tlibstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f0000000000)
\tlibgone.so.1 => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f0000a00000)
`;
  assert.deepEqual(parseLdd(text), ['/lib/x86_64-linux-gnu/libstdc++.so.6', '/lib64/ld-linux-x86-64.so.2']);
  assert.deepEqual(parseLdd('\tnot a dynamic executable\n'), []);
});

test('Bochs carries node, its libraries, files named as arguments, and where links lead', async () => {
  const project = join(folder, 'project');
  mkdirSync(join(project, 'data', 'empty'), { recursive: true });
  mkdirSync(join(project, '.git'));
  writeFileSync(join(project, 'package.json'), '{}');
  writeFileSync(join(project, '.git', 'config'), '');
  writeFileSync(join(project, 'agent.mjs'), '');
  writeFileSync(join(folder, 'elsewhere'), '');
  symlinkSync('../../elsewhere', join(project, 'data', 'link'));
  symlinkSync('nowhere', join(project, 'data', 'dangling'));
  const entries = await collectFiles({ command: ['node', 'agent.mjs', 'data', '/'], cwd: project, include: [] });
  assert.deepEqual(entries.get(process.execPath), { file: process.execPath });
  assert.ok(
    [...entries.keys()].some((path) => /\/libc\.so\.6$/.test(path)),
    'the C library',
  );
  for (const file of ['package.json', 'agent.mjs']) {
    assert.deepEqual(entries.get(join(project, file)), { file: join(project, file) });
  }
  assert.deepEqual(entries.get(join(project, 'data', 'link')), { link: '../../elsewhere' });
  assert.deepEqual(entries.get(join(folder, 'elsewhere')), { file: join(folder, 'elsewhere') });
  assert.deepEqual(entries.get(join(project, 'data', 'empty')), { folder: true });
  assert.equal(entries.has(join(project, 'data', 'dangling')), false);
  assert.equal(entries.has('/'), false);
});

test("dom0 gets the machine's own program, not the small one of the same name", () => {
  const [program, ...rest] = withAbsoluteProgram(['sh', '-c', 'x'], '/');
  assert.match(program ?? '', /^\/.*\/sh$/);
  assert.deepEqual(rest, ['-c', 'x']);
  assert.deepEqual(withAbsoluteProgram(['no-such-program'], '/'), ['no-such-program']);
});

test('a cached kernel is used as it is, the newest first', async () => {
  const cache = cacheFolder({ XDG_CACHE_HOME: folder });
  assert.equal(cache, join(folder, 'xenctrl-lab'));
  for (const version of ['6.1.0-9-amd64', '6.1.0-56-amd64'])
    mkdirSync(join(cache, `kernel-${version}`), { recursive: true });
  const stages: string[] = [];
  const kernel = await prepareKernel('/nonexistent/busybox', (stage) => stages.push(stage), cache);
  assert.equal(kernel.vmlinux, join(cache, 'kernel-6.1.0-56-amd64', 'vmlinux'));
  assert.ok(kernel.modules.endsWith('/lib/modules/6.1.0-56-amd64'));
  assert.deepEqual(stages, []);
});

test('the console tail is plain text of so many lines', () => {
  const path = join(folder, 'console');
  writeFileSync(path, 'a\r\n\x1b[1mb\x1b[0m\r\nc\r\n\r\n');
  assert.equal(tailOf(path, 2), 'b\nc');
  assert.equal(existsSync(join(folder, 'none')), false);
  assert.equal(tailOf(join(folder, 'none')), '');
});

test('the status line shows on a terminal only, without colour when asked, and is erased', () => {
  const terminal = (isTTY: boolean): { isTTY: boolean; columns: number; text: string; write(text: string): void } => ({
    isTTY,
    columns: 20,
    text: '',
    write(text: string): void {
      this.text += text;
    },
  });
  const quiet = terminal(false);
  const none = new StatusLine(quiet, undefined);
  none.show('booting');
  none.clear();
  assert.equal(quiet.text, '');

  const plain = terminal(true);
  const line = new StatusLine(plain, '1');
  line.show('a very long stage indeed');
  line.clear();
  line.clear();
  assert.equal(plain.text, '\r\x1b[Klab: a very long st\r\x1b[K');

  const coloured = terminal(true);
  const faint = new StatusLine(coloured, undefined);
  faint.show('x');
  faint.clear();
  assert.equal(coloured.text, '\r\x1b[K\x1b[2mlab: x, 0 s\x1b[0m\r\x1b[K');
});
