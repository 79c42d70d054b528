/** Answers that take a fork back to its parent, or begin a vCPU's trace anew. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { RingAgent } from '../ring_agent.js';

/** A fork that has changed memory and a register, and is at a request to its agent. */
function forked(release: '4.16' | '4.17') {
  const xen = new ModelXen({ release, memSharing: true });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  const parent = xen.createGuest({ memoryPages: 64 });
  parent.vcpus[0].write(0x5000, Uint8Array.of(1));
  parent.vcpus[0].registers.set('rbx', 7n);
  const child = xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1 });
  xc.xc_memshr_fork(xch, parent.domid, child);
  xc.xc_domain_setmaxmem(xch, child, 1024);
  const agent = new RingAgent(xen, child);
  xc.xc_monitor_guest_request(xch, child, true, true, false);
  xc.xc_domain_unpause(xch, child);
  const cpu = xen.guest(child)?.vcpus[0];
  assert.ok(cpu);
  cpu.write(0x5000, Uint8Array.of(2));
  cpu.registers.set('rbx', 8n);
  cpu.hypercall(34, 24, 0);
  const changed = (): readonly [boolean, boolean] => {
    using page = xen.mapForeign(child, [5], 1);
    return [cpu.registers.get('rbx') === 8n, page.bytes[0] === 2];
  };
  return { agent, cpu, changed };
}

describe('a fork', () => {
  for (const [what, flags, left] of [
    ['state', abi.VM_EVENT_FLAG_RESET_FORK_STATE, [false, true]],
    ['memory', abi.VM_EVENT_FLAG_RESET_FORK_MEMORY, [true, false]],
    ['both', abi.VM_EVENT_FLAG_RESET_FORK_STATE | abi.VM_EVENT_FLAG_RESET_FORK_MEMORY, [false, false]],
    ['neither', 0, [true, true]],
  ] as const) {
    test(`goes back to its parent: ${what}`, () => {
      const { agent, cpu, changed } = forked('4.17');
      agent.answer({ flags });
      assert.deepEqual(changed(), left);
      assert.equal(cpu.canRun, true);
    });
  }

  test('stays as it is before 4.17, which knows no such flags', () => {
    const { agent, changed } = forked('4.16');
    agent.answer({ flags: abi.VM_EVENT_FLAG_RESET_FORK_STATE | abi.VM_EVENT_FLAG_RESET_FORK_MEMORY });
    assert.deepEqual(changed(), [true, true]);
  });
});

test('an event tells where the vCPU’s trace is, and RESET_VMTRACE takes it to its start', () => {
  const xen = new ModelXen({ cpu: { pt: true } });
  const { domid, vcpus } = xen.createGuest({ memoryPages: 64, vmtraceSize: 8192 });
  const agent = new RingAgent(xen, domid);
  const [cpu] = vcpus;
  xc.xc_monitor_guest_request(agent.xch, domid, true, true, false);
  cpu.hypercall(34, 24, 0);
  assert.equal(agent.answer().reg('vmtrace_pos'), 0xffff_ffff_ffff_ffffn, 'not traced');
  cpu.retry();
  xc.xc_vmtrace_enable(agent.xch, domid, 0);
  cpu.trace?.record(new Uint8Array(100));
  cpu.hypercall(34, 24, 0);
  assert.equal(agent.answer({ flags: abi.VM_EVENT_FLAG_RESET_VMTRACE }).reg('vmtrace_pos'), 100n);
  assert.equal(xc.xc_vmtrace_output_position(agent.xch, domid, 0), 0n);
});
