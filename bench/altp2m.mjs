// xc_altp2m_* from TypeScript against libxenctrl's C functions of the same names, on the same stub kernel: once with a
// system call behind each hypercall, as privcmd makes one, and once without, which leaves the two libraries alone.

import { execFileSync } from 'node:child_process';
import { compile, ffiNapi, Missing, orSkipped, ROOT, requireAddon, stubKernel } from './lib/compile.mjs';
import { Contender, compare, rows } from './lib/interleave.mjs';

const CHILDREN = `${ROOT}/bench/children`;

export async function* bench() {
  yield* orSkipped('all', () => withKernel('with a system call', '1'));
  yield* orSkipped('all', () => withKernel('without system calls', '0'));
}

async function* withKernel(title, entry) {
  requireAddon();
  const env = { LD_PRELOAD: stubKernel(), STUB_KERNEL_ENTRY: entry };
  const ours = new Contender('xenctrl', process.execPath, [`${CHILDREN}/altp2m_addon.mjs`], env);
  try {
    yield* orSkipped('against libxenctrl', () => againstC(title, ours, env));
    yield* orSkipped('against koffi', () => againstJs(title, ours, 'koffi', env, 2000));
    yield* orSkipped('against ffi-napi', () =>
      againstJs(title, ours, 'ffi_napi', { ...env, NODE_PATH: ffiNapi() }, 40),
    );
  } finally {
    ours.end();
  }
}

async function* againstC(title, ours, env) {
  const program = compile('bench/children/altp2m.c', 'altp2m', ['-lxenctrl']);
  const rival = new Contender('libxenctrl', program, [], env);
  try {
    for (const call of ['set_visibility', 'set_mem_access']) {
      const [us, them] = await compare([ours, rival], call, [4000, 4000]);
      yield* rows(`xc_altp2m_${call} ${title}`, us, them, 'libxenctrl (C)');
    }
  } finally {
    rival.end();
  }
}

async function* againstJs(title, ours, ffi, env, count) {
  const rival = new Contender(ffi, process.execPath, [`${CHILDREN}/altp2m_${ffi}.mjs`, libxenctrl()], env);
  try {
    const [us, them] = await compare([ours, rival], 'set_visibility', [4000, count]);
    yield* rows(`xc_altp2m_set_visibility ${title}`, us, them, `libxenctrl by ${ffi.replace('_', '-')}`);
  } finally {
    rival.end();
  }
}

/** The library's name carries Xen's version. */
function libxenctrl() {
  const listed = execFileSync('sh', ['-c', 'PATH=$PATH:/sbin ldconfig -p'], { encoding: 'utf8' });
  const found = /(\S*\/libxenctrl\.so\.\S*)$/m.exec(listed)?.[1];
  if (!found) throw new Missing('libxenctrl is not installed (Debian: apt install libxen-dev)');
  return found;
}
