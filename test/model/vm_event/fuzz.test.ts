/** Guests that do anything, and agents that answer anything: no exception, and in the end nobody is left waiting. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Release } from '#dist/abi/release.js';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { type GuestScript, type Instruction, ModelXen, type ScriptCpu } from '#dist/model/index.js';
import { RingAgent } from '../ring_agent.js';

const VCPUS = 3;
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

/** Makes an instruction of a processor. */
type Act = (cpu: ScriptCpu) => Instruction;

const address = fc.oneof(
  fc.nat(0x7_ffff),
  fc.nat(0x20_0000),
  u64.map((value) => value >> 20n),
);
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(address, fc.integer({ min: 1, max: 5000 })).map(
    ([at, length]): Act =>
      (cpu) =>
        cpu.read(at, length),
  ),
  fc.tuple(address, fc.boolean()).map(
    ([at, emulable]): Act =>
      (cpu) =>
        cpu.write(at, new Uint8Array([0xcc, 1, 2]), { emulable }),
  ),
  address.map(
    (at): Act =>
      (cpu) =>
        cpu.execute(at),
  ),
  fc.tuple(fc.constantFrom<0 | 3 | 4>(0, 3, 4), fc.oneof(u64, fc.constantFrom(0x11n, 0x20n, 0x8000n))).map(
    ([index, value]): Act =>
      (cpu) =>
        cpu.writeCr(index, value & 0xffff_ffffn),
  ),
  fc.tuple(fc.constantFrom(0x174, 0xc000_0080, 0xc000_0082, 0x1b, 5), u64).map(
    ([msr, value]): Act =>
      (cpu) =>
        cpu.wrmsr(msr, value),
  ),
  fc.constantFrom<Act>(
    (cpu) => cpu.cpuid(0),
    (cpu) => cpu.int3(),
    (cpu) => cpu.debugException(),
    (cpu) => cpu.xsetbv(0, 7n),
    (cpu) => cpu.hypercall(34, 24, 0),
    (cpu) => cpu.portIn(0x60, 1),
    (cpu) => cpu.storeDescriptor('gdtr'),
    (cpu) => cpu.loadDescriptor('idtr', { base: 8n, limit: 1 }),
    (cpu) => cpu.vmfunc(0, 1),
  ),
);

/** What is done to a request before it goes back as the answer. */
const change = fc.record({
  flags: fc.nat(0xffff),
  altp2m_idx: fc.nat(12),
  p2midx: fc.option(fc.nat(12)),
  reason: fc.option(fc.nat(20)),
  data: fc.option(fc.uint8Array({ minLength: 344, maxLength: 344 })),
});

function watchAll(xch: xc.XcInterface, domid: number, release: Release): void {
  for (const index of [0, 1, 2, 3]) xc.xc_monitor_write_ctrlreg(xch, domid, index, true, index !== 2, 0n, false);
  for (const msr of [0x174, 0xc000_0080]) xc.xc_monitor_mov_to_msr(xch, domid, msr, true, false);
  xc.xc_monitor_singlestep(xch, domid, true);
  xc.xc_monitor_software_breakpoint(xch, domid, true);
  xc.xc_monitor_guest_request(xch, domid, true, true, true);
  xc.xc_monitor_debug_exceptions(xch, domid, true, true);
  xc.xc_monitor_cpuid(xch, domid, true);
  xc.xc_monitor_descriptor_access(xch, domid, true);
  xc.xc_monitor_emul_unimplemented(xch, domid, true);
  if (release === '4.18') xc.xc_monitor_io(xch, domid, true);
  xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.n, 0x10, 0x20);
  xc.xc_altp2m_set_domain_state(xch, domid, true);
  xc.xc_altp2m_create_view(xch, domid, xc.XENMEM_access.rx);
}

for (const release of ['4.14', '4.18'] as const) {
  test(`every event with random answers on ${release}`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(act, { maxLength: 8 }), { minLength: VCPUS, maxLength: VCPUS }),
        fc.array(change, { minLength: 1, maxLength: 30 }),
        fc.nat(0xffff_ffff),
        (acts, changes, seed) => {
          using xen = new ModelXen({ release, seed });
          const { domid, domain, vcpus } = xen.createGuest({
            vcpus: VCPUS,
            memoryPages: 128,
            pages: '4K',
            altp2m: 'external',
          });
          const agent = new RingAgent(xen, domid);
          watchAll(agent.xch, domid, release);
          let ended = 0;
          const script = (mine: readonly Act[]): GuestScript =>
            function* (cpu) {
              for (const one of mine) yield one(cpu);
              ended++;
            };
          vcpus.forEach((vcpu, i) => {
            vcpu.run(script(acts[i] ?? []));
          });
          for (const one of changes) {
            for (let steps = 0; steps < 50 && xen.step(); steps++);
            if (agent.waiting === 0) continue;
            const { bytes } = agent.take();
            const view = new DataView(bytes.buffer);
            view.setUint32(4, one.flags, true);
            view.setUint16(16, one.altp2m_idx, true);
            if (one.reason !== null) view.setUint32(8, one.reason, true);
            if (one.p2midx !== null) view.setUint16(24, one.p2midx, true);
            if (one.data) bytes.set(one.data.subarray(0, bytes.length - 56), 56);
            agent.putBytes(bytes);
            agent.notify();
          }
          // the agent comes to its senses: it watches nothing any more, and lets everybody go
          xc.xc_set_mem_access(agent.xch, domid, xc.XENMEM_access.rwx, 0, 128);
          xc.xc_altp2m_set_domain_state(agent.xch, domid, false);
          for (let round = 0; round < 2000 && ended < VCPUS && domain.shutdownCode === null; round++) {
            for (let steps = 0; steps < 50 && xen.step(); steps++);
            while (agent.waiting > 0) letGo(agent);
            for (const vcpu of vcpus) if (vcpu.vmEvents.pauseCount > 0) free(agent, vcpu.id);
          }
          assert.ok(ended === VCPUS || domain.shutdownCode !== null, `${ended} of ${VCPUS} ended`);
        },
      ),
      { numRuns: 60 },
    );
  });
}

/** Goes past the instruction, whatever it was. */
function letGo(agent: RingAgent): void {
  const request = agent.take();
  const regs = { ...Object.fromEntries(NAMES.map((name) => [name, request.reg(name)])), rip: request.reg('rip') + 1n };
  agent.put(request, { flags: abi.VM_EVENT_FLAG_SET_REGISTERS, regs });
  agent.notify();
}

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'rflags'] as const;

/** For an event whose answer left the vCPU paused. */
function free(agent: RingAgent, vcpu: number): void {
  const bytes = new Uint8Array(400);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, agent.version, true);
  view.setUint32(4, abi.VM_EVENT_FLAG_VCPU_PAUSED, true);
  view.setUint32(12, vcpu, true);
  agent.putBytes(bytes.subarray(0, agent.entrySize));
  agent.notify();
}
