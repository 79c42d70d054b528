/** Replays a recording, whatever its format. */

import { replayArgoRecording } from './argo/recording.js';
import { RecordingError } from './error.js';
import { Fields } from './fields.js';
import type { ReplayResult } from './result.js';
import { replayXenRecording } from './xen_recording.js';

/** How each format is replayed. A reader checks all of the recording and throws RecordingError for what it does not know. */
const FORMATS: Readonly<Record<string, (recording: unknown) => ReplayResult>> = {
  'xen-recording/1': replayXenRecording,
  'xen-argo-recording/1': replayArgoRecording,
};

/**
 * Replays a recording on a software Xen made for it.
 *
 * @param recording the parsed JSON
 * @throws RecordingError it is no recording, or holds something unknown; the message names the place
 */
export function replay(recording: unknown): ReplayResult {
  const format = new Fields(recording, '').string('format');
  const replayer = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (!replayer)
    throw new RecordingError(`format: ${format} is not known; known are ${Object.keys(FORMATS).join(', ')}`);
  return replayer(recording);
}
