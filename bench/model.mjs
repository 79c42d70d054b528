// The software Xen, through the whole codec. Aims: a million set_visibility calls a second, 300,000 guest reads a second
// through a view, and a view with a million changed frames in 100 MB, growing in proportion. There is no rival.

import { execFileSync } from 'node:child_process';
import { ROOT } from './lib/compile.mjs';

const ROUNDS = 5;

const SETUP = `
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
const xen = new ModelXen({ release: '4.17', altp2m: true });
const { domid, vcpus } = xen.createGuest({ vcpus: 1, memoryPages: 2 ** 22, altp2m: 'external' });
const xch = xc.xc_interface_open({ hypervisor: xen });
xc.xc_altp2m_set_domain_state(xch, domid, true);
const view = xc.xc_altp2m_create_view(xch, domid, xc.XENMEM_access.rwx);
const rate = (count, body) => {
  const start = performance.now();
  for (let i = 0; i < count; i++) body(i);
  return (count / (performance.now() - start)) * 1000;
};`;

const CALLS = `${SETUP}
const hide = (i) => xc.xc_altp2m_set_visibility(xch, domid, view, (i & 1) === 0);
rate(200_000, hide);
const calls = rate(1_000_000, hide);
xc.xc_altp2m_set_visibility(xch, domid, view, true);
xc.xc_altp2m_switch_to_view(xch, domid, view);
const read = (i) => vcpus[0].read((i & 0xffff) * 8, 4);
rate(100_000, read);
console.log(JSON.stringify({ calls, reads: rate(500_000, read) }));`;

const FRAMES = `${SETUP}
const count = Number(process.argv[1]);
const access = new Uint8Array(count).fill(5);
const gfns = BigUint64Array.from({ length: count }, (_, i) => BigInt(i));
gc();
const used = () => { const { heapUsed, arrayBuffers } = process.memoryUsage(); return heapUsed + arrayBuffers; };
const before = used();
xc.xc_altp2m_set_mem_access_multi(xch, domid, view, access, gfns);
gc();
console.log((used() - before) / 1e6);`;

function run(script, ...args) {
  const flags = ['--expose-gc', '--input-type=module', '-e', script, ...args];
  return execFileSync(process.execPath, flags, { cwd: ROOT, encoding: 'utf8' });
}

export async function* bench() {
  const rounds = Array.from({ length: ROUNDS }, () => JSON.parse(run(CALLS)));
  yield { case: 'set_visibility, best', ours: Math.max(...rounds.map(({ calls }) => calls)), unit: 'calls/s' };
  yield {
    case: 'guest reads through a view, best',
    ours: Math.max(...rounds.map(({ reads }) => reads)),
    unit: 'calls/s',
  };
  for (const count of [250_000, 500_000, 1_000_000]) {
    yield {
      case: `a view with ${count.toLocaleString('en')} changed frames`,
      ours: Number(run(FRAMES, String(count))),
      unit: 'MB',
    };
  }
}
