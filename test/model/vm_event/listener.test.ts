/** An agent that is a function consumes the same ring as one in another process. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { ModelXen, type VmEvent } from '#dist/model/index.js';

function watched(vcpus: number, answer: (event: VmEvent) => object | null) {
  const xen = new ModelXen();
  const { domid, domain, vcpus: cpus } = xen.createGuest({ vcpus, memoryPages: 256, pages: '4K' });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  const events: VmEvent[] = [];
  const rc = domain.enableMonitor((event) => {
    events.push(event);
    return answer(event);
  });
  assert.equal(rc, 0);
  xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.r, 0x40, 1);
  const counters = (): number[] => [0, 8].map((at) => domain.ring?.view.getUint32(at, true) ?? -1);
  return { xen, xch, domid, domain, cpus, events, counters };
}

test('each event is a request in the ring, and each answer a response', () => {
  const { cpus, events, counters } = watched(1, () => ({ emulate: true }));
  for (let i = 0; i < 20; i++) assert.equal(cpus[0].write(0x40000, new Uint8Array([i])).finished, true);
  assert.deepEqual([events.length, counters()], [20, [20, 20]]);
});

test('one that is not answered keeps its slot, and the others go on', () => {
  const { cpus, counters, domain } = watched(2, ({ vcpuId }) => (vcpuId === 0 ? null : { emulate: true }));
  assert.equal(cpus[0].write(0x40000, new Uint8Array(1)).finished, false);
  for (let i = 0; i < 20; i++) assert.equal(cpus[1]?.write(0x40000, new Uint8Array(1)).finished, true);
  assert.deepEqual(counters(), [21, 20]);
  assert.equal(cpus[0].vmEvents.pauseCount, 1);
  assert.equal(domain.disableMonitor(), 0);
});

test('a second agent is refused, of whatever kind, until the first is disabled', () => {
  const { domain, xch, domid } = watched(1, () => ({}));
  assert.equal(
    domain.enableMonitor(() => null),
    -16,
  );
  assert.throws(() => xc.xc_monitor_enable(xch, domid), { code: 'EBUSY' });
  xc.xc_monitor_disable(xch, domid);
  assert.equal(domain.disableMonitor(), -22);
});

test('what it throws reaches who runs the vCPU, and the vCPU stays paused', () => {
  const { cpus } = watched(1, () => {
    throw new TypeError('mine');
  });
  assert.throws(() => cpus[0].write(0x40000, new Uint8Array(1)), /mine/);
  assert.equal(cpus[0].vmEvents.pauseCount, 1);
});

test('it may destroy the domain', () => {
  const made = watched(1, () => {
    xc.xc_domain_destroy(made.xch, made.domid);
    return {};
  });
  assert.equal(made.cpus[0].write(0x40000, new Uint8Array(1)).finished, false);
  assert.equal(made.domain.ring, null);
  assert.throws(() => made.cpus[0].nop(), /destroyed/);
});

test('events of other kinds have a reason and no place', () => {
  const { xch, domid, cpus, events } = watched(1, () => ({}));
  xc.xc_monitor_guest_request(xch, domid, true, true, false);
  assert.equal(cpus[0].hypercall(34, 24, 0), 0);
  assert.deepEqual(events, [{ reason: abi.VM_EVENT_REASON_GUEST_REQUEST, flags: 1, vcpuId: 0, altp2mIndex: 0 }]);
});
