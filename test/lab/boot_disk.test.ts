import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeBootDisk } from '#dist/lab/boot_disk.js';
import { makeBootSector } from '#dist/lab/boot_sector.js';
import { xzPayload } from '#dist/lab/bzimage.js';
import { CpioWriter } from '#dist/lab/cpio.js';
import { LOAD_PIECE, layOutDisk, SECTOR } from '#dist/lab/disk_layout.js';
import { fakeXen } from './fakes.js';

const folder = mkdtempSync(join(tmpdir(), 'lab-test-'));
after(() => rmSync(folder, { recursive: true }));

/** The disk is sparse, and larger than what may be read at once. */
function firstBytes(path: string, count: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(count);
    readSync(fd, bytes, 0, count, 0);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** Name, mode and contents of everything in a cpio archive. */
function readCpio(archive: Buffer): { name: string; mode: number; contents: string }[] {
  const entries = [];
  for (let at = 0; ; ) {
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const [mode, size, nameLength] = [field(1), field(6), field(11)];
    const name = archive.toString('utf8', at + 110, at + 110 + nameLength - 1);
    if (name === 'TRAILER!!!') return entries;
    const data = at + Math.ceil((110 + nameLength) / 4) * 4;
    entries.push({ name, mode, contents: archive.toString('utf8', data, data + size) });
    at = data + Math.ceil(size / 4) * 4;
  }
}

test('a cpio archive holds folders before what is in them, files, modes and links', () => {
  const source = join(folder, 'source');
  writeFileSync(source, 'copied', { mode: 0o750 });
  const pieces: Uint8Array[] = [];
  const cpio = new CpioWriter((piece) => pieces.push(piece));
  cpio.file('/a/b/file', 'text');
  cpio.copy('/a/copy', source);
  cpio.link('/a/link', 'b/file');
  cpio.folder('/a/b');
  cpio.end();
  assert.deepEqual(readCpio(Buffer.concat(pieces)), [
    { name: 'a', mode: 0o40755, contents: '' },
    { name: 'a/b', mode: 0o40755, contents: '' },
    { name: 'a/b/file', mode: 0o100644, contents: 'text' },
    { name: 'a/copy', mode: 0o100750, contents: 'copied' },
    { name: 'a/link', mode: 0o120777, contents: 'b/file' },
  ]);
});

test('the boot sector fits beside a partition table and loads whole pieces', () => {
  const plan = { loadAddress: 0x200000, imageBytes: 3 * LOAD_PIECE, multibootInfo: 0x5a7000, entry: 0x200010 };
  const sector = makeBootSector(plan);
  assert.equal(sector.length, SECTOR);
  assert.ok(sector.subarray(446).every((byte) => byte === 0));
  // What the 32-bit end loads: the magic number in eax, the information in ebx, the entry in ecx.
  const jump = Buffer.alloc(17);
  jump.writeUInt8(0xb8, 0);
  jump.writeUInt32LE(0x2badb002, 1);
  jump.writeUInt8(0xbb, 5);
  jump.writeUInt32LE(plan.multibootInfo, 6);
  jump.writeUInt8(0xb9, 10);
  jump.writeUInt32LE(plan.entry, 11);
  jump.set([0xff, 0xe1], 15);
  assert.ok(sector.includes(jump));
});

test('the parts of the disk follow each other and end with a cylinder', () => {
  const { image, stdout, stderr, results, size } = layOutDisk(100_000_001);
  assert.equal(image.start, SECTOR);
  assert.equal(image.size % LOAD_PIECE, 0);
  assert.ok(image.start + image.size <= stdout.start);
  assert.equal(stdout.start + stdout.size, stderr.start);
  assert.equal(stderr.start + stderr.size, results.start);
  assert.ok(results.start + results.size <= size);
  assert.equal(size % (16 * 63 * SECTOR), 0);
});

test('the disk holds Xen where it wants to be, the kernel, the initramfs and what tells Xen about them', () => {
  const vmlinux = join(folder, 'vmlinux');
  writeFileSync(vmlinux, 'kernel!');
  const path = join(folder, 'disk.img');
  const layout = writeBootDisk(path, {
    xen: fakeXen('XENCODE'),
    xenArgs: 'xen one',
    vmlinux,
    linuxArgs: 'vmlinux two',
    initramfs: (cpio) => cpio.file('/init', 'first'),
    memoryMiB: 1024,
  });
  assert.equal(statSync(path).size, layout.size);
  const disk = firstBytes(path, layout.image.start + layout.image.size);
  assert.equal(disk.readUInt16LE(510), 0xaa55);
  assert.equal(disk.readUInt32LE(446 + 16 + 8) * SECTOR, layout.stdout.start);

  const base = 0x200000;
  const memory = disk.subarray(SECTOR);
  const text = (address: number): string =>
    memory.toString('latin1', address - base, memory.indexOf(0, address - base));
  assert.equal(text(base), 'XENCODE');
  // Xen's one segment takes two pages of memory; then comes the page with the Multiboot information.
  const info = base + 0x2000;
  const word = (address: number): number => memory.readUInt32LE(address - base);
  assert.equal(word(info), 0b10_0000_1101);
  assert.equal(word(info + 8), 1023 * 1024);
  assert.equal(text(word(info + 16)), 'xen one');
  assert.equal(word(info + 20), 2);
  const modules = word(info + 24);
  assert.equal(memory.toString('latin1', word(modules) - base, word(modules + 4) - base), 'kernel!');
  assert.equal(text(word(modules + 8)), 'vmlinux two');
  const initramfs = memory.subarray(word(modules + 16) - base, word(modules + 20) - base);
  assert.deepEqual(readCpio(initramfs), [{ name: 'init', mode: 0o100644, contents: 'first' }]);
});

test('the xz stream of a kernel image is found by its header, without the length behind it', () => {
  const image = Buffer.alloc(4096);
  image.writeUInt8(1, 0x1f1);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(16, 0x248);
  image.writeUInt32LE(14, 0x24c);
  image.write('\xfd7zXZ\0DATA', 1024 + 16, 'latin1');
  assert.equal(xzPayload(image).toString('latin1'), '\xfd7zXZ\0DATA');
  image.write('\x1f\x8b\x08\0\0', 1024 + 16, 'latin1');
  assert.throws(() => xzPayload(image), /not compressed with xz/);
  assert.throws(() => xzPayload(Buffer.alloc(4096)), /no kernel image/);
});
