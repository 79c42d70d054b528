/** What a process holds: memory, descriptors, mappings. Two looks tell what was leaked in between. */

import { readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface Resources {
  /** Resident bytes. */
  readonly rss: number;
  readonly descriptors: number;
  /** Areas of the address space. */
  readonly areas: number;
}

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Counts after a collection, so that what is only garbage does not count. */
function resources(): Resources {
  gc();
  gc();
  return {
    rss: process.memoryUsage.rss(),
    descriptors: readdirSync('/proc/self/fd').length,
    areas: readFileSync('/proc/self/maps', 'utf8').split('\n').length,
  };
}

const MIB = 1 << 20;
/** What Node may take for itself in between: heap that grows, code that is compiled. */
const SLACK: Resources = { rss: 24 * MIB, descriptors: 0, areas: 16 };

/** What was taken since, beyond what Node takes for itself; empty: nothing. */
function taken(before: Resources): Partial<Resources> {
  const now = resources();
  const names = ['rss', 'descriptors', 'areas'] as const;
  return Object.fromEntries(
    names.filter((name) => now[name] - before[name] > SLACK[name]).map((name) => [name, now[name] - before[name]]),
  );
}

/**
 * Does something and tells what it leaks; empty: nothing. A leak is there every time; what Node's heap takes once to grow
 * is none, hence three attempts.
 */
export async function leakOf(body: () => unknown): Promise<Partial<Resources>> {
  let leak: Partial<Resources> = {};
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = resources();
    await body();
    leak = taken(before);
    if (Object.keys(leak).length === 0) break;
  }
  return leak;
}
