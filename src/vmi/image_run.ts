/** What the formats of images have in common. */

/** Bytes of guest memory that lie together in the file. */
export interface ImageRun {
  /** Guest-physical address of the first. */
  readonly address: number;
  readonly bytes: number;
  /** Where in the file. */
  readonly offset: number;
}

/** The file is not what it says it is, or nothing that is known. */
export class ImageFormatError extends Error {
  override readonly name = 'ImageFormatError';
  readonly code = 'ERR_XENCTRL_IMAGE';
}

/** Reads a part of the file into an array; gives how many bytes there were: fewer than it has room for at the end only. */
export type ReadAt = (offset: number, target: Uint8Array) => number;

/** A part of the file, with zeroes for what is beyond its end. */
export function readAt(read: ReadAt, offset: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  read(offset, bytes);
  return new DataView(bytes.buffer);
}
