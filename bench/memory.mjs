// Guest memory: translations of virtual addresses, and searches, against a C program that does the same.

import { compile, orSkipped, ROOT } from './lib/compile.mjs';
import { Contender, compare, rows } from './lib/interleave.mjs';

const C = 'the same in C';
/** A million times so many nanoseconds, in microseconds. */
const MILLION_IN_US = 1000;

export async function* bench() {
  yield* orSkipped('translations and searches', translations);
}

async function* translations() {
  const ours = new Contender('xenctrl', process.execPath, [`${ROOT}/bench/children/translate.mjs`]);
  const rival = new Contender('C', compile('bench/children/translate.c', 'translate', []), []);
  try {
    const [warm, theirs] = await compare([ours, rival], 'warm', [100_000, 100_000], 101);
    yield* rows('1,000,000 translations, warm cache', warm, theirs, C, 'us', 1 / MILLION_IN_US);
    const [bigint] = await compare([ours], 'bigint', [20_000], 61);
    yield* rows(
      'the same, addresses as bigints',
      bigint,
      theirs,
      `${C}, whose addresses are numbers`,
      'us',
      1 / MILLION_IN_US,
    );
    yield* pair('a translation by walking the tables', ours, rival, 'cold', 16_384, 61, 'ns', 1);
    yield* pair('a search through 64 MiB', ours, rival, 'search', 1, 21, 'us', 1e3);
  } finally {
    ours.end();
    rival.end();
  }
}

async function* pair(name, ours, rival, what, count, rounds, unit, scale) {
  const [us, them] = await compare([ours, rival], what, [count, count], rounds);
  yield* rows(name, us, them, C, unit, scale);
}
