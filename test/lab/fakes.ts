/** Stand-ins for what the lab takes from a machine, so that its tests need neither emulators nor Xen. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { LabEngine, LabOutput } from '#dist/lab/options.js';
import type { LabInputs } from '#dist/lab/run.js';

/** A 32-bit ELF file with one segment of two pages at 2 MiB. */
export function fakeXen(contents: string): Buffer {
  const file = Buffer.alloc(0x100);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1]);
  file.writeUInt32LE(0x200000, 0x18); // entry
  file.writeUInt32LE(0x40, 0x1c); // program headers
  file.writeUInt16LE(32, 0x2a);
  file.writeUInt16LE(1, 0x2c);
  file.writeUInt32LE(1, 0x40); // PT_LOAD
  file.writeUInt32LE(0x80, 0x44); // in the file
  file.writeUInt32LE(0x200000, 0x4c); // physical address
  file.writeUInt32LE(contents.length + 1, 0x50);
  file.writeUInt32LE(0x2000, 0x54);
  file.write(contents, 0x80, 'latin1');
  return file;
}

const MODULES = ['xen-privcmd', 'xenfs', 'xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'virtio_pci', '9p'];
const MORE_MODULES = ['9pnet_virtio', 'overlay', 'ata_piix', 'sd_mod'];

/**
 * A machine whose emulator is a program of the test's own.
 *
 * @param folder takes its files
 * @param script JavaScript; it runs in the run's folder, as the emulator would
 */
export function fakeMachine(folder: string, engine: LabEngine, script: string): LabInputs {
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('emulator'), `#!${process.execPath}\n${script}\n`);
  chmodSync(at('emulator'), 0o755);
  writeFileSync(at('xen.gz'), gzipSync(fakeXen('XEN')));
  writeFileSync(at('busybox'), 'busybox');
  writeFileSync(at('vmlinux'), 'vmlinux');
  mkdirSync(at('modules'), { recursive: true });
  const names = [...MODULES, ...MORE_MODULES].map((name) => `${name}.ko`);
  for (const name of names) writeFileSync(join(at('modules'), name), name);
  writeFileSync(join(at('modules'), 'modules.dep'), names.map((name) => `${name}:\n`).join(''));
  return {
    tools: {
      xen: at('xen.gz'),
      busybox: at('busybox'),
      emulator: at('emulator'),
      firmware: engine === 'bochs' ? { bios: 'bios', vga: 'vga' } : null,
    },
    kernel: { vmlinux: at('vmlinux'), modules: at('modules') },
  };
}

/** Keeps what is written to it. */
export class Collector implements LabOutput {
  text = '';

  write(piece: Uint8Array): boolean {
    this.text += Buffer.from(piece).toString('latin1');
    return true;
  }

  once(): void {}

  off(): void {}
}
