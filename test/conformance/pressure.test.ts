/**
 * Calls while dom0 runs short of memory and the kernel moves pages about: the memory that Xen reads and writes during a
 * hypercall must stay where it is.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import * as xc from '#dist/index.js';
import { frames, hvmDomain } from './domains.js';
import { openTarget } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const MIB = 1 << 20;
const CHUNK = 8 * MIB;
/** What is left to dom0: enough for its programs to stay in memory. */
const LEFT = 128 * MIB;
/** No test should take more memory than this from a machine that does other work, too. */
const MOST = 1024 * MIB;
const COMPACT = '/proc/sys/vm/compact_memory';

function memory(field: string): number {
  const [, kib = '0'] = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(kib) * 1024;
}

function unable(): string | false {
  if (target.model) return "the model's arena is no locked memory";
  if (memory('MemAvailable') - LEFT > MOST) return 'dom0 has too much memory to fill it: give it dom0_mem=1000M';
  return false;
}

/** Has the kernel move pages together, over and over, until it is stopped. */
function compactor(): Worker | null {
  if (!existsSync(COMPACT)) return null;
  const code = `const { writeFileSync } = require('node:fs');
    for (;;) { writeFileSync('${COMPACT}', '1'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); }`;
  return new Worker(code, { eval: true });
}

/** One of each kind of call, with large lists; throws when an answer is wrong. */
function use(own: xc.XcInterface): void {
  using domain = hvmDomain(target, { pages: 0 });
  const { domid } = domain;
  xc.xc_domain_setmaxmem(own, domid, 5000 * 4);
  assert.equal(xc.xc_domain_populate_physmap(own, domid, 0, 0, BigUint64Array.from(frames(4999), BigInt)), 4999);
  for (let i = 0; i < 100; i++) {
    xc.xc_hvm_param_set(own, domid, xc.HVM_PARAM_STORE_PFN, i);
    assert.equal(xc.xc_hvm_param_get(own, domid, xc.HVM_PARAM_STORE_PFN), BigInt(i));
    assert.equal(xc.xc_domain_getinfo_single(own, domid).tot_pages, 4999);
    assert.ok(xc.xc_domain_getinfolist(own, 0, 256).some((info) => info.domain === domid));
  }
  assert.ok(xc.xc_domain_hvm_getcontext(own, domid).length > 0);
  using pages = xc.xc_map_foreign_pages(own, domid, xc.PROT_READ | xc.PROT_WRITE, frames(1000));
  for (let i = 0; i < 1000; i++) pages.bytes[i * 4096] = i % 256;
  for (let i = 0; i < 1000; i++) assert.equal(pages.bytes[i * 4096], i % 256);
}

test('calls, lists, mappings and new handles while memory is short and pages are moved', {
  skip: unable(),
}, async () => {
  const hog: Buffer[] = [];
  while (memory('MemAvailable') > LEFT + CHUNK) hog.push(Buffer.alloc(CHUNK, 0xa5));
  const moving = compactor();
  try {
    for (let round = 0; round < 3; round++) {
      const own = target.open();
      use(own);
      use(xch);
      // memory that is given back and taken again makes holes for pages to be moved to
      for (let i = 0; i < 4; i++) {
        hog.pop();
        hog.unshift(Buffer.alloc(CHUNK, round));
      }
      own.hypervisor.close();
    }
  } finally {
    await moving?.terminate();
  }
});
