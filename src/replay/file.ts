/** Recordings in files, plain or compressed. */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { RecordingError } from './error.js';

/** A file of a few hundred KB that unfolds to more than this is no recording. */
const MOST_BYTES = 2 ** 30;

/**
 * Reads a recording. What begins as gzip does is taken for gzip, whatever the file's name.
 *
 * @throws RecordingError it cannot be read, or is no JSON
 */
export function readRecording(path: string): unknown {
  try {
    const bytes = readFileSync(path);
    const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const text = (packed ? gunzipSync(bytes, { maxOutputLength: MOST_BYTES }) : bytes).toString('utf8');
    return JSON.parse(text);
  } catch (error) {
    throw new RecordingError(error instanceof Error ? error.message : String(error));
  }
}
