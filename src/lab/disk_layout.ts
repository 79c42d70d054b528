/**
 * Bochs' one disk: it carries the machine in and the results out.
 *
 * Sector 0 is the boot sector with a partition table; partition 1 is the memory image that it loads, 2 takes the
 * command's stdout, 3 its stderr, 4 a status sector and, from byte 4096, the files of /run/out as a tar.
 * The file is sparse: it takes no more room than what is written.
 */

export const SECTOR = 512;
/** The boot sector loads pieces of this size; the memory image is a whole number of them. */
export const LOAD_PIECE = 64 * SECTOR;
export const STATUS_BYTES = SECTOR;
export const TAR_OFFSET = 4096;
/** Bochs wants a whole number of cylinders of 16 heads and 63 sectors. */
const CYLINDER = 16 * 63 * SECTOR;
const MIB = 1 << 20;
const OUTPUT_BYTES = 512 * MIB;
const FILES_BYTES = 2048 * MIB;
/** Tells systems that know no better to leave it alone: "non-FS data". */
const PARTITION_TYPE = 0xda;
const PARTITION_TABLE = 446;

export interface Partition {
  /** In bytes from the disk's start. */
  readonly start: number;
  readonly size: number;
}

export interface DiskLayout {
  readonly image: Partition;
  readonly stdout: Partition;
  readonly stderr: Partition;
  readonly results: Partition;
  /** Of the whole disk. */
  readonly size: number;
}

/** @param imageBytes size of the memory image */
export function layOutDisk(imageBytes: number): DiskLayout {
  const image = { start: SECTOR, size: roundUp(imageBytes, LOAD_PIECE) };
  const stdout = { start: roundUp(image.start + image.size, MIB), size: OUTPUT_BYTES };
  const stderr = { start: stdout.start + stdout.size, size: OUTPUT_BYTES };
  const results = { start: stderr.start + stderr.size, size: FILES_BYTES };
  return { image, stdout, stderr, results, size: roundUp(results.start + results.size, CYLINDER) };
}

/** The partition table's 64 bytes and the mark behind it, at their place in a boot sector. */
export function writePartitionTable(sector: Buffer, { image, stdout, stderr, results }: DiskLayout): void {
  [image, stdout, stderr, results].forEach((partition, index) => {
    const at = PARTITION_TABLE + index * 16;
    sector.writeUInt8(PARTITION_TYPE, at + 4);
    sector.writeUInt32LE(partition.start / SECTOR, at + 8);
    sector.writeUInt32LE(partition.size / SECTOR, at + 12);
  });
  sector.writeUInt16LE(0xaa55, SECTOR - 2);
}

export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
