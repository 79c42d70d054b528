/** What Xen tells about the host and its domains. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { ABSENT_DOMID, bareDomain, hvmDomain, pvDomain } from './domains.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const NO_UUID = '00000000-0000-0000-0000-000000000000';

test('physinfo: processors and memory are counted', () => {
  const info = xc.xc_physinfo(xch);
  assert.ok(info.nr_cpus >= 1);
  assert.ok(info.max_cpu_id >= info.nr_cpus - 1);
  assert.ok(info.nr_nodes >= 1);
  assert.ok(info.max_node_id >= info.nr_nodes - 1);
  assert.ok(info.threads_per_core >= 1);
  assert.ok(info.cores_per_socket >= 1);
  assert.ok(info.cpu_khz > 100_000);
  assert.ok(info.total_pages > 0x1_0000);
  assert.ok(info.free_pages > 0 && info.free_pages < info.total_pages);
  assert.ok(info.max_mfn + 1 >= info.total_pages);
  assert.equal(info.outstanding_pages, 0);
  assert.equal(info.hw_cap.length, 8);
});

test('physinfo: the host runs HVM guests with HAP, and one of VMX and SVM is in the CPUID words', () => {
  const { capabilities, hw_cap } = xc.xc_physinfo(xch);
  assert.equal(capabilities.hvm, true);
  assert.equal(capabilities.hap, true);
  assert.equal(capabilities.pv, true);
  assert.equal(capabilities.shadow, false);
  assert.equal(capabilities.gnttab_v1, true);
  const vmx = ((hw_cap[1] ?? 0) >>> 5) & 1;
  const svm = ((hw_cap[3] ?? 0) >>> 2) & 1;
  assert.equal(vmx + svm, 1);
});

test('physinfo: a domain takes its memory from the free pages and gives it back', () => {
  const before = xc.xc_physinfo(xch).free_pages;
  using domain = hvmDomain(target, { pages: 2048 });
  assert.ok(xc.xc_physinfo(xch).free_pages <= before - 2048);
  domain.destroy();
  // Xen keeps a few pages for itself
  assert.ok(xc.xc_physinfo(xch).free_pages >= before - 64);
});

test('dom0 is in the list, first, running and PV or PVH', () => {
  const [dom0] = xc.xc_domain_getinfolist(xch, 0, 1);
  assert.ok(dom0);
  assert.equal(dom0.domain, 0);
  assert.equal(dom0.running, true);
  assert.equal(dom0.blocked, false);
  assert.equal(dom0.paused, false);
  assert.equal(dom0.dying, false);
  assert.equal(dom0.shutdown, false);
  assert.ok(dom0.tot_pages > 0 && dom0.tot_pages <= dom0.max_pages);
  assert.ok(dom0.nr_online_vcpus >= 1);
  assert.equal(dom0.max_vcpu_id === null ? null : dom0.max_vcpu_id + 1 >= dom0.nr_online_vcpus, true);
});

test('the list is in the order of the ids, from the first asked for, as long as asked for', () => {
  using one = bareDomain(target);
  using two = pvDomain(target);
  const ids = xc.xc_domain_getinfolist(xch, 0, 1000).map((info) => info.domain);
  assert.deepEqual(
    ids,
    ids.toSorted((a, b) => a - b),
  );
  const from = xc.xc_domain_getinfolist(xch, one.domid, 1000).map((info) => info.domain);
  assert.deepEqual(from.slice(0, 2), [one.domid, two.domid]);
  assert.equal(xc.xc_domain_getinfolist(xch, 0, 2).length, 2);
  assert.deepEqual(xc.xc_domain_getinfolist(xch, 0, 0), []);
  assert.deepEqual(xc.xc_domain_getinfolist(xch, ABSENT_DOMID, 10), []);
  assert.deepEqual(xc.xc_domain_getinfolist(xch, 0xffff, 10), []);
});

test('one domain is told as the list tells it', () => {
  using domain = hvmDomain(target);
  const [listed] = xc.xc_domain_getinfolist(xch, domain.domid, 1);
  assert.deepEqual(domain.info, listed);
});

test('a new HVM domain: paused, without vCPUs, memory or a limit', () => {
  const handle = '01234567-89ab-cdef-0123-456789abcdef';
  using domain = bareDomain(target, { max_vcpus: 2, handle });
  const { gpaddr_bits, ...rest } = domain.info;
  assert.ok((gpaddr_bits ?? 36) >= 36);
  assert.deepEqual(rest, {
    domain: domain.domid,
    dying: false,
    hvm_guest: true,
    shutdown: false,
    paused: true,
    blocked: false,
    running: false,
    debugged: false,
    xs_domain: false,
    hap: true,
    shutdown_reason: null,
    tot_pages: 0,
    max_pages: 0,
    outstanding_pages: 0,
    shr_pages: 0,
    paged_pages: 0,
    shared_info_frame: null,
    cpu_time: 0n,
    nr_online_vcpus: 0,
    max_vcpu_id: null,
    ssidref: 0,
    handle,
    cpupool: 0,
    arch_config: { emulation_flags: xc.XEN_X86_EMU_LAPIC, misc_flags: 0 },
  });
});

test('a new PV domain: neither HVM nor HAP, with a shared info frame', () => {
  using domain = pvDomain(target);
  const { info } = domain;
  assert.equal(info.hvm_guest, false);
  assert.equal(info.hap, false);
  assert.equal(info.handle, NO_UUID);
  assert.equal(info.arch_config.emulation_flags, 0);
  assert.notEqual(info.shared_info_frame, null);
});

test('vCPUs and pages are counted', () => {
  using domain = hvmDomain(target, { vcpus: 3, pages: 100 });
  const { info } = domain;
  assert.equal(info.max_vcpu_id, 2);
  assert.equal(info.nr_online_vcpus, 0);
  assert.equal(info.tot_pages, 100);
});

test('no such domain is ESRCH, even where Xen answers with the next one', () => {
  using domain = bareDomain(target);
  const { domid } = domain;
  assert.ok(domid > 1 || xc.xc_domain_getinfolist(xch, 0, 10).length >= 2);
  const absent = Array.from({ length: domid }, (_, i) => domid - 1 - i).find(
    (id) => xc.xc_domain_getinfolist(xch, id, 1)[0]?.domain !== id,
  );
  const tried = [ABSENT_DOMID, ...(absent === undefined ? [] : [absent])];
  for (const id of tried) {
    assert.equal(
      outcome(() => xc.xc_domain_getinfo_single(xch, id)),
      'ESRCH',
    );
  }
});
