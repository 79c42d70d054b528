/** The monitor's ring on bytes: set-up and its errors, requests, back pressure, answers that are good and bad. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { XEN_DOMCTL_vm_event_op, xen_domctl, xen_domctl_vm_event_op } from '#dist/abi/domctl.js';
import { HVMOP_guest_request_vm_event } from '#dist/abi/hvm/hvm_op.js';
import { RELEASES, releaseAbi } from '#dist/abi/release.js';
import * as abi from '#dist/abi/vm_event.js';
import { __HYPERVISOR_hvm_op } from '#dist/abi/xen.js';
import * as xc from '#dist/index.js';
import { type Guest, ModelXen } from '#dist/model/index.js';
import { xc_set_mem_access } from '#dist/xc/mem_access.js';
import * as monitor from '#dist/xc/monitor.js';
import { RingAgent } from '../ring_agent.js';

const BYTES = new Uint8Array([1, 2, 3, 4]);
const { XENMEM_access } = xc;

function machine(vcpus = 1, options: ConstructorParameters<typeof ModelXen>[0] = {}) {
  const xen = new ModelXen(options);
  const guest = xen.createGuest({ vcpus, memoryPages: 256, pages: '4K', altp2m: 'external' });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  return { xen, guest, xch, domid: guest.domid, cpu: guest.vcpus[0] };
}

/** With an agent, and frames 0x40 and up readable only. */
function watched(vcpus = 1, options: ConstructorParameters<typeof ModelXen>[0] = {}) {
  const made = machine(vcpus, options);
  const agent = new RingAgent(made.xen, made.domid);
  xc_set_mem_access(made.xch, made.domid, XENMEM_access.r, 0x40, 32);
  return { ...made, agent };
}

/** domctl vm_event_op as bytes. */
function vmEventOp(xen: ModelXen, domid: number, op: number, mode = 2): number {
  const { arena } = xen;
  const at = arena.operandAddress - arena.base;
  arena.view.setUint32(at, XEN_DOMCTL_vm_event_op, true);
  arena.view.setUint32(at + 4, releaseAbi(xen.release).domctl, true);
  arena.view.setUint16(at + 8, domid, true);
  arena.view.setUint32(at + 16, op, true);
  arena.view.setUint32(at + 20, mode, true);
  arena.view.setUint32(at + 24, 0, true);
  return xen.hypercall(36, arena.operandAddress);
}

function portOf(xen: ModelXen): number {
  const at = xen.arena.operandAddress - xen.arena.base + xen_domctl.at.u + xen_domctl_vm_event_op.at['u.enable.port'];
  return xen.arena.view.getUint32(at, true);
}

const [ENABLE, DISABLE, RESUME, GET_VERSION] = [0, 1, 2, 3];

