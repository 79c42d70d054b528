/**
 * Bochs' disk as it goes in. What the boot sector loads from it: Xen's segments where Xen wants them, then the Multiboot
 * information, dom0's kernel and its initramfs, one after the other in one piece of memory.
 */

import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { makeBootSector } from './boot_sector.js';
import { CpioWriter } from './cpio.js';
import { type DiskLayout, layOutDisk, roundUp, SECTOR, writePartitionTable } from './disk_layout.js';
import { readElf32 } from './elf.js';

export interface MachineImage {
  /** The uncompressed hypervisor. */
  readonly xen: Buffer;
  readonly xenArgs: string;
  readonly vmlinux: string;
  readonly linuxArgs: string;
  /** Writes dom0's files. */
  readonly initramfs: (cpio: CpioWriter) => void;
  /** Of the machine, for Xen; it asks the BIOS as well. */
  readonly memoryMiB: number;
}

const PAGE = 4096;
/** Flags of the Multiboot information: which of its fields hold something. */
const HAS_MEMORY = 1 << 0;
const HAS_COMMAND_LINE = 1 << 2;
const HAS_MODULES = 1 << 3;
const HAS_LOADER_NAME = 1 << 9;
/** Layout of the page that holds the information: the fixed part, the list of modules, then texts. */
const MODULES = 128;
const TEXTS = 256;
const COPY = 1 << 22;

interface Placed {
  readonly start: number;
  readonly end: number;
}

/** Makes Bochs' disk. @returns where its parts are */
export function writeBootDisk(path: string, image: MachineImage): DiskLayout {
  const fd = openSync(path, 'w');
  try {
    const { entry, segments } = readElf32(image.xen);
    const base = segments[0].physicalAddress & ~(PAGE - 1);
    const onDisk = (address: number): number => address - base + SECTOR;
    let end = base;
    for (const { fileOffset, fileSize, physicalAddress, memorySize } of segments) {
      writeSync(fd, image.xen, fileOffset, fileSize, onDisk(physicalAddress));
      end = Math.max(end, physicalAddress + memorySize);
    }
    const information = roundUp(end, PAGE);
    const kernelAt = information + PAGE;
    const vmlinux = { start: kernelAt, end: kernelAt + copyInto(fd, onDisk(kernelAt), image.vmlinux) };
    const initramfsAt = roundUp(vmlinux.end, PAGE);
    const initramfs = { start: initramfsAt, end: initramfsAt + archive(fd, onDisk(initramfsAt), image.initramfs) };
    writeSync(fd, multibootInformation(information, image, vmlinux, initramfs), 0, PAGE, onDisk(information));

    const layout = layOutDisk(initramfs.end - base);
    const plan = { loadAddress: base, imageBytes: layout.image.size, multibootInfo: information, entry };
    const sector = makeBootSector(plan);
    writePartitionTable(sector, layout);
    writeSync(fd, sector, 0, SECTOR, 0);
    ftruncateSync(fd, layout.size);
    return layout;
  } finally {
    closeSync(fd);
  }
}

/** Writes an archive to the disk. @returns its bytes */
function archive(fd: number, start: number, fill: (cpio: CpioWriter) => void): number {
  let length = 0;
  const cpio = new CpioWriter((piece) => {
    length += writeSync(fd, piece, 0, piece.length, start + length);
  });
  fill(cpio);
  cpio.end();
  return length;
}

/** Copies a file to the disk. @returns its bytes */
function copyInto(disk: number, start: number, path: string): number {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(COPY);
    let length = 0;
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      length += writeSync(disk, buffer, 0, read, start + length);
    }
    return length;
  } finally {
    closeSync(fd);
  }
}

/** A page with the structure of the Multiboot specification, version 1, and what it points to. */
export function multibootInformation(
  address: number,
  { xenArgs, linuxArgs, memoryMiB }: Pick<MachineImage, 'xenArgs' | 'linuxArgs' | 'memoryMiB'>,
  vmlinux: Placed,
  initramfs: Placed,
): Buffer {
  const page = Buffer.alloc(PAGE);
  let free = TEXTS;
  const text = (value: string): number => {
    const bytes = Buffer.from(`${value}\0`, 'latin1');
    if (free + bytes.length > PAGE) throw new RangeError('the command lines of Xen and dom0 are too long');
    const at = free;
    free += bytes.copy(page, at);
    return address + at;
  };
  const modules = [
    [vmlinux, text(linuxArgs)],
    [initramfs, text('')],
  ] as const;
  page.writeUInt32LE(HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_LOADER_NAME, 0);
  page.writeUInt32LE(640, 4); // KiB below 1 MiB
  page.writeUInt32LE((memoryMiB - 1) * 1024, 8); // KiB above it
  page.writeUInt32LE(text(xenArgs), 16);
  page.writeUInt32LE(modules.length, 20);
  page.writeUInt32LE(address + MODULES, 24);
  page.writeUInt32LE(text('xenctrl-lab'), 64);
  modules.forEach(([{ start, end }, words], index) => {
    const at = MODULES + index * 16;
    page.writeUInt32LE(start, at);
    page.writeUInt32LE(end, at + 4);
    page.writeUInt32LE(words, at + 8);
  });
  return page;
}
