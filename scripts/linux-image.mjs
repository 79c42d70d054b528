#!/usr/bin/env node
/**
 * `node scripts/linux-image.mjs`: the list of processes of a real kernel's saved memory, against what the kernel says.
 *
 * Boots Debian's kernel with KASLR in QEMU, without Xen; has it tell its processes, its symbols and its types; saves its
 * memory as an ELF core and raw; makes a profile of what it told; and compares. A minute, and 600 MB in the temporary folder.
 * The kernel's image is downloaded once (70 MB), as the lab's is.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { CpioWriter } from '../dist/lab/cpio.js';
import { writeDom0 } from '../dist/lab/dom0.js';
import { prepareKernel } from '../dist/lab/kernel.js';
import { findProgram, programPath } from '../dist/lab/processes.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MEMORY_MIB = 256;
const PATIENCE_S = 240;

/** Some programs of several users; then what the kernel knows of itself. The last file says that all is there. */
const COMMAND = `
  sleep 1000 &
  su -s /bin/sh -c 'exec /bin/sleep 2000' nobody &
  su -s /bin/sh -c 'exec /usr/bin/tail -f /dev/null' www-data &
  sleep 2
  cat /sys/kernel/btf/vmlinux >/run/out/btf
  cat /proc/kallsyms >/run/out/kallsyms
  cat /proc/version >/run/out/version
  for p in /proc/[0-9]*; do
    read pid rest <$p/stat && while read name uid others; do [ $name = Uid: ] && echo "$uid $pid $rest"; done <$p/status
  done >/run/out/ps
  : >/run/out/ready
  wait`;