describe('vm_event_op', () => {
  for (const release of RELEASES) {
    test(`GET_VERSION on ${release}, of no domain, of one, of one that is not there`, () => {
      const { xen, domid } = machine(1, { release });
      for (const target of [0x7ff4, domid, 0]) {
        assert.equal(vmEventOp(xen, target, GET_VERSION), 0);
        assert.equal(portOf(xen), release === '4.14' ? 6 : 7);
      }
      assert.equal(vmEventOp(xen, 99, GET_VERSION), -3);
    });
  }

  test('without a domain: -ESRCH', () => {
    const { xen } = machine();
    for (const op of [ENABLE, DISABLE, RESUME]) {
      assert.equal(vmEventOp(xen, 0x7ff4, op), -3);
      assert.equal(vmEventOp(xen, 99, op), -3);
    }
  });

  test('on itself: -EINVAL', () => {
    const { xen } = machine();
    for (const op of [ENABLE, DISABLE, RESUME]) assert.equal(vmEventOp(xen, 0, op), -22);
  });

  test('of a domain without vCPUs: -EINVAL', () => {
    const { xen, xch } = machine();
    const domid = xc.xc_domain_create(xch, 0, {
      flags: 3,
      max_vcpus: 1,
      max_grant_frames: 4,
      arch: { emulation_flags: 1 },
    });
    assert.equal(vmEventOp(xen, domid, ENABLE), -22);
  });

  test('of a dying domain: 0, and nothing is enabled', () => {
    const { xen, guest, xch, domid } = machine();
    using _kept = xen.mapForeign(domid, [1], 1);
    xc.xc_domain_destroy(xch, domid);
    for (const op of [ENABLE, DISABLE, RESUME]) assert.equal(vmEventOp(xen, domid, op), 0);
    assert.equal(guest.domain.ring, null);
  });

  test('an unknown mode or operation: -ENOSYS', () => {
    const { xen, domid } = machine();
    for (const [op, mode] of [
      [ENABLE, 0],
      [ENABLE, 4],
      [4, 2],
      [99, 2],
    ] as const) {
      assert.equal(vmEventOp(xen, domid, op, mode), -38);
    }
  });

  test('ENABLE: -EOPNOTSUPP without a frame, -EINVAL when it has no memory, then a port, then -EBUSY', () => {
    const { xen, xch, domid, guest } = machine();
    xc.xc_hvm_param_set(xch, domid, 28, 0);
    assert.equal(vmEventOp(xen, domid, ENABLE), -95);
    xc.xc_hvm_param_set(xch, domid, 28, 0x5000);
    assert.equal(vmEventOp(xen, domid, ENABLE), -22);
    xc.xc_hvm_param_set(xch, domid, 28, 0x20);
    assert.equal(vmEventOp(xen, domid, ENABLE), 0);
    assert.equal(portOf(xen), guest.domain.ring?.port);
    assert.equal(vmEventOp(xen, domid, ENABLE), -16);
  });

  test('without a ring: DISABLE -EINVAL, RESUME -ENODEV', () => {
    const { xen, domid } = machine();
    assert.equal(vmEventOp(xen, domid, DISABLE), -22);
    assert.equal(vmEventOp(xen, domid, RESUME), -19);
  });

  test('a guest may not: -EPERM', () => {
    const { guest } = machine();
    const op = new Uint8Array(144);
    const view = new DataView(op.buffer);
    view.setUint32(0, XEN_DOMCTL_vm_event_op, true);
    view.setUint32(4, 0x15, true);
    view.setUint16(8, guest.domid, true);
    guest.vcpus[0].write(0x60000, op);
    assert.equal(guest.vcpus[0].hypercall(36, 0x60000), -1);
  });

  test('after an agent that crashed: EBUSY until DISABLE, and its unanswered vCPU stays paused until a later answer', () => {
    const { xen, xch, guest, domid, agent } = watched();
    assert.equal(guest.vcpus[0].write(0x40000, BYTES).finished, false);
    agent.crash();
    assert.throws(() => monitor.xc_monitor_enable(xch, domid), { code: 'EBUSY' });
    monitor.xc_monitor_disable(xch, domid);
    assert.equal(guest.vcpus[0].vmEvents.pauseCount, 1);
    const next = new RingAgent(xen, domid);
    // an answer that nobody asked for lets it go: a ring is recovered so
    const fabricated = new Uint8Array(abi.vmEventLayoutOf(xen.release).event.size);
    new DataView(fabricated.buffer).setUint32(0, 7, true);
    new DataView(fabricated.buffer).setUint32(4, abi.VM_EVENT_FLAG_VCPU_PAUSED, true);
    next.putBytes(fabricated);
    assert.equal(vmEventOp(xen, domid, RESUME), 0);
    assert.equal(guest.vcpus[0].canRun, true);
    next.close();
  });

  test('the ring’s frame is out of the guest’s reach, and its page stays the domain’s while the ring is', () => {
    const { xch, guest, domid } = machine();
    const before = xc.xc_domain_getinfo_single(xch, domid).tot_pages;
    const { ring } = monitor.xc_monitor_enable(xch, domid);
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, before + 1);
    assert.deepEqual([...guest.vcpus[0].read(0xfeff9000, 2).bytes], [0xff, 0xff]);
    monitor.xc_monitor_disable(xch, domid);
    ring.close();
    assert.equal(xc.xc_domain_getinfo_single(xch, domid).tot_pages, before);
  });
});

