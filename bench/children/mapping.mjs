// Mappings through our port on privcmd. Answers as mapping.c does, and `open20000` with the megabytes that it grew by.

import { createInterface } from 'node:readline';
import { PROT_READ } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';

const DOMID = 1;
const PAGE = 4096;
const MOST = 256;
const xen = new PrivcmdHypervisor();
/** Half a page off: processors of AMD's Zen copy slowly to where the offset in the page is just above the source's. */
const copy = new Uint8Array(MOST * PAGE + PAGE).subarray(PAGE / 2);
const gfns = Array.from({ length: MOST }, (_, i) => i);

function map(pages) {
  return xen.mapForeign(DOMID, pages === 1 ? [0] : gfns, PROT_READ);
}

function copies(pages, count) {
  const mapping = map(pages);
  const { bytes } = mapping;
  for (let i = 0; i < count; i++) copy.set(bytes);
  mapping.close();
}

function maps(pages, count) {
  for (let i = 0; i < count; i++) {
    const mapping = map(pages);
    copy.set(mapping.bytes);
    mapping.close();
  }
}

function growth() {
  const before = process.memoryUsage.rss();
  maps(1, 20_000);
  return (process.memoryUsage.rss() - before) / 1e6;
}

const cases = {
  copy4k: (count) => copies(1, count),
  copy1m: (count) => copies(MOST, count),
  map4k: (count) => maps(1, count),
  map1m: (count) => maps(MOST, count),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(' ');
  if (what === 'open20000') {
    console.log(growth());
    continue;
  }
  const start = process.hrtime.bigint();
  cases[what](Number(count));
  console.log(Number(process.hrtime.bigint() - start) / Number(count));
}
