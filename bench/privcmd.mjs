// The port on privcmd against the distribution's C libraries for the same device: in a real Xen's dom0 on that, elsewhere
// on a stub kernel.

import { existsSync } from 'node:fs';
import { compile, Missing, orSkipped, ROOT, requireAddon, stubKernel } from './lib/compile.mjs';
import { Contender, compare, rows } from './lib/interleave.mjs';

const CHILD = `${ROOT}/bench/children/privcmd_addon.mjs`;
const DOM0_CHILD = `${ROOT}/bench/children/dom0.mjs`;
/** Where Debian keeps the modules of Xen's own tools. */
const XEN_PYTHON = '/usr/lib/xen-4.17/lib/python';

export async function* bench() {
  if (existsSync('/dev/xen/privcmd')) yield* onRealXen();
  else yield* onStub();
}

async function* onRealXen() {
  yield* orSkipped('all', async function* () {
    requireAddon();
    const ours = new Contender('xenctrl', process.execPath, [DOM0_CHILD]);
    try {
      yield* orSkipped('against C', () => against(ours, Object.keys(DOM0_CASES), dom0InC()));
      yield* orSkipped('against the libraries by koffi', () =>
        against(ours, Object.keys(DOM0_CASES), {
          rival: new Contender('koffi', process.execPath, [DOM0_CHILD, 'libxen']),
          name: 'our libxen backend (koffi)',
        }),
      );
      yield* orSkipped('against Python', () => against(ours, ['physinfo'], dom0InPython()));
    } finally {
      ours.end();
    }
  });
}

/** Altp2m operations are refused: dom0 is no HVM domain, and QEMU's processor has no altp2m. */
const DOM0_CASES = {
  hypercall: 'hypercall',
  altp2m: 'altp2m operation',
  refused: 'altp2m operation, with the error and its hint',
  physinfo: 'xc_physinfo',
};

/** @param cases those that the rival has */
async function* against(ours, cases, { rival, name }) {
  try {
    for (const what of cases) {
      const [us, them] = await compare([ours, rival], what, [100, 100], 41);
      yield* rows(DOM0_CASES[what], us, them, name, 'us', 1000);
    }
  } finally {
    rival.end();
  }
}

function dom0InC() {
  const program = compile('bench/children/dom0.c', 'dom0', ['-lxencall', '-lxenctrl']);
  return { rival: new Contender('C', program, []), name: 'libxencall and libxenctrl (C)' };
}

function dom0InPython() {
  if (!existsSync(XEN_PYTHON)) throw new Missing("Xen's Python modules (Debian: apt install xen-utils-4.17)");
  const script = `${ROOT}/bench/children/dom0.py`;
  return {
    rival: new Contender('python', 'python3', [script], { PYTHONPATH: XEN_PYTHON }),
    name: 'xen.lowlevel.xc (Python)',
  };
}

async function* onStub() {
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