describe('requests', () => {
  for (const release of ['4.14', '4.15', '4.17', '4.22'] as const) {
    test(`a write that is forbidden, on ${release}: version, vCPU, place, registers`, () => {
      const { guest, agent } = watched(2, { release });
      const [, second] = guest.vcpus;
      assert.ok(second);
      second.registers.set('rax', 0x1122_3344_5566_7788n);
      second.registers.set('rip', 0x41_0123n);
      second.registers.set('cs_arbytes', 0xa9bn);
      second.registers.set('cs_limit', 0xffff_ffffn);
      second.registers.set('cs_sel', 0x10n);
      second.registers.set('gs_base', 0xffff_8000_0000_1000n);
      assert.equal(second.write(0x41008, BYTES).finished, false);
      assert.equal(agent.channels.pending(), agent.port);
      const request = agent.take();
      const got = ['version', 'flags', 'reason', 'vcpu_id', 'altp2m_idx'].map((name) => Number(request.get(name)));
      assert.deepEqual(got, [release === '4.14' ? 6 : 7, 1, 1, 1, 0]);
      const place = ['gfn', 'offset', 'gla', 'flags'].map((name) => Number(request.get(`u.mem_access.${name}`)));
      assert.deepEqual(place, [0x41, 8, 0x41008, 0b11011]);
      assert.equal(request.reg('rax'), 0x1122_3344_5566_7788n);
      assert.equal(request.reg('rip'), 0x41_0123n);
      // a granular segment's limit counts pages; attributes above it
      assert.equal(request.reg('cs'), 0xa9bfffffn);
      assert.equal(request.reg('cs_sel'), 0x10n);
      assert.equal(request.reg('gs_base'), 0xffff_8000_0000_1000n);
      if (release !== '4.14') assert.equal(request.reg('vmtrace_pos'), 0xffff_ffff_ffff_ffffn);
    });
  }

  test('counters: Xen begins at req_prod 0 and event counters 1, and counts on', () => {
    const { cpu, agent } = watched();
    assert.deepEqual(
      [0, 4, 8, 12].map((at) => agent.view.getUint32(at, true)),
      [0, 1, 0, 1],
    );
    cpu.write(0x40000, BYTES);
    agent.answer();
    assert.deepEqual(
      [0, 8, 12].map((at) => agent.view.getUint32(at, true)),
      [1, 1, 2],
    );
  });

  test('what the agent writes over the counters is not believed', () => {
    const { guest, agent } = watched(3);
    guest.vcpus[0].write(0x40000, BYTES);
    agent.view.setUint32(0, 0xdead_beef, true);
    guest.vcpus[1]?.write(0x40000, BYTES);
    assert.equal(agent.view.getUint32(0, true), 2);
  });

  test('n2rwx is told without pausing', () => {
    const { xch, domid, cpu, agent } = watched();
    xc_set_mem_access(xch, domid, XENMEM_access.n2rwx, 0x40, 1);
    assert.equal(cpu.write(0x40000, BYTES).finished, true);
    assert.equal(agent.take().get('flags'), 0n);
    assert.equal(cpu.vmEvents.pauseCount, 0);
  });
});

