// The privcmd port itself, or with the argument `libxen` the same port on the distribution's libraries.

import { LibxenHypervisor } from '#dist/hypervisor/libxen/hypervisor.js';
import { PROT_READ } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { serve } from '../lib/loop.mjs';

const XEN_VERSION = 17;
const BATCH = 32;
const xen = process.argv[2] === 'libxen' ? new LibxenHypervisor() : new PrivcmdHypervisor();

function map(pages, count) {
  const gfns = Array.from({ length: pages }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const mapping = xen.mapForeign(1, gfns, PROT_READ);
    if (mapping.bytes[0] !== 0) throw new Error('not the frame');
    mapping.close();
  }
}

await serve({
  hypercall(count) {
    for (let i = 0; i < count; i++) if (xen.hypercall(XEN_VERSION, 0, 0) <= 0) throw new Error('failed');
  },
  batch(count) {
    const slots = xen.arena.alloc(BATCH * 56);
    for (let i = 0; i < BATCH; i++) xen.arena.view.setUint32(slots.offset + i * 56, XEN_VERSION, true);
    for (let i = 0; i < count; i += BATCH) xen.hypercallBatch(slots);
    slots.free();
  },
  async async(count) {
    for (let i = 0; i < count; i++) await xen.hypercallAsync(XEN_VERSION, 0, 0);
  },
  async async64(count) {
    for (let i = 0; i < count; i += 64) {
      await Promise.all(Array.from({ length: 64 }, () => xen.hypercallAsync(XEN_VERSION, 0, 0)));
    }
  },
  map1: (count) => map(1, count),
  map64: (count) => map(64, count),
});
