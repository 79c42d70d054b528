// The port on privcmd against the distribution's C libraries for the same device, on the same stub kernel.

import { compile, orSkipped, ROOT, requireAddon, stubKernel } from './lib/compile.mjs';
import { Contender, compare, rows } from './lib/interleave.mjs';

const CHILD = `${ROOT}/bench/children/privcmd_addon.mjs`;

export async function* bench() {
  yield* orSkipped('all', async function* () {
    requireAddon();
    const env = { LD_PRELOAD: stubKernel(), STUB_KERNEL_ENTRY: '1' };
    const ours = new Contender('xenctrl', process.execPath, [CHILD], env);
    try {
      yield* orSkipped('against C', () => againstC(ours, env));
      yield* orSkipped('against libxencall by koffi', () => againstLibxen(ours, env));
      yield* asynchronous(ours);
    } finally {
      ours.end();
    }
  });
}

async function* againstC(ours, env) {
  const program = compile('bench/children/privcmd.c', 'privcmd', ['-lxencall', '-lxenforeignmemory']);
  const rival = new Contender('libxencall', program, [], env);
  const silent = { LD_PRELOAD: env.LD_PRELOAD };
  const oursSilent = new Contender('xenctrl', process.execPath, [CHILD], silent);
  const rivalSilent = new Contender('libxencall', program, [], silent);
  try {
    yield* pair('hypercall without system calls', oursSilent, rivalSilent, 'hypercall', 200_000);
    yield* pair('hypercall', ours, rival, 'hypercall', 200_000);
    const [batch] = await compare([ours], 'batch', [200_000]);
    const [single] = await compare([rival], 'hypercall', [200_000]);
    yield* rows('hypercall in a batch of 32', batch, single, 'libxencall (C)');
    yield* pair('map, read, unmap 1 page', ours, rival, 'map1', 2000, 'libxenforeignmemory (C)', 'us', 1000);
    yield* pair('map, read, unmap 64 pages', ours, rival, 'map64', 200, 'libxenforeignmemory (C)', 'us', 1000);
  } finally {
    for (const contender of [rival, oursSilent, rivalSilent]) contender.end();
  }
}

async function* pair(name, ours, rival, what, count, rivalName = 'libxencall (C)', unit = 'ns', scale = 1) {
  const [us, them] = await compare([ours, rival], what, [count, count]);
  yield* rows(name, us, them, rivalName, unit, scale);
}

async function* againstLibxen(ours, env) {
  const rival = new Contender('koffi', process.execPath, [CHILD, 'libxen'], env);
  try {
    const [us, them] = await compare([ours, rival], 'hypercall', [200_000, 100_000], 11);
    yield* rows('hypercall', us, them, 'our libxen backend (koffi)');
  } finally {
    rival.end();
  }
}

async function* asynchronous(ours) {
  for (const [what, name] of [
    ['async', 'hypercallAsync, one after the other'],
    ['async64', 'hypercallAsync, 64 in flight'],
  ]) {
    const [{ best }] = await compare([ours], what, [6400], 7);
    yield { case: `${name}, best`, ours: best / 1000, unit: 'us' };
  }
}