describe('back pressure', () => {
  /** n2rwx events pause nobody by themselves. */
  function fill(count: number, vcpus: number) {
    const made = watched(vcpus);
    xc_set_mem_access(made.xch, made.domid, XENMEM_access.n2rwx, 0x40, 32);
    const ends = Array.from({ length: count }, (_, i) => made.cpu.write((0x40 + i) * 4096, BYTES).finished);
    return { ...made, ends };
  }

  test('a vCPU waits as soon as fewer slots are free than there are vCPUs, and goes on when there is room', () => {
    const { ends, cpu, agent } = fill(6, 3);
    // with three vCPUs the sixth request leaves two free slots
    assert.deepEqual(ends, [true, true, true, true, true, false]);
    assert.equal(cpu.vmEvents.blocked, true);
    assert.throws(() => cpu.nop(), /the vm_event ring is full/);
    agent.answer();
    assert.equal(cpu.vmEvents.blocked, false);
    assert.equal(cpu.retry()?.finished, true);
  });

  test('a ring that is full holds events back in a queue, and DISABLE is -EBUSY meanwhile', () => {
    const { xen, domid, guest, agent } = watched(12);
    for (const vcpu of guest.vcpus) assert.equal(vcpu.write(0x40000, BYTES).finished, false);
    assert.equal(agent.waiting, 8);
    const queued = guest.vcpus.filter((vcpu) => vcpu.vmEvents.queued).map((vcpu) => vcpu.id);
    assert.deepEqual(queued, [8, 9, 10, 11]);
    assert.equal(vmEventOp(xen, domid, DISABLE), -16);
    const seen: bigint[] = [];
    for (let i = 0; i < 12; i++) seen.push(agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE }).get('vcpu_id'));
    assert.deepEqual(seen, [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n, 11n]);
    assert.ok(guest.vcpus.every((vcpu) => vcpu.retry()?.finished));
    assert.equal(vmEventOp(xen, domid, DISABLE), 0);
  });

  test('DISABLE lets vCPUs go that wait for room', () => {
    const { cpu, agent } = fill(6, 3);
    assert.equal(cpu.canRun, false);
    agent.close();
    assert.equal(cpu.canRun, true);
  });

  test('the death of the domain ends all waiting', () => {
    const { xch, domid, guest } = watched(12);
    for (const vcpu of guest.vcpus) vcpu.write(0x40000, BYTES);
    xc.xc_domain_destroy(xch, domid);
    assert.equal(guest.domain.ring, null);
    assert.throws(() => guest.vcpus[9]?.nop(), /destroyed/);
  });
});

