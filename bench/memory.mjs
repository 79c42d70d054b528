// Guest memory: translations of virtual addresses, and searches, against a C program that does the same; pages through
// mappings, against libxenforeignmemory on the same stub kernel.

import { compile, orSkipped, ROOT, requireAddon, stubKernel } from './lib/compile.mjs';
import { Contender, compare, rows } from './lib/interleave.mjs';

const C = 'the same in C';
/** A million times so many nanoseconds, in microseconds. */
const MILLION_IN_US = 1000;

export async function* bench() {
  yield* orSkipped('translations and searches', translations);
  yield* orSkipped('mappings', mappings);
}

const LIBRARY = 'libxenforeignmemory (C)';
/** What is measured, and how many of it make a turn. */
const MAPPINGS = [
  ['copy4k', 'copy 4 KiB out of a mapping', 20_000, 'ns', 1],
  ['copy1m', 'copy 1 MiB out of a mapping', 20, 'us', 1000],
  ['map4k', 'map, copy and unmap 4 KiB', 100, 'us', 1000],
  ['map1m', 'map, copy and unmap 1 MiB', 2, 'us', 1000],
];

async function* mappings() {
  requireAddon();
  const env = { LD_PRELOAD: stubKernel() };
  const program = compile('bench/children/mapping.c', 'mapping', ['-lxenforeignmemory']);
  const ours = new Contender('xenctrl', process.execPath, [`${ROOT}/bench/children/mapping.mjs`], env);
  const rival = new Contender(LIBRARY, program, [], env);
  try {
    for (const [what, name, count, unit, scale] of MAPPINGS) {
      const [us, them] = await compare([ours, rival], what, [count, count], 151);
      yield* rows(name, us, them, LIBRARY, unit, scale);
    }
    yield { case: '20,000 mappings, opened and closed: growth', ours: await ours.measure('open20000', 1), unit: 'MB' };
  } finally {
    ours.end();
    rival.end();
  }
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
