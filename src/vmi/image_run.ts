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

/** Reads a part of the file: fewer bytes only at its end. */
export type ReadAt = (offset: number, length: number) => Uint8Array;