describe('answers', () => {
  test('of another version are ignored, and the vCPU stays paused', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    const request = agent.take();
    agent.put(request, { fields: { version: 6 } });
    agent.notify();
    assert.equal(cpu.vmEvents.pauseCount, 1);
    assert.equal(agent.view.getUint32(12, true), 2);
    agent.put(request);
    agent.notify();
    assert.equal(cpu.vmEvents.pauseCount, 0);
  });

  test('of a vCPU that there is not are ignored', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    const request = agent.take();
    for (const vcpu_id of [1, 7, 0xffff_ffff]) agent.put(request, { fields: { vcpu_id } });
    agent.notify();
    assert.equal(cpu.vmEvents.pauseCount, 1);
  });

  test('without VCPU_PAUSED apply, and leave the vCPU paused', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    const bytes = agent.take().bytes;
    new DataView(bytes.buffer).setUint32(4, abi.VM_EVENT_FLAG_TOGGLE_SINGLESTEP, true);
    agent.putBytes(bytes);
    agent.notify();
    assert.deepEqual([cpu.vmEvents.pauseCount, cpu.save().singleStep], [1, true]);
  });

  test('for a vCPU that is not paused do nothing', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    const request = agent.take();
    agent.put(request);
    agent.put(request, { flags: abi.VM_EVENT_FLAG_TOGGLE_SINGLESTEP | abi.VM_EVENT_FLAG_SET_REGISTERS });
    agent.notify();
    assert.deepEqual([cpu.save().singleStep, cpu.vmEvents.registers], [false, null]);
  });

  test('are taken by RESUME as by the event channel, all that there are', () => {
    const { xen, domid, guest, agent } = watched(4);
    for (const vcpu of guest.vcpus) vcpu.write(0x40000, BYTES);
    for (let i = 0; i < 4; i++) agent.put(agent.take());
    assert.equal(vmEventOp(xen, domid, RESUME), 0);
    assert.ok(guest.vcpus.every((vcpu) => vcpu.vmEvents.pauseCount === 0));
  });

  test('ALTERNATE_P2M enters a hidden view; one that is not there changes nothing', () => {
    const { xch, domid, cpu, agent } = watched();
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    const hidden = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_visibility(xch, domid, hidden, false);
    for (const altp2m_idx of [9, 0xffff, hidden]) {
      xc.xc_altp2m_set_mem_access(xch, domid, hidden, 0x40, XENMEM_access.rwx);
      cpu.write(0x40000, BYTES);
      const request = agent.answer({ flags: abi.VM_EVENT_FLAG_ALTERNATE_P2M, fields: { altp2m_idx } });
      assert.equal(request.get('flags') & 0x80n, 0x80n);
      assert.equal(cpu.altp2mIndex, altp2m_idx === hidden ? hidden : 0);
    }
    assert.equal(cpu.retry()?.finished, true);
  });

  test('SET_REGISTERS sets the general registers, flags and instruction pointer, and no others', () => {
    const { cpu, agent } = watched();
    cpu.registers.set('cr3', 0x1000n);
    cpu.write(0x40000, BYTES);
    agent.answer({
      flags: abi.VM_EVENT_FLAG_SET_REGISTERS,
      regs: { rax: 1n, r15: 2n, rflags: 0x202n, rip: 0x77n, cr3: 0x9000n, dr7: 5n },
    });
    // the instruction pointer was moved past the write: it never happens
    assert.deepEqual([cpu.retry()?.finished, cpu.read(0x40000, 1).value], [true, 0n]);
    const got = (['rax', 'r15', 'rflags', 'rip', 'cr3', 'dr7'] as const).map((name) => cpu.registers.get(name));
    assert.deepEqual(got, [1n, 2n, 0x202n, 0x77n, 0x1000n, 0n]);
  });

  test('EMULATE finishes the access past the restriction, only while the page still forbids what the answer names', () => {
    const { xch, domid, cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
    assert.equal(cpu.retry()?.finished, true);
    assert.deepEqual([...cpu.read(0x40000, 4).bytes], [...BYTES]);
    // an answer that does not say what was tried asks for nothing: the access is tried again, and told again
    cpu.write(0x40000, new Uint8Array(4));
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE, fields: { 'u.mem_access.flags': 0 } });
    assert.equal(cpu.retry()?.finished, false);
    assert.equal(agent.waiting, 1);
    xc_set_mem_access(xch, domid, XENMEM_access.rwx, 0x40, 1);
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
    assert.equal(cpu.vmEvents.emulation, null);
    assert.equal(cpu.retry()?.finished, true);
  });

  test('EMULATE_NOWRITE drops the write; alone it means nothing', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE_NOWRITE });
    assert.equal(cpu.retry()?.finished, false);
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE | abi.VM_EVENT_FLAG_EMULATE_NOWRITE });
    assert.deepEqual([cpu.retry()?.finished, cpu.read(0x40000, 4).value], [true, 0n]);
  });

  test('SET_EMUL_READ_DATA gives a read other bytes: as many as it says, then zeroes', () => {
    const { xch, domid, cpu, agent } = watched();
    xc_set_mem_access(xch, domid, XENMEM_access.n, 0x40, 1);
    cpu.read(0x40000, 8);
    agent.answer({
      flags: abi.VM_EVENT_FLAG_EMULATE | abi.VM_EVENT_FLAG_SET_EMUL_READ_DATA,
      data: new Uint8Array([3, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd]),
    });
    assert.equal(cpu.retry()?.value, 0xccbbaan);
    // a size beyond the structure is cut to it
    cpu.read(0x40000, 8);
    agent.answer({
      flags: abi.VM_EVENT_FLAG_EMULATE | abi.VM_EVENT_FLAG_SET_EMUL_READ_DATA,
      data: new Uint8Array([0xff, 0xff, 0xff, 0xff, 1]),
    });
    assert.equal(cpu.retry()?.bytes[0], 1);
  });

  test('GET_NEXT_INTERRUPT tells of the next injected event once, before the guest has it', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    agent.answer({ flags: abi.VM_EVENT_FLAG_GET_NEXT_INTERRUPT | abi.VM_EVENT_FLAG_EMULATE });
    cpu.retry();
    assert.equal(cpu.inject({ vector: 14, type: 3, errorCode: 2, insnLength: 0, cr2: 0x1234n }), 0);
    assert.equal(cpu.inject({ vector: 6, type: 3, errorCode: 0, insnLength: 0, cr2: 0n }), -16);
    assert.equal(cpu.nop().finished, false);
    const request = agent.answer();
    const told = ['vector', 'type', 'error_code', 'cr2'].map((name) => request.get(`u.interrupt.x86.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_INTERRUPT, [14n, 3n, 2n, 0x1234n]]);
    const end = cpu.retry();
    assert.deepEqual([end?.exception, end?.errorCode, cpu.registers.get('cr2')], [14, 2, 0x1234n]);
    cpu.inject({ vector: 6, type: 3, errorCode: 0, insnLength: 0, cr2: 0n });
    assert.equal(cpu.nop().exception, 6);
  });

  for (const [vendor, told] of [
    ['intel', 0n],
    ['amd', 0xffff_ffffn],
  ] as const) {
    test(`an injected event has CR2 as it is, and no error code: on ${vendor} 0x${told.toString(16)}`, () => {
      const { xen, xch, domid, cpu } = machine(1, { cpu: { vendor } });
      const agent = new RingAgent(xen, domid);
      cpu.registers.set('cr2', 0x77n);
      monitor.xc_monitor_guest_request(xch, domid, true, true, false);
      cpu.hypercall(__HYPERVISOR_hvm_op, HVMOP_guest_request_vm_event, 0);
      agent.answer({ flags: abi.VM_EVENT_FLAG_GET_NEXT_INTERRUPT });
      cpu.inject({ vector: 1, type: 3, errorCode: 0xffff_ffff, insnLength: 0, cr2: 0x4000n });
      assert.equal(cpu.nop().finished, false);
      const request = agent.answer();
      const seen = ['vector', 'error_code', 'cr2'].map((name) => request.get(`u.interrupt.x86.${name}`));
      assert.deepEqual(seen, [1n, told, 0x77n]);
    });
  }
});

describe('single-stepping', () => {
  test('TOGGLE_SINGLESTEP: an event after each instruction that the agent asked for, until it is toggled again', () => {
    const { xch, domid, cpu, agent } = watched();
    monitor.xc_monitor_singlestep(xch, domid, true);
    cpu.write(0x40000, BYTES);
    xc_set_mem_access(xch, domid, XENMEM_access.rwx, 0x40, 1);
    agent.answer({ flags: abi.VM_EVENT_FLAG_TOGGLE_SINGLESTEP });
    assert.equal(cpu.retry()?.finished, false);
    const step = agent.answer();
    assert.deepEqual([step.reason, step.get('u.singlestep.gfn')], [abi.VM_EVENT_REASON_SINGLESTEP, 0n]);
    assert.equal(cpu.retry()?.finished, true);
    assert.equal(cpu.execute(0x70000, 3).finished, false);
    const next = agent.answer({ flags: abi.VM_EVENT_FLAG_TOGGLE_SINGLESTEP });
    assert.deepEqual([next.get('u.singlestep.gfn'), next.reg('rip')], [0x70n, 0x70003n]);
    assert.equal(cpu.retry()?.finished, true);
    assert.equal(cpu.nop().finished, true);
  });

  test('FAST_SINGLESTEP: one instruction in one view, then another view, without an event', () => {
    const { xch, domid, cpu, agent } = watched();
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    cpu.write(0x40000, BYTES);
    xc_set_mem_access(xch, domid, XENMEM_access.rwx, 0x40, 1);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    agent.answer({
      flags: abi.VM_EVENT_FLAG_FAST_SINGLESTEP | abi.VM_EVENT_FLAG_ALTERNATE_P2M,
      fields: { altp2m_idx: 0, 'u.fast_singlestep.p2midx': view },
    });
    assert.equal(cpu.altp2mIndex, 0);
    assert.equal(cpu.retry()?.finished, true);
    assert.deepEqual([cpu.altp2mIndex, agent.waiting], [view, 0]);
  });

  for (const p2midx of [10, 0xffff]) {
    test(`FAST_SINGLESTEP to view ${p2midx}, beyond the domain's number of views, is ignored`, () => {
      const { cpu, agent } = watched();
      cpu.write(0x40000, BYTES);
      agent.answer({ flags: abi.VM_EVENT_FLAG_FAST_SINGLESTEP, fields: { 'u.fast_singlestep.p2midx': p2midx } });
      assert.equal(cpu.save().singleStep, false);
    });
  }

  test('both flags: TOGGLE counts', () => {
    const { cpu, agent } = watched();
    cpu.write(0x40000, BYTES);
    agent.answer({ flags: abi.VM_EVENT_FLAG_FAST_SINGLESTEP | abi.VM_EVENT_FLAG_TOGGLE_SINGLESTEP });
    assert.deepEqual([cpu.save().singleStep, cpu.save().fastSinglestepTo], [true, null]);
  });
});

