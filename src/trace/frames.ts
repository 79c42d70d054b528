/** Lists of frames, written short: runs of consecutive extents as `[first, count]`. */

import { u64FromJson } from './u64.js';

/** A frame, or a run of extents that follow each other. */
export type FrameRun = number | bigint | readonly [first: number, count: number];

/** Writes a list of extents of 2^order frames short. */
export function packFrames(frames: readonly (number | bigint)[], order: number): FrameRun[] {
  const stride = 2 ** order;
  const runs: FrameRun[] = [];
  for (let i = 0; i < frames.length; ) {
    const first = frames[i] as number | bigint;
    let count = 1;
    while (typeof first === 'number' && frames[i + count] === first + count * stride) count++;
    runs.push(typeof first === 'number' && count > 1 ? [first, count] : first);
    i += count;
  }
  return runs;
}

/** The list that {@link packFrames} wrote, after a way through JSON; null when it is none, or longer than `most`. */
export function expandFrames(runs: readonly unknown[], order: number, most: number): (number | bigint)[] | null {
  const stride = 2 ** order;
  const frames: (number | bigint)[] = [];
  for (const run of runs) {
    const [from, count]: readonly unknown[] = Array.isArray(run) ? run : [run, 1];
    const first = u64FromJson(from);
    if (first === null || typeof count !== 'number' || !Number.isInteger(count) || count < 1) return null;
    if (frames.length + count > most) return null;
    if (count === 1) frames.push(first);
    else if (Number(first) + count * stride > Number.MAX_SAFE_INTEGER) return null;
    else for (let i = 0; i < count; i++) frames.push(Number(first) + i * stride);
  }
  return frames;
}
