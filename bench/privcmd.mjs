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
  const program = compile('bench/children/privcmd.c', 'privcmd', ['-lxencall', '-lxenforeignmemory', '-lpthread']);
  const rival = new Contender('libxencall', program, [], env);
  const threaded = new Contender('libxencall', program, ['threads'], env);
  try {
    yield* pair('hypercall', ours, rival, 'hypercall', 4000);
    yield* pair('hypercall', ours, threaded, 'hypercall', 4000, 'libxencall (C, with a second thread)');
    const [batch] = await compare([ours], 'batch', [4000]);
    const [single] = await compare([rival], 'hypercall', [4000]);
    yield* rows('hypercall in a batch of 32', batch, single, 'libxencall (C)');
    yield* pair('map, read, unmap 1 page', ours, rival, 'map1', 100, 'libxenforeignmemory (C)', 'us', 1000);
    yield* pair('map, read, unmap 64 pages', ours, rival, 'map64', 5, 'libxenforeignmemory (C)', 'us', 1000);
  } finally {
    rival.end();
    threaded.end();
  }
}

async function* pair(name, ours, rival, what, count, rivalName = 'libxencall (C)', unit = 'ns', scale = 1) {
  const [us, them] = await compare([ours, rival], what, [count, count]);
  yield* rows(name, us, them, rivalName, unit, scale);
}

async function* againstLibxen(ours, env) {
  const rival = new Contender('koffi', process.execPath, [CHILD, 'libxen'], env);
  try {
    const [us, them] = await compare([ours, rival], 'hypercall', [4000, 2000]);
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
    const [{ best }] = await compare([ours], what, [640], 31);
    yield { case: `${name}, best`, ours: best / 1000, unit: 'us' };
  }
}
