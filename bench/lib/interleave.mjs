// Measuring programs against each other: each runs as a process of its own and measures when it is told to, by turns, so
// that what else the machine does falls on all alike.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A process that answers a line `case count` with the nanoseconds that one of `count` calls took. */
export class Contender {
  constructor(name, command, args, env = {}) {
    this.name = name;
    this.process = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.process.stdout });
    this.gone = once(this.process, 'close').then(([code, signal]) => {
      throw new Error(`${name} ended with ${signal ?? code}`);
    });
    this.gone.catch(() => {}); // told to whoever is measuring
  }

  async measure(what, count) {
    this.process.stdin.write(`${what} ${count}\n`);
    const [line] = await Promise.race([once(this.lines, 'line'), this.gone]);
    return Number(line);
  }

  end() {
    this.process.stdin.end();
  }
}

/**
 * Measures by turns. Many short turns, a few milliseconds each: on a machine that does other things, too, some of them
 * are left alone.
 *
 * @param contenders the processes
 * @param what the case each is to measure
 * @param counts how many calls a turn, for each contender
 * @returns per contender `{best, median}` in nanoseconds a call
 */
export async function compare(contenders, what, counts, rounds = 301) {
  const samples = contenders.map(() => []);
  for (let round = -2; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const sample = await contender.measure(what, counts[i]);
      if (round >= 0) samples[i].push(sample); // the first turns warm up
    }
  }
  return samples.map(summary);
}

export function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return { best: sorted[0], median: sorted[sorted.length >> 1] };
}

/** The two rows of one comparison. */
export function* rows(name, ours, rival, rivalName, unit = 'ns', scale = 1) {
  for (const kind of ['best', 'median']) {
    yield { case: `${name}, ${kind}`, ours: ours[kind] / scale, rival: rival[kind] / scale, rivalName, unit };
  }
}