describe('snapshots', () => {
  test('keep the ring, who waits and what an answer left to do; the agent is gone, as after a crash', () => {
    const { xen, xch, domid, guest, agent } = watched(12);
    monitor.xc_monitor_guest_request(xch, domid, true, true, false);
    monitor.xc_monitor_write_ctrlreg(xch, domid, abi.VM_EVENT_X86_CR4, true, true, 0x80n, true);
    monitor.xc_monitor_mov_to_msr(xch, domid, 0xc000_0080, true, false);
    for (const vcpu of guest.vcpus) vcpu.write(0x40000, BYTES);
    agent.answer({ flags: abi.VM_EVENT_FLAG_SET_REGISTERS, regs: { rax: 5n } });
    const saved = JSON.parse(JSON.stringify(xen.save()));
    const again = ModelXen.restore(saved);
    assert.deepEqual(again.save(), saved);
    const copy = again.guest(domid) as Guest;
    assert.deepEqual(
      copy.vcpus.map((vcpu) => vcpu.canRun),
      guest.vcpus.map((vcpu) => vcpu.canRun),
    );
    assert.throws(() => monitor.xc_monitor_enable(xc.xc_interface_open({ hypervisor: again }), domid), {
      code: 'EBUSY',
    });
    copy.vcpus[0].nop();
    assert.equal(copy.vcpus[0].registers.get('rax'), 5n);
  });
});

