/**
 * Runs in a real dom0: takes the recordings of a file (one JSON a line) on the Xen that is there, and prints for each what
 * it answered and what was not as expected, one JSON a line.
 */

import { readFileSync } from 'node:fs';
import * as xc from '#dist/index.js';
import type { ReplayResult } from '#dist/replay/result.js';
import { playXenRecording } from '#dist/replay/xen_recording.js';
import type { Told } from './expect.js';
import { RealSession } from './real_session.js';

/** What came of one recording. */
export interface RealResult {
  readonly index: number;
  readonly mismatches: ReplayResult['mismatches'];
  /** What each step gave, when asked for with --told. */
  readonly told?: readonly Told[];
  /** The recording could not be taken to its end. */
  readonly failure?: string;
}

function play(xch: xc.XcInterface, line: string, index: number, withTold: boolean): RealResult {
  const told: Told[] = [];
  try {
    const { mismatches } = playXenRecording(
      JSON.parse(line),
      () => new RealSession(xch),
      ({ told: one, events }) => told.push({ told: one, ...(events && { events }) }),
      // what comes after a mismatch says nothing, and a guest that waits for good takes its time over each step
      withTold ? 'the end' : 'the first mismatch',
    );
    return { index, mismatches, ...(withTold && { told }) };
  } catch (error) {
    return { index, mismatches: [], failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

const [file = '', ...flags] = process.argv.slice(2);
using xch = xc.xc_interface_open({ backend: 'privcmd' });
const lines = readFileSync(file, 'utf8')
  .split('\n')
  .filter((line) => line !== '');
for (const [index, line] of lines.entries()) {
  // -0, undefined and bigints do not survive JSON: none of them is told
  const result = JSON.stringify(play(xch, line, index, flags.includes('--told')), (_key, value: unknown) =>
    typeof value === 'bigint' ? Number(value) : value,
  );
  process.stdout.write(`${result}\n`);
}
