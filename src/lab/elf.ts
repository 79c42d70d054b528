/** The little of ELF that the lab must read: program headers. */

import { LabError } from './error.js';

/** A part of a program that is loaded into memory. */
export interface Segment {
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly physicalAddress: number;
  readonly memorySize: number;
}

const PT_LOAD = 1;
const PT_INTERP = 3;
const CLASS_64 = 2;

export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/** Whether a 64-bit program runs without shared libraries. */
export function isStatic(file: Buffer): boolean {
  if (!isElf(file) || file[4] !== CLASS_64) return false;
  const table = Number(file.readBigUInt64LE(0x20));
  const size = file.readUInt16LE(0x36);
  const count = file.readUInt16LE(0x38);
  for (let i = 0; i < count; i++) {
    if (file.readUInt32LE(table + i * size) === PT_INTERP) return false;
  }
  return true;
}

/** Entry point and loadable segments of a 32-bit ELF file, the form in which Xen is given to a boot loader. */
export function readElf32(file: Buffer): {
  readonly entry: number;
  readonly segments: readonly [Segment, ...Segment[]];
} {
  if (!isElf(file) || file[4] === CLASS_64) throw new LabError('the Xen image is not a 32-bit ELF file');
  const table = file.readUInt32LE(0x1c);
  const size = file.readUInt16LE(0x2a);
  const count = file.readUInt16LE(0x2c);
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * size;
    if (file.readUInt32LE(at) !== PT_LOAD) continue;
    segments.push({
      fileOffset: file.readUInt32LE(at + 4),
      physicalAddress: file.readUInt32LE(at + 12),
      fileSize: file.readUInt32LE(at + 16),
      memorySize: file.readUInt32LE(at + 20),
    });
  }
  const [first, ...rest] = segments;
  if (!first) throw new LabError('the Xen image has nothing to load');
  return { entry: file.readUInt32LE(0x18), segments: [first, ...rest] };
}
