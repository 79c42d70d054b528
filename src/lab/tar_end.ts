/** Finds where a tar ends: on a disk, nothing else tells. */

import { readSync } from 'node:fs';

const BLOCK = 512;
const NAME_FIRST_BYTE = 0;
const SIZE_FIELD = 124;
const SIZE_LENGTH = 12;
const TYPE_FIELD = 156;
const TYPE_LINK_OR_FOLDER = /[1-6]/;

/**
 * @param start where the archive begins in the file
 * @param limit most bytes that it can have
 * @returns its bytes, without the two empty blocks at its end
 */
export function tarLength(fd: number, start: number, limit: number): number {
  const header = Buffer.alloc(BLOCK);
  let length = 0;
  while (length + BLOCK <= limit) {
    if (readSync(fd, header, 0, BLOCK, start + length) < BLOCK || header[NAME_FIRST_BYTE] === 0) break;
    const type = header.toString('latin1', TYPE_FIELD, TYPE_FIELD + 1);
    const size = TYPE_LINK_OR_FOLDER.test(type) ? 0 : sizeField(header.subarray(SIZE_FIELD, SIZE_FIELD + SIZE_LENGTH));
    length += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return Math.min(length, limit);
}

/** Octal digits; or, for 8 GiB and more, a number with the top bit set, which does not occur on so small a disk. */
function sizeField(field: Buffer): number {
  return Number.parseInt(field.toString('latin1').replaceAll('\0', ' ').trim() || '0', 8);
}
