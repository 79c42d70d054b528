import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { LabError } from '#dist/lab/error.js';
import { findProgram } from '#dist/lab/processes.js';
import { findTools, type Machine } from '#dist/lab/requirements.js';

const root = mkdtempSync(join(tmpdir(), 'lab-test-'));
after(() => rmSync(root, { recursive: true }));

/** A static 64-bit program, as far as its headers go. */
const STATIC_ELF = Buffer.alloc(64);
STATIC_ELF.set([0x7f, 0x45, 0x4c, 0x46, 2]);

/** The same with one program header, for an interpreter. */
const DYNAMIC_ELF = Buffer.concat([STATIC_ELF, Buffer.from([3, 0, 0, 0]), Buffer.alloc(52)]);
DYNAMIC_ELF.writeBigUInt64LE(64n, 0x20);
DYNAMIC_ELF.writeUInt16LE(56, 0x36);
DYNAMIC_ELF.writeUInt16LE(1, 0x38);

function machine(name: string, files: Readonly<Record<string, string | Buffer>>): Machine {
  const folder = join(root, name);
  for (const [path, contents] of Object.entries(files)) {
    mkdirSync(dirname(folder + path), { recursive: true });
    writeFileSync(folder + path, contents);
    chmodSync(folder + path, 0o755);
  }
  return { path: join(folder, 'bin'), root: folder };
}

const BASE = { '/bin/apt-get': '', '/bin/xz': '', '/bin/busybox': STATIC_ELF, '/boot/xen-4.17-amd64.gz': '' };
const BOCHS = {
  '/bin/bochs-bin': '',
  '/usr/share/bochs/BIOS-bochs-latest': '',
  '/usr/share/seabios/vgabios-stdvga.bin': '',
  '/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so': '',
};

function complaint(engine: 'qemu' | 'bochs', on: Machine): string {
  try {
    findTools(engine, on);
  } catch (error) {
    assert.ok(error instanceof LabError);
    assert.equal(error.exitCode, 125);
    return error.message;
  }
  return '';
}

test('an empty machine is told every package in one line', () => {
  assert.equal(
    complaint('qemu', machine('bare', { '/bin/apt-get': '' })),
    'the qemu lab misses packages: apt-get install -y --no-install-recommends ' +
      'xen-hypervisor-4.17-amd64 busybox-static xz-utils qemu-system-x86',
  );
  assert.match(complaint('bochs', machine('bare', {})), / busybox-static xz-utils bochs bochsbios seabios bochs-term$/);
});

test('a machine without apt is told that it is the wrong one', () => {
  assert.match(complaint('qemu', machine('other', {})), /has no apt-get: use a Debian 12 machine/);
});

test('only what is missing is named', () => {
  assert.match(complaint('qemu', machine('qemuless', BASE)), /recommends qemu-system-x86$/);
  const { '/bin/bochs-bin': _, ...rest } = BOCHS;
  assert.match(complaint('bochs', machine('bochsless', { ...BASE, ...rest })), /recommends bochs$/);
});

test('a busybox that needs libraries does not count', () => {
  const dynamic = machine('dynamic', { ...BASE, '/bin/busybox': DYNAMIC_ELF, '/bin/qemu-system-x86_64': '' });
  assert.match(complaint('qemu', dynamic), /recommends busybox-static$/);
});

test('a complete machine gives paths, and the newest Xen', () => {
  const complete = machine('complete', {
    ...BASE,
    ...BOCHS,
    '/boot/xen-4.9-amd64.gz': '',
    '/boot/xen-4.17-amd64.config': '',
    '/bin/qemu-system-x86_64': '',
  });
  const at = (path: string): string => complete.root + path;
  assert.deepEqual(findTools('qemu', complete), {
    xen: at('/boot/xen-4.17-amd64.gz'),
    busybox: at('/bin/busybox'),
    emulator: at('/bin/qemu-system-x86_64'),
    firmware: null,
  });
  assert.deepEqual(findTools('bochs', complete).firmware, {
    bios: at('/usr/share/bochs/BIOS-bochs-latest'),
    vga: at('/usr/share/seabios/vgabios-stdvga.bin'),
  });
});

test('programs are found as a shell finds them', () => {
  const { root: folder } = machine('programs', { '/bin/tool': '', '/other/tool': '' });
  assert.equal(findProgram('tool', `${folder}/none:${folder}/other:${folder}/bin`), `${folder}/other/tool`);
  assert.equal(findProgram('bin/tool', '/nowhere', folder), `${folder}/bin/tool`);
  assert.equal(findProgram('bin', folder), null, 'a folder is no program');
  assert.equal(findProgram('tool', '/nowhere'), null);
});
