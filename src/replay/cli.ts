#!/usr/bin/env node
/** `npm run replay -- FILE...`: exit code 0 when every row matches, 1 when one does not, 2 when a file is no recording. */

import { RecordingError } from './error.js';
import { readRecording } from './file.js';
import { formatMismatch } from './print.js';
import { replay } from './replay.js';

function main(files: readonly string[]): number {
  if (files.length === 0) {
    console.error('usage: npm run replay -- FILE... (.json or .json.gz)');
    return 2;
  }
  let matched = 0;
  let total = 0;
  let unreadable = 0;
  for (const file of files) {
    try {
      const result = replay(readRecording(file));
      for (const mismatch of result.mismatches) console.log(`${file}: ${formatMismatch(mismatch)}`);
      if (files.length > 1) console.log(`${file}: ${result.matched} of ${result.total}`);
      matched += result.matched;
      total += result.total;
    } catch (error) {
      if (!(error instanceof RecordingError)) throw error;
      console.error(`${file}: ${error.message}`);
      unreadable++;
    }
  }
  if (unreadable < files.length) console.log(`${matched} of ${total} calls match`);
  if (unreadable > 0) return 2;
  return matched === total ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