const busybox = findProgram('busybox', programPath(), root);
const qemu = findProgram('qemu-system-x86_64', programPath(), root);
if (busybox === null || qemu === null) {
  console.error('NOT RUN: apt-get install busybox-static qemu-system-x86 provides what is missing');
  process.exit(2);
}
const kernel = await prepareKernel(busybox, console.error);
const folder = mkdtempSync(join(tmpdir(), 'xenctrl-linux-'));
try {
  const image = bzImage();
  const out = join(folder, 'out');
  mkdirSync(out);
  mkdirSync(join(folder, 'control'));
  writeInitramfs();
  await bootAndSave(image, out);
  check(out);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The compressed kernel, which moves itself as it unpacks; kept beside the lab's. */
function bzImage() {
  const kept = join(dirname(kernel.vmlinux), 'vmlinuz');
  if (existsSync(kept)) return kept;
  const version = basename(kernel.modules);
  console.error(`downloading Linux ${version} (70 MB, once)`);
  must('apt-get', ['download', `linux-image-${version}`]);
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
  must('dpkg', ['-x', archive, 'unpacked']);
  copyFileSync(join(folder, 'unpacked', 'boot', `vmlinuz-${version}`), `${kept}.new`);
  renameSync(`${kept}.new`, kept);
  return kept;
}

function must(command, args) {
  const { status, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
}

/** The lab's own first process brings everything along that the command needs; Xen's modules are not loaded, and need not. */
function writeInitramfs() {
  const pieces = [];
  const cpio = new CpioWriter((piece) => pieces.push(piece));
  const argv = [busybox, 'sh', '-c', COMMAND];
  writeDom0(cpio, '9p', { kernel, busybox, command: { argv, cwd: '/', environment: { PATH: '/lab/bin' } } });
  cpio.end();
  writeFileSync(join(folder, 'initramfs'), gzipSync(Buffer.concat(pieces), { level: 1 }));
}

async function bootAndSave(image, out) {
  const share = (tag, path, more) => [
    ...['-fsdev', `local,id=${tag},path=${path},security_model=none${more}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
  const machine = spawn(
    qemu,
    [
      ...['-accel', 'tcg', '-cpu', 'max', '-m', String(MEMORY_MIB), '-nodefaults', '-no-user-config'],
      ...['-display', 'none', '-no-reboot', '-serial', 'file:console', '-monitor', 'stdio'],
      ...['-kernel', image, '-initrd', 'initramfs', '-append', 'console=ttyS0 quiet mitigations=off panic=-1'],
      ...[
        ...share('hostroot', '/', ',readonly=on,multidevs=remap'),
        ...share('out', out, ''),
        ...share('control', 'control', ''),
      ],
    ],
    { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  process.on('exit', () => machine.kill('SIGKILL'));
  let said = '';
  machine.stdout.on('data', (piece) => {
    said += piece;
  });
  for (let i = 0; !existsSync(join(out, 'ready')); i++) {
    if (machine.exitCode !== null || i > PATIENCE_S * 4)
      throw new Error(`it did not boot:\n${tail(join(folder, 'console'))}`);
    await sleep(250);
  }
  machine.stdin.write(`stop\ndump-guest-memory image.elf\npmemsave 0 ${MEMORY_MIB * 2 ** 20} image.raw\nquit\n`);
  await new Promise((resolve) => machine.on('close', resolve));
  for (const name of ['image.elf', 'image.raw']) {
    if (!existsSync(join(folder, name))) throw new Error(`QEMU saved no ${name}: ${said}`);
  }
}

function tail(path) {
  return existsSync(path) ? readFileSync(path, 'latin1').split('\n').slice(-20).join('\n') : 'it said nothing';
}

/** `uid pid (comm) state ppid ...`, as the kernel's own files have it. */
function told(out) {
  return readFileSync(join(out, 'ps'), 'latin1')
    .trim()
    .split('\n')
    .map((line) => {
      const [, uid, pid, name, ppid] = /^(\d+) (\d+) \((.*)\) \S (\d+) /.exec(line);
      // of a thread of the kernel it tells the whole name; a task's structure has 15 characters of it
      return { pid: Number(pid), ppid: Number(ppid), uid: Number(uid), name: name.slice(0, 15) };
    });
}

function check(out) {
  const from = (name) => join(out, name);
  xenctrl(
    'mem',
    'profile',
    '--btf',
    from('btf'),
    '--symbols',
    from('kallsyms'),
    '--banner',
    from('version'),
    '--out',
    'profile.json.gz',
  );
  const text = xenctrl('mem', 'processes', 'file:image.elf', '--profile', 'profile.json.gz');
  process.stdout.write(text);
  // workers of the kernel come and go
  const stable = ({ name }) => !name.startsWith('kworker');
  const wanted = told(out).filter(stable);
  for (const [name, uid] of [
    ['sleep', 0],
    ['sleep', 65534],
    ['tail', 33],
  ]) {
    assert.ok(
      wanted.some((one) => one.name === name && one.uid === uid),
      `${name} of user ${uid} did not start`,
    );
  }
  for (const image of ['image.elf', 'image.raw']) {
    const { system, end, processes } = JSON.parse(
      xenctrl('mem', 'processes', `file:${image}`, '--profile', 'profile.json.gz', '--json'),
    );
    assert.equal(end, 'complete');
    assert.ok(readFileSync(from('version'), 'utf8').startsWith(system));
    const found = processes.map(({ pid, ppid, uid, name }) => ({ pid, ppid, uid, name })).filter(stable);
    assert.deepEqual(found[0], { pid: 0, ppid: 0, uid: 0, name: 'swapper/0' });
    const byPid = (a, b) => a.pid - b.pid;
    assert.deepEqual(found.slice(1).sort(byPid), wanted.sort(byPid), image);
  }
  const at = (line) => BigInt(`0x${/^[0-9a-f]+/.exec(line)[0]}`);
  const shift = at(/^.* _text$/m.exec(readFileSync(from('kallsyms'), 'latin1'))[0]) - 0xffff_ffff_8100_0000n;
  console.log(
    `passed: ${wanted.length} processes are as the kernel itself says; KASLR had moved it by 0x${shift.toString(16)}`,
  );
}

function xenctrl(...args) {
  const cli = join(root, 'bin', 'xenctrl.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}
