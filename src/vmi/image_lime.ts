/** LiME images: ranges of memory, each behind a header of 32 bytes. */

import { ImageFormatError, type ImageRun, type ReadAt, readAt } from './image_run.js';

export const LIME_MAGIC = 0x4c69_4d45;
export const LIME_HEADER = 32;

/** @param size of the file */
export function readLime(read: ReadAt, size: number): ImageRun[] {
  const runs: ImageRun[] = [];
  for (let at = 0; at < size; ) {
    const view = readAt(read, at, LIME_HEADER);
    if (view.getUint32(0, true) !== LIME_MAGIC || view.getUint32(4, true) !== 1) {
      throw new ImageFormatError(`no LiME header of version 1 at byte ${at} of the image`);
    }
    const address = Number(view.getBigUint64(8, true));
    const last = Number(view.getBigUint64(16, true));
    const offset = at + LIME_HEADER;
    const bytes = last - address + 1;
    if (!(last < 2 ** 52 && bytes > 0 && offset + bytes <= size)) {
      throw new ImageFormatError(`the range at byte ${at} of the image goes beyond its end`);
    }
    runs.push({ address, bytes, offset });
    at = offset + bytes;
  }
  return runs;
}

/** The header before `bytes` bytes of memory at an address. */
export function limeHeader(address: number, bytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(LIME_HEADER));
  view.setUint32(0, LIME_MAGIC, true);
  view.setUint32(4, 1, true);
  view.setBigUint64(8, BigInt(address), true);
  view.setBigUint64(16, BigInt(address + bytes - 1), true);
  return new Uint8Array(view.buffer);
}
