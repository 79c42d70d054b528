/** Hands output on without piling it up: whoever writes waits for whoever reads. */

import type { LabOutput } from './options.js';

const EVENTS = ['drain', 'close', 'error'] as const;

/** Writes everything and waits until there is room for more. A reader that has gone away ends the wait. */
export async function writeTo(output: LabOutput, piece: Uint8Array): Promise<void> {
  if (piece.length === 0 || output.write(piece)) return;
  await new Promise<void>((done) => {
    const settle = (): void => {
      for (const event of EVENTS) output.off(event, settle);
      done();
    };
    for (const event of EVENTS) output.once(event, settle);
  });
}
