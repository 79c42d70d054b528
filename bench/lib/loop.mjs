// The inside of a contender written in JavaScript.

import { createInterface } from 'node:readline';

/**
 * Answers lines `case count` until the input ends.
 *
 * @param cases functions that make `count` calls
 */
export async function serve(cases) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, count] = line.split(' ');
    const start = process.hrtime.bigint();
    await cases[what](Number(count));
    console.log(Number(process.hrtime.bigint() - start) / Number(count));
  }
}