describe('random agents', () => {
  test('whatever bytes they leave in the ring: no exception, nothing written outside it, no vCPU lost', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 64, maxLength: 4096 }),
        fc.array(fc.tuple(fc.nat(4000), fc.nat(0xffff_ffff)), { maxLength: 12 }),
        fc.array(fc.constantFrom('notify', 'run', 'counter', 'good'), { maxLength: 20 }),
        (garbage, pokes, acts) => {
          const { guest, agent } = watched(3);
          for (const vcpu of guest.vcpus) vcpu.write(0x40000, BYTES);
          for (const act of acts) {
            if (act === 'notify') agent.notify();
            if (act === 'counter') agent.view.setUint32(8, (pokes[0]?.[1] ?? 9) >>> 0, true);
            if (act === 'good') agent.page.set(garbage);
            for (const [at, value] of pokes) agent.view.setUint32(at, value >>> 0, true);
            if (act === 'run') {
              for (const vcpu of guest.vcpus) {
                if (vcpu.canRun) vcpu.write(0x41000, BYTES);
                else vcpu.retry();
              }
            }
          }
          // whatever happened, an agent that comes to its senses gets every vCPU going again
          for (let round = 0; round < 64 && guest.vcpus.some((vcpu) => vcpu.vmEvents.held); round++) {
            agent.page.fill(0);
            for (let slot = 0; slot < abi.VM_EVENT_SLOTS; slot++) {
              const at = 64 + slot * 400;
              agent.view.setUint32(at, 7, true);
              agent.view.setUint32(at + 4, abi.VM_EVENT_FLAG_VCPU_PAUSED, true);
              agent.view.setUint32(at + 12, slot % 3, true);
            }
            agent.view.setUint32(8, 0x7fff_ffff ^ (round & 1), true);
            agent.notify();
          }
          assert.ok(guest.vcpus.every((vcpu) => !vcpu.vmEvents.held));
        },
      ),
      { numRuns: 150 },
    );
  });
});
