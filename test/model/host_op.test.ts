/** The software Xen as a host: processors, nodes, its console ring, debug keys; event channels through xc. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { ConsoleRing } from '#dist/model/console_ring.js';
import { ModelXen } from '#dist/model/index.js';

const handle = (xen = new ModelXen()): xc.XcInterface => xc.xc_interface_open({ hypervisor: xen });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test('processors and nodes agree with physinfo', () => {
  const xch = handle();
  const info = xc.xc_physinfo(xch);
  const cpus = xc.xc_cputopoinfo(xch);
  assert.equal(cpus.length, info.nr_cpus);
  assert.deepEqual(cpus[3], { core: 3, socket: 0, node: 0 });
  const [node, ...others] = xc.xc_numainfo(xch);
  assert.deepEqual(others, []);
  assert.equal(node?.memsize, BigInt(info.total_pages) * 4096n);
  assert.equal(node?.memfree, BigInt(info.free_pages) * 4096n);
  assert.deepEqual(node?.distance, [10]);
  assert.equal(xc.xc_getcpuinfo(xch, 2).length, 2);
  assert.equal(xc.xc_getcpuinfo(xch, 100).length, info.nr_cpus);
  assert.equal(xc.xc_get_max_cpus(xch), info.max_cpu_id + 1);
  assert.equal(xc.xc_get_online_cpus(xch), info.nr_cpus);
  assert.equal(xc.xc_cpumap_alloc(xch).length, 1);
  assert.equal(xc.xc_nodemap_alloc(xch).length, 8);
});

test('the console ring tells what Xen printed; reading on, and clearing', () => {
  const xen = new ModelXen({ release: '4.19' });
  const xch = handle(xen);
  const first = xc.xc_readconsolering(xch, 65536);
  assert.match(text(first.buffer), /^\(XEN\) Xen version 4\.19\.0-model\n\(XEN\) Command line: .*\n$/);
  assert.equal(xc.xc_readconsolering(xch, 65536, false, true, first.index).buffer.length, 0);
  const guest = xen.createGuest();
  guest.domain.crash();
  const next = xc.xc_readconsolering(xch, 65536, true, true, first.index);
  assert.equal(text(next.buffer), '(XEN) Domain 1 crashed\n');
  assert.equal(xc.xc_readconsolering(xch, 65536).buffer.length, 0, 'cleared for everybody');
  xc.xc_send_debug_keys(xch, '~h');
  assert.match(text(xc.xc_readconsolering(xch, 65536).buffer), /^\(XEN\) key 'h': list the keys\n/);
});

test('debug key q tells about the domains', () => {
  const xen = new ModelXen();
  const xch = handle(xen);
  xen.createGuest({ vcpus: 2, memoryPages: 16 });
  xc.xc_send_debug_keys(xch, 'q');
  const lines = text(xc.xc_readconsolering(xch, 65536).buffer).split('\n');
  assert.ok(lines.some((line) => line.includes('nr_pages=16')));
  assert.ok(lines.includes('(XEN)     VCPU1: up'));
});

test('a ring that is full has lost the oldest', () => {
  const ring = new ConsoleRing();
  for (let i = 0; i < 3000; i++) ring.print(`line ${i}`);
  const { bytes, index } = ring.read(null, 1 << 20);
  assert.equal(bytes.length, 16384);
  assert.ok(text(bytes).endsWith('(XEN) line 2999\n'));
  assert.equal(ring.read(index - 5, 100).bytes.length, 5);
  assert.equal(ring.read(3, 1 << 20).bytes.length, 16384, 'an index that is overwritten');
  assert.equal(ring.read(index, 100).bytes.length, 0);
});

test('event channels of any domain: allocated, asked about, reset', () => {
  const xen = new ModelXen();
  const xch = handle(xen);
  const a = xen.createGuest({ memoryPages: 16 });
  const b = xen.createGuest({ memoryPages: 16 });
  const port = xc.xc_evtchn_alloc_unbound(xch, a.domid, b.domid);
  assert.deepEqual(xc.xc_evtchn_status(xch, a.domid, port), { status: 'unbound', vcpu: 0, dom: b.domid });
  assert.deepEqual(xc.xc_evtchn_status(xch, a.domid, port + 1), { status: 'closed', vcpu: 0 });
  assert.throws(() => xc.xc_evtchn_status(xch, a.domid, 64), { code: 'EINVAL', hint: 'the domain has no such port' });
  assert.throws(() => xc.xc_evtchn_reset(xch, a.domid), { code: 'EINVAL' });
  xc.xc_domain_pause(xch, a.domid);
  xc.xc_evtchn_reset(xch, a.domid);
  assert.deepEqual(xc.xc_evtchn_status(xch, a.domid, port), { status: 'closed', vcpu: 0 });
  assert.throws(() => xc.xc_evtchn_alloc_unbound(xch, 99, 0), { code: 'ESRCH' });
});

test('a domain can be made the handler of a global virtual interrupt, until it is gone', () => {
  const xen = new ModelXen();
  const xch = handle(xen);
  const a = xen.createGuest({ memoryPages: 16 });
  const b = xen.createGuest({ memoryPages: 16 });
  using events = xen.eventChannels();
  const own = events.bindVirq(xc.VIRQ_DOM_EXC);
  const port = a.domain.events.bindVirq(xc.VIRQ_DOM_EXC, 0);
  xc.xc_domain_set_virq_handler(xch, a.domid, xc.VIRQ_DOM_EXC);
  b.domain.crash();
  assert.ok(a.domain.events.isPending(port));
  assert.ok(events.pending() < 0);
  xc.xc_domain_destroy(xch, a.domid);
  assert.equal(events.pending(), own, 'dom0 hears of its handler’s end');
  assert.throws(() => xc.xc_domain_set_virq_handler(xch, b.domid, 0), { code: 'EINVAL' }, 'VIRQ_TIMER is per vCPU');
  assert.throws(() => xc.xc_domain_set_virq_handler(xch, b.domid, 24), { code: 'EINVAL' });
});
